"""The vectors of an index with what a plain query prints of each row, searched exactly.

Knows nothing about models and queries, nor about the files that all this lies in.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

ROW_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("root", pa.string()),
        ("path", pa.string()),
        ("caption", pa.string()),
        ("caption_score", pa.float32()),
        ("taken_at", pa.timestamp("s")),
    ]
)
Vector = NDArray[np.float32]
Positions = NDArray[np.int64]

_LONG_AGO = -(2**62)  # seconds, before any photo
_ROWS_PER_THREAD = 32_768  # at least, which take a millisecond or more: to start a thread takes a tenth


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """What the snapshot carries of a row beside its vector."""

    id: str
    root: str
    path: str
    caption: str | None
    caption_score: float | None
    taken_at: datetime | None


class VectorSnapshot:
    """Half-precision vectors of a whole table with their rows, searched exactly. A position is a row's place in both.

    Args:
        vectors: Flat inner-product index of N unit vectors.
        rows: Their N rows, of `ROW_SCHEMA`.
        version: The version of the table that both were derived from.

    Attributes:
        rows: As given, as is `version`.
    """

    def __init__(self, vectors: faiss.Index, rows: pa.Table, version: int) -> None:
        self._vectors = vectors
        self._batches: list[pa.RecordBatch] = rows.to_batches()
        self._ends = np.cumsum([batch.num_rows for batch in self._batches])
        self.rows = rows
        self.version = version

    def __len__(self) -> int:
        return int(self._vectors.ntotal)

    def vector(self, position: int) -> Vector:
        """The unit vector (E,) of the row at a position, as exact as half precision is."""
        found: NDArray[np.float32] = np.asarray(self._vectors.reconstruct(position))
        return found

    def find(self, root: str, path: str) -> int | None:
        """The position of the row of a file; None if there is none."""
        is_it = pc.and_(pc.equal(self.rows["path"], path), pc.equal(self.rows["root"], root))
        position: int = pc.index(is_it, True).as_py()
        return None if position < 0 else position

    @property
    def has_captions(self) -> bool:
        """Whether any row has a caption."""
        return bool(self.rows["caption"].null_count < len(self))

    def nearest(
        self, vector: Vector, top_k: int, among: NDArray[np.bool_] | None = None
    ) -> tuple[Positions, NDArray[np.float32]]:
        """The positions of the `top_k` rows (or all, if fewer) of highest cosine with a vector, and these, falling.

        Args:
            vector: (E,) unit vector.
            top_k: So many rows at most.
            among: (N,) rows that compete; None for all.
        """
        top_k = min(top_k, len(self) if among is None else int(np.count_nonzero(among)))
        if top_k == 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        query = np.ascontiguousarray(vector[None], dtype=np.float32)
        parts = _parts(len(self))
        if len(parts) == 1:
            found = [self._nearest_in(parts[0], query, top_k, among)]
        else:
            # FAISS would give each of them a team of its own, whose idle threads spin on the cores of the others.
            with ThreadPoolExecutor(len(parts), initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
                found = list(pool.map(lambda part: self._nearest_in(part, query, top_k, among), parts))
        positions, scores = (np.concatenate(pieces) for pieces in zip(*found, strict=True))
        best = np.argsort(-scores, kind="stable")[:top_k]
        return positions[best], scores[best].clip(-1, 1)  # rounding to half precision may lengthen a vector

    def _nearest_in(
        self, part: range, query: NDArray[np.float32], top_k: int, among: NDArray[np.bool_] | None
    ) -> tuple[Positions, NDArray[np.float32]]:
        """The same of the rows in a part alone, in no order if scores are the same."""
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
        (scores,), (positions,) = self._vectors.search(query, top_k, params=chosen)
        return positions, scores

    def positions_of(self, ids: pa.ChunkedArray) -> Positions:
        """The position of each of these ids, -1 for one that is not here."""
        at = pc.index_in(self.rows["id"], value_set=ids)
        here = np.asarray(at.is_valid())
        positions = np.full(len(ids), -1, np.int64)
        positions[at.drop_null().to_numpy()] = np.flatnonzero(here)
        return positions

    def newest(self, top_k: int, among: NDArray[np.bool_]) -> Positions:
        """The positions of the `top_k` rows among some, (N,), that were taken last; those without a date come last."""
        positions = np.flatnonzero(among)
        taken_at = self.rows["taken_at"].cast(pa.int64()).fill_null(_LONG_AGO).to_numpy()[positions]
        return positions[np.argsort(-taken_at, kind="stable")[:top_k]]

    def rows_at(self, positions: Positions) -> list[SnapshotRow]:
        """The rows at these positions, in their order; no others are read."""
        rows: dict[int, SnapshotRow] = {}
        homes = np.searchsorted(self._ends, positions, side="right")
        for home in np.unique(homes):
            wanted = positions[homes == home]
            batch = self._batches[home]
            inside = wanted - (self._ends[home] - batch.num_rows)
            found = (SnapshotRow(**row) for row in batch.take(pa.array(inside)).to_pylist())
            rows.update(zip(wanted.tolist(), found, strict=True))
        return [rows[position] for position in positions.tolist()]


def _parts(count: int) -> list[range]:
    """Rows 0 to `count` for each thread: FAISS itself gives a single query no more than one."""
    n_parts = max(1, min(faiss.omp_get_max_threads(), count // _ROWS_PER_THREAD))
    ends = [count * at // n_parts for at in range(n_parts + 1)]
    return [range(start, end) for start, end in pairwise(ends)]
