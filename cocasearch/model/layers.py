"""The transformer blocks that all towers share, and their parts other than attention.

Dimensions have one letter, as in `attention.py`.
Source: OpenCLIP transformer.py (pre-norm blocks, exact GELU, LayerNorm epsilon 1e-5).
"""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocasearch.model.attention import CrossAttention, KeyValues, SelfAttention, initialise_attention
from cocasearch.model.recomputing import gelu_linear, norm_linear
from cocasearch.model.unpadding import Unpadding


class LayerScale(nn.Module):
    """A learned factor per channel on a residual branch."""

    def __init__(self, width: int, initial: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), initial))  # small at first: deep stacks begin as the identity

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class QuickGELU(nn.Module):
    """OpenAI's approximation, x * sigmoid(1.702 x); some published weights were trained with it."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Residual(nn.Module):
    """The last step of a branch before it is added to the stream: LayerScale, and dropout in training."""

    def __init__(self, width: int, layer_scale: float | None) -> None:
        super().__init__()
        self.dropout = 0.0  # set by the trainer; a saved model has none
        self.scale = nn.Identity() if layer_scale is None else LayerScale(width, layer_scale)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.scale(x)
        return F.dropout(branch, self.dropout, self.training) if self.dropout else branch


class Mlp(nn.Module):
    """Two linear layers with GELU between, four times as wide inside unless told otherwise."""

    def __init__(self, width: int, *, inner_width: int | None = None, quick_gelu: bool = False) -> None:
        super().__init__()
        inner_width = inner_width or 4 * width
        self.expand = nn.Linear(width, inner_width)
        self.activation: nn.Module = QuickGELU() if quick_gelu else nn.GELU()
        self.contract = nn.Linear(inner_width, width)

    def forward(self, x: Tensor, norm: nn.LayerNorm | None = None) -> Tensor:
        """(..., D) -> (..., D), normed first where a norm is given."""
        inner = self.expand(x) if norm is None else norm_linear(x, norm, self.expand)  # (..., 4 D)
        if isinstance(self.activation, nn.GELU):  # what is prepacked has computed it already, and has an identity here
            return gelu_linear(inner, self.contract)
        return self.contract(self.activation(inner))

    def initialise(self, width: int, branch_std: float) -> None:
        # CLIP's value: half the variance of the attention's projections.
        nn.init.normal_(self.expand.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(self.contract.weight, std=branch_std)


class _PreNormBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    Only what a branch reads is normed, never the stream, along which gradients reach every layer.
    """

    def _build(self, width: int, attention: nn.Module, layer_scale: float | None, *, quick_gelu: bool) -> None:
        # Called after the norms are made, so that parameters keep the order that optimisers know them in.
        self.attention = attention
        self.attention_residual = Residual(width, layer_scale)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = Mlp(width, quick_gelu=quick_gelu)
        self.mlp_residual = Residual(width, layer_scale)

    def _finish(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.attention_residual(attended)
        return x + self.mlp_residual(self.mlp(x, self.mlp_norm))


class SelfAttentionBlock(_PreNormBlock):
    """A block of a tower: self-attention, then the MLP."""

    attention: SelfAttention

    def __init__(self, width: int, heads: int, *, layer_scale: float | None = None, quick_gelu: bool = False) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self._build(width, SelfAttention(width, heads), layer_scale, quick_gelu=quick_gelu)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, causal: bool = False, unpadding: Unpadding | None = None
    ) -> Tensor:
        attended = self.attention(x, self.attention_norm, mask=mask, causal=causal, unpadding=unpadding)
        return self._finish(x, attended)

    def last_position(self, x: Tensor, *, mask: Tensor) -> Tensor:
        """The last row (B, 1, D) of `forward`, without the work for the others."""
        # All positions are keys, so all are normed and projected; everything after attention is of the last one alone.
        return self._finish(x[:, -1:], self.attention.last_position(self.attention_norm(x), mask=mask))

    def prefill(self, x: Tensor, *, mask: Tensor | None = None) -> tuple[Tensor, KeyValues]:
        attended, cache = self.attention.prefill(self.attention_norm(x), mask=mask)
        return self._finish(x, attended), cache

    def decode_step(self, x: Tensor, cache: KeyValues, *, mask: Tensor | None = None) -> Tensor:
        return self._finish(x, self.attention.decode_step(self.attention_norm(x), cache, mask=mask))

    def initialise(self, width: int, branch_std: float) -> None:
        """OpenCLIP's initial values for text transformers (transformer.py `init_parameters`), in place."""
        initialise_attention(self.attention.qkv, self.attention.out, std=width**-0.5, branch_std=branch_std)
        self.mlp.initialise(width, branch_std)


class CrossAttentionBlock(_PreNormBlock):
    """As `SelfAttentionBlock`, with keys and values from image tokens, which have a norm of their own."""

    attention: CrossAttention

    def __init__(self, width: int, heads: int, *, layer_scale: float | None = None, quick_gelu: bool = False) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.context_norm = nn.LayerNorm(width)  # of its own: image tokens are spread otherwise than words
        self._build(width, CrossAttention(width, heads), layer_scale, quick_gelu=quick_gelu)

    def project_context(self, context: Tensor) -> KeyValues:
        return self.attention.project_context(self.context_norm(context))

    def forward(self, x: Tensor, context: KeyValues | Tensor, unpadding: Unpadding | None = None) -> Tensor:
        """(B, L, D) tokens, or unpadded (N, D), over the keys and values of B images.

        Or over their tokens (B, S, D) themselves, of mean 0 and variance 1: see `CrossAttention.attend_unprojected`.
        """
        queries = self.attention_norm(x)
        # Keys and values are ready-made in inference, where many steps read them; in training on a small batch it may
        # take less to attend to the tokens themselves.
        if isinstance(context, KeyValues):
            attended = self.attention.attend(queries, context, unpadding)
        else:
            attended = self.attention.attend_unprojected(queries, context, self.context_norm, unpadding)
        return self._finish(x, attended)

    def initialise(self, width: int, branch_std: float) -> None:
        """As `SelfAttentionBlock.initialise`."""
        # The same as for a fused projection of queries, keys and values, of which these are two parts.
        for projection in (self.attention.query, self.attention.key_value):
            initialise_attention(projection, self.attention.out, std=width**-0.5, branch_std=branch_std)
        self.mlp.initialise(width, branch_std)


Block = TypeVar("Block", bound=nn.Module)


class Blocks(nn.ModuleList, Generic[Block]):
    """A stack of blocks of one kind, run one after the other."""

    def __iter__(self) -> Iterator[Block]:
        return cast("Iterator[Block]", super().__iter__())

    def forward(self, x: Tensor, **how: Any) -> Tensor:
        """(B, L, D) -> (B, L, D), or unpadded (N, D) -> (N, D); `how` goes to the `forward` of each block."""
        for block in self:
            x = block(x, **how)
        return x

    def prefill(self, x: Tensor, **how: Any) -> tuple[Tensor, list[KeyValues]]:
        """The same, and the keys and values of each block for the steps that follow."""
        caches = []
        for block in self:
            x, cache = block.prefill(x, **how)  # type: ignore[operator]
            caches.append(cache)
        return x, caches

    def decode_step(self, x: Tensor, caches: list[KeyValues], mask: Tensor) -> Tensor:
        """(B, k, D) -> (B, k, D), one new position of each row; see `SelfAttention.decode_step`."""
        for block, cache in zip(self, caches, strict=True):
            x = block.decode_step(x, cache, mask=mask)  # type: ignore[operator]
        return x
