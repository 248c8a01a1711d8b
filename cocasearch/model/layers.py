"""The transformer blocks that all towers share, and their key-value caches.

Receives and returns float tensors; knows nothing about images or words. Dimensions in one letter:
B batch of images, k rows of each (captions being written), L tokens, S context tokens, D width, H heads.
Source: OpenCLIP transformer.py (pre-norm blocks, exact GELU, LayerNorm epsilon 1e-5).
"""

from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocasearch.model.packing import Packing
from cocasearch.model.recomputing import gelu_linear, norm_linear


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, D) -> (B, H, L, D/H)."""
    batch, length, width = x.shape
    return x.view(batch, length, heads, width // heads).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, L, D/H) -> (B, L, D)."""
    return x.transpose(1, 2).flatten(-2)


class KeyValues:
    """Cached keys and values of one attention, each (images, H, length, D/H).

    They are written into spare room, so that a step costs what it adds and not what is there already.

    Args:
        keys: The first ones.
        values: As many.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self._keys, self._values, self._length = keys, values, keys.shape[2]

    @property
    def keys(self) -> Tensor:
        return self._keys[:, :, : self._length]

    @property
    def values(self) -> Tensor:
        return self._values[:, :, : self._length]

    def append(self, keys: Tensor, values: Tensor) -> None:
        start, self._length = self._length, self._length + keys.shape[2]
        if self._length > self._keys.shape[2]:
            self._keys, self._values = (self._with_room(old, start) for old in (self._keys, self._values))
        self._keys[:, :, start : self._length] = keys
        self._values[:, :, start : self._length] = values

    def select(self, images: Tensor) -> None:
        self._keys, self._values = self.keys.index_select(0, images), self.values.index_select(0, images)

    def _with_room(self, old: Tensor, used: int) -> Tensor:
        images, heads, _, head_width = old.shape
        roomy = old.new_empty(images, heads, 2 * self._length, head_width)
        roomy[:, :, :used] = old[:, :, :used]
        return roomy


class SelfAttention(nn.Module):
    """Multi-head self-attention with biases; one fused projection for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        norm: nn.LayerNorm | None = None,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        packing: Packing | None = None,
    ) -> Tensor:
        """(B, L, D) -> (B, L, D), or packed (N, D) -> (N, D), normed first where a norm is given.

        `mask` (B, 1, L, L) is true where a query may attend.
        """
        qkv = self.qkv(x) if norm is None else norm_linear(x, norm, self.qkv)
        if packing is not None:
            qkv = packing.unpack(qkv)
        query, key, value = (split_heads(part, self.heads) for part in qkv.chunk(3, dim=-1))
        return self._attend(query, key, value, mask, causal, packing)

    def last_position(self, x: Tensor, *, mask: Tensor) -> Tensor:
        """The last row (B, 1, D) of `forward`, for less."""
        query, key, value = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        return self._attend(query[:, :, -1:], key, value, mask[:, :, -1:], causal=False)

    def prefill(self, x: Tensor, *, mask: Tensor | None = None) -> tuple[Tensor, KeyValues]:
        """As `forward`, causal, and the keys and values to go on from."""
        query, key, value = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        return self._attend(query, key, value, mask, causal=mask is None), KeyValues(key, value)

    def decode_step(self, x: Tensor, cache: KeyValues, *, mask: Tensor | None = None) -> Tensor:
        """(B, k, D) -> (B, k, D): k rows of each image go on by one position, which the cache takes in.

        `mask` (B, 1, k, length + k) is true for the cached and new positions that each row descends from.
        """
        query, key, value = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        cache.append(key, value)
        return self._attend(query, cache.keys, cache.values, mask, causal=False)

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        causal: bool,
        packing: Packing | None = None,
    ) -> Tensor:
        x = merge_heads(F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal))
        output: Tensor = self.out(x if packing is None else packing.pack(x))
        return output


class CrossAttention(nn.Module):
    """Multi-head attention of queries (B, L, D) over a context (B, S, C)."""

    def __init__(self, width: int, heads: int, *, context_width: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(context_width or width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return self.attend(x, self.project_context(context))

    def project_context(self, context: Tensor) -> KeyValues:
        """The context's keys and values, computed once however many tokens will read them."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        # Contiguous by head: read once per token to come, and by no other order.
        return KeyValues(split_heads(key, self.heads).contiguous(), split_heads(value, self.heads).contiguous())

    def attend(self, x: Tensor, context: KeyValues, packing: Packing | None = None) -> Tensor:
        """Queries (B, L, D), or packed (N, D), over projected keys and values; B may be 1 where all share them."""
        query = self.query(x) if packing is None else packing.unpack(self.query(x))
        query = split_heads(query, self.heads).expand(len(context.keys), -1, -1, -1)
        x = merge_heads(F.scaled_dot_product_attention(query, context.keys, context.values))
        output: Tensor = self.out(x if packing is None else packing.pack(x))
        return output

    def attend_unprojected(
        self, x: Tensor, context: Tensor, norm: nn.LayerNorm, packing: Packing | None = None
    ) -> Tensor:
        """As attending over `project_context(norm(context))`, for less where few tokens read many.

        A query's product with a projected key is that of the query, taken back through the key's projection, with the
        context itself; and a weighted sum of projected values is the projection of the weighted sum. What biases add to
        all products of a query alike, the softmax does not see.

        Args:
            x: Queries (B, L, D), or packed (N, D).
            context: (B, S, C), of mean 0 and variance 1.
            norm: Its weight and bias come after that.
            packing: Of the queries.
        """
        query = self.query(x) if packing is None else packing.unpack(self.query(x))
        batch, length, width = query.shape
        size = width // self.heads
        to_key, to_value = (self.key_value.weight * norm.weight).view(2, self.heads, size, -1)
        always = self.key_value.bias[width:] + F.linear(norm.bias, self.key_value.weight[width:])
        query = split_heads(query, self.heads) * size**-0.5
        asked = torch.einsum("bhld,hdc->bhlc", query, to_key).flatten(1, 2)  # (B, H L, C)
        weights = torch.bmm(asked, context.transpose(1, 2)).softmax(dim=-1).to(context.dtype)
        seen = torch.bmm(weights, context).view(batch, self.heads, length, -1)
        x = merge_heads(torch.einsum("bhlc,hdc->bhld", seen, to_value)) + always
        output: Tensor = self.out(x if packing is None else packing.pack(x))
        return output


class LayerScale(nn.Module):
    """A learned factor per channel on a residual branch."""

    def __init__(self, width: int, initial: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), initial))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class QuickGELU(nn.Module):
    """OpenAI's approximation, x * sigmoid(1.702 x); some published weights were trained with it."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Residual(nn.Module):
    """What follows a branch before it is added to the stream: LayerScale, and dropout while training."""

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
        inner = self.expand(x) if norm is None else norm_linear(x, norm, self.expand)
        if isinstance(self.activation, nn.GELU):
            return gelu_linear(inner, self.contract)
        output: Tensor = self.contract(self.activation(inner))
        return output

    def initialise(self, width: int, branch_std: float) -> None:
        nn.init.normal_(self.expand.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(self.contract.weight, std=branch_std)


class SelfAttentionBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int, *, layer_scale: float | None = None, quick_gelu: bool = False) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.attention_residual = Residual(width, layer_scale)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = Mlp(width, quick_gelu=quick_gelu)
        self.mlp_residual = Residual(width, layer_scale)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, causal: bool = False, packing: Packing | None = None
    ) -> Tensor:
        attended = self.attention(x, self.attention_norm, mask=mask, causal=causal, packing=packing)
        return self._finish(x, attended)

    def last_position(self, x: Tensor, *, mask: Tensor) -> Tensor:
        """The last row (B, 1, D) of `forward`, where nobody reads the others."""
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

    def _finish(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.attention_residual(attended)
        output: Tensor = x + self.mlp_residual(self.mlp(x, self.mlp_norm))
        return output


class CrossAttentionBlock(nn.Module):
    """As `SelfAttentionBlock`, with keys and values from image tokens, which have a norm of their own."""

    def __init__(self, width: int, heads: int, *, layer_scale: float | None = None, quick_gelu: bool = False) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.context_norm = nn.LayerNorm(width)
        self.attention = CrossAttention(width, heads)
        self.attention_residual = Residual(width, layer_scale)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = Mlp(width, quick_gelu=quick_gelu)
        self.mlp_residual = Residual(width, layer_scale)

    def project_context(self, context: Tensor) -> KeyValues:
        return self.attention.project_context(self.context_norm(context))

    def forward(self, x: Tensor, context: KeyValues | Tensor, packing: Packing | None = None) -> Tensor:
        """(B, L, D) tokens, or packed (N, D), over the keys and values of B images.

        Or over their tokens (B, S, D) themselves, of mean 0 and variance 1: see `CrossAttention.attend_unprojected`.
        """
        queries = self.attention_norm(x)
        if isinstance(context, KeyValues):
            attended = self.attention.attend(queries, context, packing)
        else:
            attended = self.attention.attend_unprojected(queries, context, self.context_norm, packing)
        x = x + self.attention_residual(attended)
        output: Tensor = x + self.mlp_residual(self.mlp(x, self.mlp_norm))
        return output

    def initialise(self, width: int, branch_std: float) -> None:
        """As `SelfAttentionBlock.initialise`."""
        for projection in (self.attention.query, self.attention.key_value):
            initialise_attention(projection, self.attention.out, std=width**-0.5, branch_std=branch_std)
        self.mlp.initialise(width, branch_std)


def initialise_attention(projection: nn.Linear, out: nn.Linear, *, std: float, branch_std: float) -> None:
    """Normal weights, zero biases; `branch_std` is smaller the more branches are added up."""
    nn.init.normal_(projection.weight, std=std)
    nn.init.normal_(out.weight, std=branch_std)
    nn.init.zeros_(projection.bias)
    nn.init.zeros_(out.bias)


class SelfAttentionBlocks(nn.ModuleList):
    """A list of `SelfAttentionBlock` that says so when iterated."""

    def __iter__(self) -> Iterator[SelfAttentionBlock]:
        return cast("Iterator[SelfAttentionBlock]", super().__iter__())


class CrossAttentionBlocks(nn.ModuleList):
    """A list of `CrossAttentionBlock` that says so when iterated."""

    def __iter__(self) -> Iterator[CrossAttentionBlock]:
        return cast("Iterator[CrossAttentionBlock]", super().__iter__())
