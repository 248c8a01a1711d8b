"""Multi-head attention, of a sequence over itself or over a context, with cached keys and values.

Receives and returns float tensors; knows nothing about images or words. Dimensions in one letter:
B batch of images, k rows of each (captions being written), L tokens, S context tokens, D width, H heads.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocasearch.model.recomputing import norm_linear
from cocasearch.model.unpadding import Unpadding


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, L, D) -> (B, H, L, D/H)."""
    batch, length, width = x.shape
    # Each head gets consecutive columns, as OpenCLIP's weights (torch's nn.MultiheadAttention) have them.
    return x.view(batch, length, heads, width // heads).transpose(1, 2)  # (B, H, L, D/H)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, L, D/H) -> (B, L, D)."""
    return x.transpose(1, 2).flatten(-2)


class KeyValues:
    """Cached keys and values of one attention, each (images, H, length, D/H).

    They are written into spare room, so that a step costs what it adds and not what is there already.

    Args:
        keys: The keys of the first positions.
        values: Their values.
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
        """Add the keys and values (images, H, n, D/H) of n more positions."""
        start, self._length = self._length, self._length + keys.shape[2]
        if self._length > self._keys.shape[2]:
            self._keys, self._values = (self._with_room(old, start) for old in (self._keys, self._values))
        self._keys[:, :, start : self._length] = keys
        self._values[:, :, start : self._length] = values

    def select(self, images: Tensor) -> None:
        """Keep, repeat or reorder images, given by their numbers."""
        self._keys, self._values = self.keys.index_select(0, images), self.values.index_select(0, images)

    def _with_room(self, old: Tensor, used: int) -> Tensor:
        images, heads, _, head_width = old.shape
        # Twice what is needed now, so that a caption of n ids is copied log n times and not n times.
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
        unpadding: Unpadding | None = None,
    ) -> Tensor:
        """(B, L, D) -> (B, L, D), or unpadded (N, D) -> (N, D), normed first where a norm is given.

        `mask` (B, 1, L, L) is true where a query may attend.
        """
        # Norm and projection work on single positions, so they may run on unpadded rows; attention itself, in which
        # positions meet, needs the layout by sequence again.
        qkv = self.qkv(x) if norm is None else norm_linear(x, norm, self.qkv)  # (B, L, 3 D) or (N, 3 D)
        if unpadding is not None:
            qkv = unpadding.pad(qkv)  # (B, L, 3 D)
        query, key, value = self._split(qkv)
        return self._attend(query, key, value, mask, causal, unpadding)

    def last_position(self, x: Tensor, *, mask: Tensor) -> Tensor:
        """The last row (B, 1, D) of `forward`, without the work for the others."""
        query, key, value = self._split(self.qkv(x))
        # One query over all keys; the last row of the mask holds what a causal mask would forbid, which is nothing.
        return self._attend(query[:, :, -1:], key, value, mask[:, :, -1:], causal=False)

    def prefill(self, x: Tensor, *, mask: Tensor | None = None) -> tuple[Tensor, KeyValues]:
        """As `forward` with a causal mask, and the keys and values for the steps that follow."""
        query, key, value = self._split(self.qkv(x))
        return self._attend(query, key, value, mask, causal=mask is None), KeyValues(key, value)

    def decode_step(self, x: Tensor, cache: KeyValues, *, mask: Tensor | None = None) -> Tensor:
        """(B, k, D) -> (B, k, D): k rows of each image go on by one position, which the cache takes in.

        `mask` (B, 1, k, length + k) is true for the cached and new positions that each row descends from.
        """
        # The k rows of an image lie side by side in one sequence of keys: what each wrote is told apart by the mask
        # alone, so that beams that part or end need no copy of what they have in common.
        query, key, value = self._split(self.qkv(x))  # each (B, H, k, D/H)
        cache.append(key, value)
        return self._attend(query, cache.keys, cache.values, mask, causal=False)

    def _split(self, qkv: Tensor) -> list[Tensor]:
        return [split_heads(part, self.heads) for part in qkv.chunk(3, dim=-1)]  # three of (B, H, L, D/H)

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        causal: bool,
        unpadding: Unpadding | None = None,
    ) -> Tensor:
        # Scaled by 1 / sqrt(D/H), as everywhere: otherwise dot products grow with the width and the softmax saturates.
        x = merge_heads(F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal))
        return self.out(x if unpadding is None else unpadding.unpad(x))


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
        """The context's keys and values, computed once for all the tokens that will read them."""
        key, value = self.key_value(context).chunk(2, dim=-1)  # each (B, S, D)
        # Contiguous by head: read once per token to come, and by no other order.
        return KeyValues(split_heads(key, self.heads).contiguous(), split_heads(value, self.heads).contiguous())

    def attend(self, x: Tensor, context: KeyValues, unpadding: Unpadding | None = None) -> Tensor:
        """Queries (B, L, D), or unpadded (N, D), over projected keys and values; B may be 1 where all share them."""
        query = self.query(x) if unpadding is None else unpadding.pad(self.query(x))
        query = split_heads(query, self.heads).expand(len(context.keys), -1, -1, -1)  # (B, H, L, D/H)
        # No mask: every token may look at the whole image.
        x = merge_heads(F.scaled_dot_product_attention(query, context.keys, context.values))
        return self.out(x if unpadding is None else unpadding.unpad(x))

    def attend_unprojected(
        self, x: Tensor, context: Tensor, norm: nn.LayerNorm, unpadding: Unpadding | None = None
    ) -> Tensor:
        """The same as attending over `project_context(norm(context))`, for less work where few tokens read many.

        A query's product with a projected key is that of the query, taken back through the key's projection, with the
        context itself; and a weighted sum of projected values is the projection of the weighted sum. What biases add to
        all products of a query alike, the softmax does not see.

        Args:
            x: Queries (B, L, D), or unpadded (N, D).
            context: (B, S, C), already of mean 0 and variance 1 at each position.
            norm: The norm whose weight and bias are still to be applied.
            unpadding: The layout of unpadded queries.
        """
        query = self.query(x) if unpadding is None else unpadding.pad(self.query(x))
        batch, length, width = query.shape
        size = width // self.heads
        # Each head's projections with the weight of the norm folded in, each (H, D/H, C).
        to_key, to_value = (self.key_value.weight * norm.weight).view(2, self.heads, size, -1)
        # What the norm's bias and the projection's own add to every value comes through the softmax unchanged: its
        # weights add up to 1.
        always = self.key_value.bias[width:] + F.linear(norm.bias, self.key_value.weight[width:])
        query = split_heads(query, self.heads) * size**-0.5  # (B, H, L, D/H)
        asked = torch.einsum("bhld,hdc->bhlc", query, to_key).flatten(1, 2)  # (B, H L, C)
        # Heads differ in their queries alone now, so that all of them share one product with the context.
        weights = torch.bmm(asked, context.transpose(1, 2)).softmax(dim=-1).to(context.dtype)  # (B, H L, S)
        seen = torch.bmm(weights, context).view(batch, self.heads, length, -1)  # (B, H, L, C)
        x = merge_heads(torch.einsum("bhlc,hdc->bhld", seen, to_value)) + always
        return self.out(x if unpadding is None else unpadding.unpad(x))


def initialise_attention(projection: nn.Linear, out: nn.Linear, *, std: float, branch_std: float) -> None:
    """Normal weights, zero biases; `branch_std` is smaller the more branches are added up."""
    nn.init.normal_(projection.weight, std=std)
    nn.init.normal_(out.weight, std=branch_std)
    nn.init.zeros_(projection.bias)
    nn.init.zeros_(out.bias)
