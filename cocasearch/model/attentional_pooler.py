"""Poolers, which make a contrastive vector and a context for the decoder out of image tokens.

Four kinds have one interface (arXiv 2205.01917 section 3.2; OpenCLIP transformer.py): tokens (B, S, C) in,
pooled vectors (B, D) before the projection and contexts (B, Q, D) out.
"""

import torch
from torch import Tensor, nn

from cocasearch.model.attention import CrossAttention
from cocasearch.model.config import PoolerConfig


class AttentionalPooler(nn.Module):
    """Learned queries that attend once over normalised image tokens; no residual, no MLP."""

    def __init__(self, width: int, *, context_width: int, queries: int, heads: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(nn.init.normal_(torch.empty(queries, width)))
        self.query_norm = nn.LayerNorm(width)
        self.context_norm = nn.LayerNorm(context_width)
        self.attention = CrossAttention(width, heads, context_width=context_width)

    def forward(self, tokens: Tensor, first: int | None = None) -> Tensor:
        """(B, S, C) -> (B, Q, D), or the first `first` of the Q."""
        keys_and_values = self.attention.project_context(self.context_norm(tokens))
        # The queries are the same for every image, so they are normed and projected once (1, Q, D). Each attends for
        # itself: fewer of them change nothing about the others.
        return self.attention.attend(self.query_norm(self.queries[:first])[None], keys_and_values)


class ClassTokenPooling(nn.Module):
    """No pooler: the class token is the vector, the patches are the context (coca_base)."""

    def __init__(self, context_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(context_width)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.norm(tokens)
        return tokens[:, 0], tokens[:, 1:]  # (B, C) and (B, S - 1, C)

    def vector(self, tokens: Tensor) -> Tensor:
        return self.norm(tokens[:, 0])  # the norm is of each token by itself


class SinglePooling(nn.Module):
    """OpenCLIP's way: one pooler, its first output is the vector, the others are the context (255 of 256)."""

    def __init__(self, width: int, context_width: int, config: PoolerConfig) -> None:
        super().__init__()
        self.pooler = AttentionalPooler(width, context_width=context_width, queries=config.queries, heads=config.heads)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        # The paper's two task-specific poolers share their weights here: query 0 learns the contrastive task, the
        # others the generative one.
        pooled = self.norm(self.pooler(tokens))  # (B, Q, D)
        return pooled[:, 0], pooled[:, 1:]

    def vector(self, tokens: Tensor) -> Tensor:
        return self.norm(self.pooler(tokens, first=1))[:, 0]


class SeparatePooling(nn.Module):
    """The paper's way: a generative pooler for the decoder and a contrastive pooler with one query.

    `cascade` lets the contrastive pooler read the generative pooler's output, `parallel` the encoder's. Both
    outputs are normalised, which OpenCLIP's untrained variants leave out.
    """

    def __init__(self, width: int, embed_dim: int, context_width: int, config: PoolerConfig) -> None:
        super().__init__()
        self.is_cascade = config.kind == "cascade"
        # As in the paper's figure 2: many queries (256) keep the details that captions need, one query the gist that
        # retrieval needs.
        self.generative = AttentionalPooler(
            width, context_width=context_width, queries=config.queries, heads=config.heads
        )
        self.contrastive = AttentionalPooler(
            embed_dim, context_width=width if self.is_cascade else context_width, queries=1, heads=config.heads
        )
        self.generative_norm = nn.LayerNorm(width)
        self.contrastive_norm = nn.LayerNorm(embed_dim)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        context = self.generative_norm(self.generative(tokens))  # (B, Q, D)
        return self._pool(context if self.is_cascade else tokens), context

    def vector(self, tokens: Tensor) -> Tensor:
        # In parallel the generative pooler adds nothing to the vector, and is spared.
        return self.forward(tokens)[0] if self.is_cascade else self._pool(tokens)

    def _pool(self, tokens: Tensor) -> Tensor:
        return self.contrastive_norm(self.contrastive(tokens))[:, 0]  # (B, E): of its one query


Pooling = ClassTokenPooling | SinglePooling | SeparatePooling
"""(B, S, C) -> pooled (B, D) and context (B, Q, D); `vector` gives the first alone, for less."""


def build_pooling(config: PoolerConfig, *, width: int, embed_dim: int, context_width: int) -> tuple[Pooling, int]:
    """The pooling that the configuration names, and the width of its pooled vector.

    `width` is the decoder's, which the context gets; the separate contrastive pooler is as wide as the shared space.
    """
    if config.kind == "none":  # the decoder reads the encoder's tokens as they are, so both are equally wide
        return ClassTokenPooling(context_width), context_width
    if config.kind == "single":
        return SinglePooling(width, context_width, config), width
    return SeparatePooling(width, embed_dim, context_width, config), embed_dim
