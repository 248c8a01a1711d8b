"""Transformer passes over padded sequences without the work for their padding.

What a transformer does to single positions is done to the real ones alone, laid one after the other; only attention
sees the padded layout. Dimensions: B sequences, L positions, N real positions, D width.
"""

from torch import Tensor


class Unpadding:
    """The positions of padded sequences that are computed.

    Args:
        computed: (B, L), true for the positions that are computed.
    """

    def __init__(self, computed: Tensor) -> None:
        self._layout = computed.shape
        self._places = computed.flatten().nonzero()[:, 0]  # (N,) places in the flattened (B L)

    def unpad(self, x: Tensor) -> Tensor:
        """(B, L, ...) -> (N, ...), in reading order."""
        return x.flatten(0, 1).index_select(0, self._places)

    def pad(self, x: Tensor) -> Tensor:
        """(N, ...) -> (B, L, ...), zero where nothing was computed."""
        # Zeros are safe: a row that is not computed is masked, or comes after all that attend.
        rows = x.new_zeros(self._layout.numel(), *x.shape[1:])
        return rows.index_copy(0, self._places, x).view(*self._layout, *x.shape[1:])


def until_last(wanted: Tensor) -> Tensor:
    """(B, L), true up to the last position of each sequence that is wanted."""
    return wanted.flip(1).cumsum(1).flip(1) > 0  # how many wanted ones are at a position or after it
