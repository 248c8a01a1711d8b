"""The nearest of many unit vectors, exactly: a look at all of them in eight bits, then at the best in half precision.

To compare a query with a million vectors takes as long as to read them, so half the bytes take half the time. What
eight bits cannot tell apart, half precision does; and where they might have hidden a nearer vector, all are compared.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import faiss
import numpy as np
from numpy.typing import NDArray

from cocasearch.indexing.snapshot.faiss_file import widest_error

Vector = NDArray[np.float32]
Positions = NDArray[np.int64]
Scores = NDArray[np.float32]

_FEW = 32_768  # vectors, compared in a millisecond: with fewer, another thread or a shortlist saves next to nothing
_SHORTLIST = 512  # vectors of each thread that are compared again
_MOST_FROM_SHORTLIST = 32  # with more asked for, the last of the shortlist is likely too near the last of these
_ROUNDING = 1e-4  # more than the sum of a thousand products of unit vectors loses in single precision


class ExactSearch:
    """Finds the vectors of highest cosine with another.

    Args:
        vectors: Flat inner-product index of N unit vectors, whose scores count.
        rough: The same N vectors in eight bits; None if all are to be compared in `vectors`.
    """

    def __init__(self, vectors: faiss.IndexScalarQuantizer, rough: faiss.IndexScalarQuantizer | None = None) -> None:
        self._vectors = vectors
        self._rough = rough
        self._refined = None if rough is None else faiss.IndexRefine(rough, vectors)
        self._error = 0.0 if rough is None else widest_error(rough)

    def __len__(self) -> int:
        return int(self._vectors.ntotal)

    def vector(self, position: int) -> Vector:
        """The vector (E,) at a position, as exact as half precision is."""
        vector: Vector = np.asarray(self._vectors.reconstruct(position))
        return vector

    def is_sound(self, position: int) -> bool:
        """Whether the vector at a position is the same in eight bits, as far as these can tell."""
        if self._rough is None:
            return True
        error = np.abs(self._rough.reconstruct(position) - self.vector(position)).max(initial=0)
        return bool(error <= self._error + _ROUNDING)

    def nearest(self, vector: Vector, top_k: int, among: NDArray[np.bool_] | None = None) -> tuple[Positions, Scores]:
        """The positions of the `top_k` vectors (or all, if fewer) of highest cosine with one, and these, falling.

        Args:
            vector: (E,) unit vector.
            top_k: Number of vectors to give at most.
            among: (N,) those that compete; None for all.
        """
        top_k = min(top_k, len(self) if among is None else int(np.count_nonzero(among)))
        if top_k == 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        query = np.ascontiguousarray(vector[None], dtype=np.float32)
        parts = _parts(len(self))
        if len(parts) == 1:
            of_parts = [self._nearest_in(parts[0], query, top_k, among)]
        else:
            # FAISS would give each of them a team of its own, whose idle threads spin on the cores of the others.
            with ThreadPoolExecutor(len(parts), initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
                of_parts = list(pool.map(lambda part: self._nearest_in(part, query, top_k, among), parts))
        positions, scores = (np.concatenate(pieces) for pieces in zip(*of_parts, strict=True))
        best = np.argsort(-scores, kind="stable")[:top_k]
        best = best[positions[best] >= 0]  # FAISS fills up with -1 where vectors are no numbers
        return positions[best], scores[best].clip(-1, 1)  # rounding to half precision may lengthen a vector

    def _nearest_in(
        self, part: range, query: NDArray[np.float32], top_k: int, among: NDArray[np.bool_] | None
    ) -> tuple[Positions, Scores]:
        """The same of the vectors in a part alone, in no order if scores are the same."""
        competing = len(part) if among is None else int(np.count_nonzero(among[part.start : part.stop]))
        top_k = min(top_k, competing)
        if top_k == 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        selectors: list[faiss.IDSelector] = [faiss.IDSelectorRange(part.start, part.stop)]
        if among is not None:
            bits = np.packbits(among, bitorder="little")
            selectors.append(faiss.IDSelectorBitmap(bits))  # type: ignore[call-arg,arg-type]  # it takes an array
            selectors.append(faiss.IDSelectorAnd(*selectors))
        chosen = None if len(part) == len(self) and among is None else faiss.SearchParameters(sel=selectors[-1])  # type: ignore[call-arg]
        if top_k <= _MOST_FROM_SHORTLIST and competing >= _FEW:
            proven = self._nearest_of_shortlist(query, top_k, chosen)
            if proven:
                return proven
        (scores,), (positions,) = self._vectors.search(query, top_k, params=chosen)
        return positions, scores

    def _nearest_of_shortlist(
        self, query: NDArray[np.float32], top_k: int, chosen: faiss.SearchParameters | None
    ) -> tuple[Positions, Scores] | None:
        """The nearest of those that are nearest in eight bits; None if there may be nearer ones.

        No number of a vector is off by more than `self._error` in eight bits, so no score by more than that times the
        sum of the query's numbers. A vector that is not on the shortlist scores, in eight bits, no more than each that
        is on it, so in truth no more than the last of it and twice that.
        """
        if self._refined is None:
            return None
        how = faiss.IndexRefineSearchParameters(k_factor=1, base_index_params=chosen)  # type: ignore[call-arg]
        (scores,), (positions,) = self._refined.search(query, _SHORTLIST, params=how)
        most_hidden = scores[-1] + 2 * (self._error * np.abs(query).sum() + _ROUNDING)
        return (positions[:top_k], scores[:top_k]) if scores[top_k - 1] > most_hidden else None


def _parts(count: int) -> list[range]:
    """Rows 0 to `count` for each thread: FAISS itself gives a single query no more than one."""
    n_parts = max(1, min(faiss.omp_get_max_threads(), count // _FEW))
    ends = [count * at // n_parts for at in range(n_parts + 1)]
    return [range(start, end) for start, end in pairwise(ends)]
