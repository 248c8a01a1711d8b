"""Two rankings of the same rows made one: reciprocal rank fusion.

Source: Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
methods", SIGIR 2009. Numbers in, numbers out.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

K = 60  # the paper's; it keeps one first place from outweighing everything


class FusedRow(NamedTuple):
    """One row of the fused ranking; ranks begin with 1, `other_rank` is 0 for a row that the other ranking lacks."""

    fused_score: float
    rank: int
    other_rank: int


def fuse(n_rows: int, other: NDArray[np.int64], top_k: int) -> list[FusedRow]:
    """The best rows by the sum of 1 / (K + rank) over two rankings, best first.

    Rows are named by their places in the first ranking, which is complete; equal sums stay in its order.

    Args:
        n_rows: Length of the first ranking.
        other: (M,) places in the first ranking, from 0, of the rows of the second, best first.
        top_k: Number of rows to give at most.
    """
    places = np.union1d(np.arange(min(top_k, n_rows)), other)  # of those in the first ranking only, no more can win
    other_ranks = np.zeros(len(places), np.int64)
    other_ranks[np.searchsorted(places, other)] = np.arange(1, len(other) + 1)
    fused = 1 / (K + places + 1) + np.where(other_ranks > 0, 1 / (K + other_ranks), 0)
    best = np.argsort(-fused, kind="stable")[:top_k]
    return [FusedRow(float(fused[at]), int(places[at]) + 1, int(other_ranks[at])) for at in best]
