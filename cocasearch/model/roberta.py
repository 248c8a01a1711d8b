"""RoBERTa as CoCa's unimodal text decoder: causal, the mean of its states projected to the text vector.

Receives token ids (B, L), padded at their end, and returns vectors and states, as `UnimodalTextDecoder` does. OpenCLIP
runs the same weights without a causal mask, so that its captions see the word they are about to write.
Source: RoBERTa (arXiv 1907.11692), blocks as in BERT (arXiv 1810.04805): normalised after each branch.
"""

import torch
from torch import Tensor, nn

from cocasearch.model.attention import KeyValues, SelfAttention
from cocasearch.model.config import RobertaConfig
from cocasearch.model.layers import Blocks, Mlp, Residual
from cocasearch.model.text_decoder import trim_padding
from cocasearch.model.unpadding import Unpadding, until_last

INITIAL_STD = 0.02


class RobertaBlock(nn.Module):
    """norm(x + attention(x)), then norm(x + mlp(x))."""

    def __init__(self, config: RobertaConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config.width, config.heads)
        self.attention_residual = Residual(config.width, None)
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.mlp = Mlp(config.width, inner_width=config.mlp_width)
        self.mlp_residual = Residual(config.width, None)
        self.mlp_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)

    def forward(self, x: Tensor, unpadding: Unpadding | None = None) -> Tensor:
        return self._finish(x, self.attention(x, causal=True, unpadding=unpadding))

    def prefill(self, x: Tensor) -> tuple[Tensor, KeyValues]:
        attended, cache = self.attention.prefill(x)
        return self._finish(x, attended), cache

    def decode_step(self, x: Tensor, cache: KeyValues, *, mask: Tensor) -> Tensor:
        return self._finish(x, self.attention.decode_step(x, cache, mask=mask))

    def _finish(self, x: Tensor, attended: Tensor) -> Tensor:
        # Post-norm: the sum itself is normed, where CLIP's blocks norm what a branch reads.
        x = self.attention_norm(x + self.attention_residual(attended))
        return self.mlp_norm(x + self.mlp_residual(self.mlp(x)))


class RobertaTextDecoder(nn.Module):
    """Causal RoBERTa over token ids. Padding stands behind what it pads, so the causal mask hides it as well."""

    def __init__(self, config: RobertaConfig, *, embed_dim: int) -> None:
        super().__init__()
        self.context_length = config.context_length
        self.pad_id = config.pad_id
        self._first_position = config.pad_id + 1  # RoBERTa numbers positions from there; the rows below are of padding
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Parameter(torch.empty(config.positions, config.width))
        self.token_type = nn.Parameter(torch.empty(config.width))  # of its only type: RoBERTa reads one sentence
        self.input_norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.blocks = Blocks[RobertaBlock](RobertaBlock(config) for _ in range(config.layers))
        self.projection = nn.Linear(config.width, embed_dim, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        # BERT's values: one deviation for everything, whatever the width.
        for parameter in (self.positions, self.token_type):
            nn.init.normal_(parameter, std=INITIAL_STD)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=INITIAL_STD)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The projected mean of the real tokens' states (B, E), not normalised, and all states (B, L, D)."""
        x = self.blocks(self._embed(ids, self._first_positions(ids.shape[1])))  # (B, L, D)
        return self._project(x, ids), x

    def unpadded(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, without the work for padding, whose states are zero: for training."""
        unpadding = Unpadding(until_last(ids != self.pad_id))
        # (N, D): there is no CLS that would see padding, so nothing beside the text is computed.
        x = unpadding.unpad(self._embed(ids, self._first_positions(ids.shape[1])))
        x = unpadding.pad(self.blocks(x, unpadding=unpadding))
        return self._project(x, ids), x

    def vector(self, ids: Tensor) -> Tensor:
        """The projected mean (B, E) alone, for the cost of the longest real text."""
        return self(trim_padding(ids, self.pad_id))[0]

    def prefill(self, ids: Tensor) -> tuple[Tensor, list[KeyValues], Tensor]:
        """Token states (B, P, D) of a prompt, each block's cache, and that all positions are visible (B, P + 1)."""
        x, caches = self.blocks.prefill(self._embed(ids, self._first_positions(ids.shape[1])))
        # No position is hidden: padding comes after the text, and a prompt has none.
        return x, caches, torch.ones(len(ids), ids.shape[1] + 1, dtype=torch.bool, device=ids.device)

    def decode_step(self, ids: Tensor, position: int, caches: list[KeyValues], mask: Tensor) -> Tensor:
        """States (B, k, D) of one new id per row (B, k) at `position`; `mask` as `SelfAttention.decode_step`."""
        return self.blocks.decode_step(self._embed(ids, self._first_position + position), caches, mask)

    def _project(self, x: Tensor, ids: Tensor) -> Tensor:
        is_real = (ids != self.pad_id)[..., None]  # (B, L, 1)
        # In float32: the sum of many states would lose its low digits in bfloat16. An empty text counts as one id.
        mean = (x.float() * is_real).sum(dim=1) / is_real.sum(dim=1).clamp(min=1)
        return self.projection(mean.to(x.dtype))

    def _first_positions(self, count: int) -> slice:
        if count > self.context_length:
            raise ValueError(f"texts of {count} ids exceed the context of {self.context_length}")
        return slice(self._first_position, self._first_position + count)

    def _embed(self, ids: Tensor, position: slice | int) -> Tensor:
        # (B, L, D), normed here since the blocks norm after their branches and would read an unnormed stream.
        x = self.token_embedding(ids) + self.positions[position] + self.token_type
        return self.input_norm(x)
