"""The two halves of CoCa's text decoder: unimodal below (a CLS for the contrastive side), multimodal above.

Receives token ids (B, L), padded, and image tokens; returns vectors, states and logits. Knows nothing about
words. Source: arXiv 2205.01917 section 3.2 and OpenCLIP transformer.py.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocasearch.model.attention import KeyValues
from cocasearch.model.config import MultimodalConfig, TextConfig
from cocasearch.model.layers import Blocks, CrossAttentionBlock, SelfAttentionBlock
from cocasearch.model.unpadding import Unpadding, until_last


def visible_keys(ids: Tensor, pad_id: int) -> Tensor:
    """Whether each position may be attended to, (B, L + 1) with the CLS position last.

    OpenCLIP's padding mask, on which its weights depend: position j is visible when the id *before* it is not
    padding, so the CLS also sees the first padding position.
    """
    # OpenCLIP pads its mask on the left where the CLS would want it on the right, and so shifts it by one. Weights were
    # trained with that, so it is part of the model.
    first = torch.ones_like(ids[:, :1], dtype=torch.bool)
    return torch.cat([first, ids != pad_id], dim=1)


def trim_padding(ids: Tensor, pad_id: int) -> Tensor:
    """The texts, cut after the one padding position that the CLS may see; their vectors stay exactly the same."""
    used = (ids != pad_id).any(dim=0).nonzero()  # the positions at which any text has an id
    length = int(used[-1]) + 2 if len(used) else 1
    return ids[:, :length]


class UnimodalTextDecoder(nn.Module):
    """Causal transformer over token ids with a learned CLS appended; the CLS becomes the text vector."""

    def __init__(self, config: TextConfig, *, embed_dim: int, quick_gelu: bool = False) -> None:
        super().__init__()
        self.context_length = config.context_length
        self.pad_id = config.pad_id
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.cls_embedding = nn.Parameter(torch.empty(config.width))
        self.positions = nn.Parameter(torch.empty(config.context_length + 1, config.width))  # the last is the CLS's
        self.blocks = Blocks[SelfAttentionBlock](
            SelfAttentionBlock(config.width, config.heads, layer_scale=config.layer_scale, quick_gelu=quick_gelu)
            for _ in range(config.layers)
        )
        self.output_norm = nn.LayerNorm(config.width)
        self.projection = nn.Linear(config.width, embed_dim, bias=False)
        self._initialise(config)

    def _initialise(self, config: TextConfig) -> None:
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.cls_embedding, std=0.01)
        nn.init.normal_(self.positions, std=0.01)
        nn.init.normal_(self.projection.weight, std=config.width**-0.5)
        for block in self.blocks:
            block.initialise(config.width, branch_std(config.width, config.layers))

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The projected CLS (B, E), not normalised, and the token states (B, L, D) before the last norm.

        The CLS takes the last position of the full context whatever L is, so texts may come cut.
        """
        x, mask = self._embed(self._with_room_for_cls(ids))  # (B, L + 1, D), (B, 1, L + 1, L + 1)
        x = self.blocks(x, mask=mask)
        # The last norm and the projection are the CLS's alone: the multimodal half goes on from the states as they are.
        return self._project(x), x[:, : ids.shape[1]]

    def unpadded(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, without the work for padding, whose states are zero: for training."""
        with_room = self._with_room_for_cls(ids)
        x, mask = self._embed(with_room)
        is_text = until_last(with_room != self.pad_id)  # (B, L); padding between words counts as text
        # Beside the text the CLS sees the first padding position.
        computed = F.pad(is_text, (0, 1), value=True) | F.pad(is_text, (1, 0), value=True)
        computed[:, -1] = True
        unpadding = Unpadding(computed)
        x = unpadding.pad(self.blocks(unpadding.unpad(x), mask=mask, unpadding=unpadding))
        return self._project(x), x[:, : ids.shape[1]]

    def vector(self, ids: Tensor) -> Tensor:
        """The projected CLS (B, E) alone, for the cost of the longest real text."""
        # The CLS keeps its own position embedding wherever the cut moves it, and attention knows no other positions.
        x, mask = self._embed(trim_padding(self._with_room_for_cls(ids), self.pad_id))
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x, mask=mask)
        return self._project(last.last_position(x, mask=mask))

    def _embed(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The input of the blocks (B, L + 1, D), with the CLS last, and its attention mask (B, 1, L + 1, L + 1).

        L must be the context length, or the last id of every row padding.
        """
        length = ids.shape[1]
        tokens = self.token_embedding(ids) + self.positions[:length]  # (B, L, D)
        cls = (self.cls_embedding + self.positions[-1]).to(tokens.dtype).expand(len(ids), 1, -1)
        # At the end, where a causal mask lets it see the whole text; no word ever sees the CLS, so captions can be
        # written without it.
        x = torch.cat([tokens, cls], dim=1)
        causal = torch.ones(length + 1, length + 1, dtype=torch.bool, device=ids.device).tril()
        # (L + 1, L + 1) & (B, 1, 1, L + 1): a query sees itself and what is visible before it, in every head alike.
        return x, causal & visible_keys(ids, self.pad_id)[:, None, None, :]

    def _project(self, x: Tensor) -> Tensor:
        return self.projection(self.output_norm(x[:, -1]))

    def prefill(self, ids: Tensor) -> tuple[Tensor, list[KeyValues], Tensor]:
        """Token states (B, P, D) of a prompt, each block's cache, and which positions are visible (B, P + 1)."""
        length = ids.shape[1]
        visible = visible_keys(ids, self.pad_id)
        causal = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        mask = causal & visible[:, None, None, :-1]  # the last column is about the id that comes next
        x, caches = self.blocks.prefill(self.token_embedding(ids) + self.positions[:length], mask=mask)
        return x, caches, visible

    def decode_step(self, ids: Tensor, position: int, caches: list[KeyValues], mask: Tensor) -> Tensor:
        """States (B, k, D) of one new id per row (B, k) at `position`; `mask` as `SelfAttention.decode_step`."""
        x = self.token_embedding(ids) + self.positions[position]  # (B, k, D): all rows are equally long
        return self.blocks.decode_step(x, caches, mask)

    def _with_room_for_cls(self, ids: Tensor) -> Tensor:
        # Short input stands for the padded text, whose first padding position the CLS sees.
        missing = self.context_length - ids.shape[1]
        if missing < 0:
            raise ValueError(f"texts of {ids.shape[1]} ids exceed the context of {self.context_length}")
        return F.pad(ids, (0, 1), value=self.pad_id) if missing > 0 else ids


class MultimodalDecoder(nn.Module):
    """Each layer a causal self-attention block, then a cross-attention block over the image; logits at the end."""

    def __init__(self, config: MultimodalConfig, *, width: int, vocab_size: int, quick_gelu: bool = False) -> None:
        super().__init__()
        self.self_blocks = Blocks[SelfAttentionBlock](
            SelfAttentionBlock(width, config.heads, layer_scale=config.layer_scale, quick_gelu=quick_gelu)
            for _ in range(config.layers)
        )
        self.cross_blocks = Blocks[CrossAttentionBlock](
            CrossAttentionBlock(width, config.heads, layer_scale=config.layer_scale, quick_gelu=quick_gelu)
            for _ in range(config.layers)
        )
        self.output_norm = nn.LayerNorm(width)
        self.vocabulary = nn.Linear(width, vocab_size, bias=False)
        nn.init.normal_(self.vocabulary.weight, std=width**-0.5)  # OpenCLIP leaves it uninitialised
        for block in (*self.self_blocks, *self.cross_blocks):
            block.initialise(width, branch_std(width, config.layers))

    def forward(self, states: Tensor, image_tokens: Tensor, *, owners: Tensor | None = None) -> Tensor:
        """Token states (T, L, D) and image tokens (B, N, D) to states (T, L, D) ready for the vocabulary.

        `owners` (T,) names each text's image where an image has several; its keys and values are projected once.
        """
        x = states
        for self_block, cross_block in zip(self.self_blocks, self.cross_blocks, strict=True):
            # No padding mask: padding follows the text, so no word sees it, and its own logits are no target.
            x = self_block(x, causal=True)
            x = cross_block(x, self._context(cross_block, image_tokens, owners))
        return self.output_norm(x)

    def unpadded(self, states: Tensor, image_tokens: Tensor, wanted: Tensor, *, owners: Tensor | None = None) -> Tensor:
        """The rows (N, D) of `forward` at the wanted positions (T, L), in reading order, with little other work."""
        computed = until_last(wanted)  # (T, L): what comes before a wanted position is read by it
        unpadding = Unpadding(computed)
        x, shared = unpadding.unpad(states), self._shared_context(image_tokens, computed, owners)
        for self_block, cross_block in zip(self.self_blocks, self.cross_blocks, strict=True):
            x = self_block(x, causal=True, unpadding=unpadding)
            x = cross_block(
                x, shared if shared is not None else self._context(cross_block, image_tokens, owners), unpadding
            )
        return self.output_norm(x[wanted[computed]])  # the rows computed (N', D) to the rows wanted (N, D)

    def _context(self, block: CrossAttentionBlock, image_tokens: Tensor, owners: Tensor | None) -> KeyValues:
        context = block.project_context(image_tokens)
        if owners is not None:
            context.select(owners)
        return context

    def _shared_context(self, image_tokens: Tensor, computed: Tensor, owners: Tensor | None) -> Tensor | None:
        """Each text's image tokens, normed so that all layers can read them unprojected; None if that is more work."""
        attentions = [block.attention for block in self.cross_blocks]
        norms = [block.context_norm for block in self.cross_blocks]
        if not attentions or any(type(attention.key_value) is not nn.Linear for attention in attentions):
            return None  # a layer that is adapted is more than its weights
        # Unprojected, every head of every query asks all tokens in full width; projected, every token goes through two
        # matrices in every layer. Few captions of many tokens favour the first.
        if computed.numel() * attentions[0].heads >= len(image_tokens) * image_tokens.shape[2]:
            return None
        # Each layer's norm differs in its weight and bias alone, so mean and variance are taken out once for all.
        shared = F.layer_norm(image_tokens, norms[0].normalized_shape, eps=norms[0].eps)
        return shared if owners is None else shared.index_select(0, owners)

    def prefill(self, states: Tensor, image_tokens: Tensor) -> tuple[Tensor, list[KeyValues], list[KeyValues]]:
        """Logits (B, V) after the prompt, each layer's self-attention cache and its image keys and values."""
        x, self_caches, contexts = states, [], []
        for self_block, cross_block in zip(self.self_blocks, self.cross_blocks, strict=True):
            x, cache = self_block.prefill(x)
            context = cross_block.project_context(image_tokens)
            x = cross_block(x, context)
            self_caches.append(cache)
            contexts.append(context)
        # Only the last position's prediction is new; those within the prompt are given.
        return self.vocabulary(self.output_norm(x[:, -1])), self_caches, contexts

    def decode_step(
        self, states: Tensor, self_caches: list[KeyValues], contexts: list[KeyValues], mask: Tensor
    ) -> Tensor:
        """Logits (B, k, V) of new states (B, k, D); `mask` as `SelfAttention.decode_step`."""
        x = states
        layers = zip(self.self_blocks, self.cross_blocks, self_caches, contexts, strict=True)
        for self_block, cross_block, cache, context in layers:
            x = cross_block(self_block.decode_step(x, cache, mask=mask), context)
        return self.vocabulary(self.output_norm(x))


def branch_std(width: int, layers: int) -> float:
    """OpenCLIP's standard deviation for what a residual branch adds."""
    # A stream of `layers` blocks is the sum of 2 * layers branches: scaled so, its variance does not grow with depth.
    return 1 / math.sqrt(width * 2 * max(layers, 1))
