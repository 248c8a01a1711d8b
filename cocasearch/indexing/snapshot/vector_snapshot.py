"""The vectors of an index with what a plain query prints of each row, searched exactly.

Knows nothing about models and queries, nor about the files that all this lies in.
"""

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cocasearch.indexing.snapshot.exact_search import ExactSearch, Positions, Vector
from cocasearch.indexing.store.record_rows import unsure_captions
from cocasearch.indexing.store.records import ImageKey

_LONG_AGO = -(2**62)  # seconds, before any photo


class VectorSnapshot:
    """Half-precision vectors of a whole table with their rows, searched exactly. A position is a row's place in both.

    Args:
        vectors: N unit vectors.
        rows: Their N rows, of `SNAPSHOT_SCHEMA`.
        version: The version of the table that both were derived from.

    Attributes:
        rows: As given, as is `version`.
    """

    def __init__(self, vectors: ExactSearch, rows: pa.Table, version: int) -> None:
        self._vectors = vectors
        self._batches: list[pa.RecordBatch] = rows.to_batches()
        self._ends = np.cumsum([batch.num_rows for batch in self._batches])
        self.rows = rows
        self.version = version

    def __len__(self) -> int:
        return len(self._vectors)

    def vector(self, position: int) -> Vector:
        """The unit vector (E,) of the row at a position, as exact as half precision is."""
        return self._vectors.vector(position)

    def is_sound(self, position: int) -> bool:
        """Whether both copies of the vector at a position are the same, as far as the less exact one can tell."""
        return self._vectors.is_sound(position)

    def find(self, key: ImageKey) -> int | None:
        """The position of an image's row; None if there is none."""
        position: int = pc.index(self.rows["id"], key.id).as_py()
        return None if position < 0 else position

    def with_content(self, content_hash: str) -> Positions:
        """The positions of the rows of all files with that content."""
        return np.flatnonzero(np.asarray(pc.equal(self.rows["content_hash"], content_hash)))

    @property
    def has_captions(self) -> bool:
        """Whether any row has a caption."""
        return bool(self.rows["caption"].null_count < len(self))

    @property
    def has_confidences(self) -> bool:
        """Whether the caption of any row has a confidence."""
        return bool(self.rows["caption_confidence"].null_count < len(self))

    @cached_property
    def unsure(self) -> NDArray[np.bool_]:
        """Which rows (N,) have an unsure caption."""
        return np.asarray(unsure_captions(self.rows), bool)

    def nearest(
        self, vector: Vector, top_k: int, among: NDArray[np.bool_] | None = None
    ) -> tuple[Positions, NDArray[np.float32]]:
        """The positions of the `top_k` rows (or all, if fewer) of highest cosine with a vector, and these, falling.

        Args:
            vector: (E,) unit vector.
            top_k: Number of rows to give at most.
            among: (N,) rows that compete; None for all.
        """
        return self._vectors.nearest(vector, top_k, among)

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

    def rows_at(self, positions: Positions) -> list[dict[str, Any]]:
        """The rows at these positions, in their order, as values by column; no others are read."""
        rows: dict[int, dict[str, Any]] = {}
        homes = np.searchsorted(self._ends, positions, side="right")
        for home in np.unique(homes):
            wanted = positions[homes == home]
            batch = self._batches[home]
            inside = wanted - (self._ends[home] - batch.num_rows)
            rows.update(zip(wanted.tolist(), batch.take(pa.array(inside)).to_pylist(), strict=True))
        return [rows[position] for position in positions.tolist()]
