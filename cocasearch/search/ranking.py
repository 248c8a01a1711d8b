"""One version of an index put in order: by vectors, by words in captions, by both, or by date.

Joins what the snapshot knows (vectors, dates) with what only the table can tell (conditions, words), by row ids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.snapshot.vector_snapshot import VectorSnapshot
from cocasearch.indexing.store.location import AnyIndex
from cocasearch.search.fusion import fuse

if TYPE_CHECKING:
    from cocasearch.indexing.store.table_view import TableView
    from cocasearch.search.query_terms import Query

Mode = Literal["vector", "text", "hybrid"]
"""What a query is compared with: images, captions, or both."""

Vector = NDArray[np.float32]

_MORE_THAN_WANTED = 16  # times as many captions are looked at first, for as many sure ones among them as are wanted


@dataclass(frozen=True, slots=True)
class RankedRow:
    """A row's position in the snapshot, and the figures that put it where it is; see `SearchHit`."""

    position: int
    score: float | None = None
    text_score: float | None = None
    vector_rank: int | None = None
    text_rank: int | None = None
    fused_score: float | None = None
    copies: tuple[int, ...] = ()


class Ranker:
    """Gives the best rows of one version of an index, best first; only those compete that meet a condition, if any.

    Args:
        index: The index.
        table: The table's name in the manifest.
        snapshot: The snapshot of one version of that table.
        roots: Present folder of each root by its key.

    Raises:
        CocaSearchError: By each method: the condition cannot be understood.
        VersionGone: By each method with a condition or words: a writer has removed that version meanwhile.
    """

    def __init__(self, index: AnyIndex, table: str, snapshot: VectorSnapshot, roots: Mapping[str, Path]) -> None:
        self._index, self._roots = index, roots
        self._table = table
        self._snapshot = snapshot

    def by_vector(
        self,
        vector: Vector,
        top_k: int,
        where: str | None = None,
        min_score: float | None = None,
        copies: Sequence[Sequence[int]] = (),
    ) -> list[RankedRow]:
        """By the cosine with a unit vector (E,), down to `min_score`.

        Of each group of `copies`, positions of rows, the first that competes stands for the others.
        """
        among, stands_for = None if where is None else self._meeting(where), dict[int, tuple[int, ...]]()
        for group in copies:
            first, *others = [at for at in group if among is None or among[at]] or [-1]
            if others:
                among = np.ones(len(self._snapshot), bool) if among is None else among
                among[others] = False
                stands_for[first] = tuple(others)
        positions, scores = self._nearest(vector, top_k, among, min_score)
        return [
            RankedRow(int(at), float(score), copies=stands_for.get(int(at), ()))
            for at, score in zip(positions, scores, strict=True)
        ]

    def by_words(
        self, words: str, top_k: int, where: str | None = None, *, all_captions: bool = False
    ) -> list[RankedRow]:
        """By the BM25 score of words and caption; unsure captions compete only if all are wanted."""
        positions, scores = self._with_words(words, top_k, where, all_captions)
        return [RankedRow(int(at), text_score=float(score)) for at, score in zip(positions, scores, strict=True)]

    def by_both(
        self,
        vector: Vector,
        words: str,
        top_k: int,
        where: str | None = None,
        min_score: float | None = None,
        *,
        all_captions: bool = False,
    ) -> list[RankedRow]:
        """By reciprocal rank fusion of both; every row has its rank by vector, none by an unsure caption."""
        among = None if where is None else self._meeting(where)
        positions, scores = self._nearest(vector, len(self._snapshot), among, min_score)
        with_words, text_scores = self._with_words(words, len(self._snapshot), where, all_captions)
        places = np.full(len(self._snapshot), -1, np.int64)
        places[positions] = np.arange(len(positions))
        competing = places[with_words] >= 0
        rows = fuse(len(positions), places[with_words[competing]], top_k)
        text_scores = text_scores[competing]
        return [
            RankedRow(
                position=int(positions[row.rank - 1]),
                score=float(scores[row.rank - 1]),
                text_score=float(text_scores[row.other_rank - 1]) if row.other_rank else None,
                vector_rank=row.rank,
                text_rank=row.other_rank or None,
                fused_score=row.fused_score,
            )
            for row in rows
        ]

    def by_date(self, top_k: int, where: str) -> list[RankedRow]:
        """The photos taken last first, those without a date at the end."""
        return [RankedRow(int(at)) for at in self._snapshot.newest(top_k, self._meeting(where))]

    def _nearest(
        self, vector: Vector, top_k: int, among: NDArray[np.bool_] | None, min_score: float | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        positions, scores = self._snapshot.nearest(vector, top_k, among)
        good = len(scores) if min_score is None else np.count_nonzero(scores >= min_score)
        return positions[:good], scores[:good]

    def _meeting(self, where: str) -> NDArray[np.bool_]:
        """Which rows of the snapshot (N,) meet a condition."""
        positions = self._snapshot.positions_of(self._view.ids_where(where))
        meeting = np.zeros(len(self._snapshot), bool)
        meeting[positions[positions >= 0]] = True
        return meeting

    def _with_words(
        self, words: str, limit: int, where: str | None, all_captions: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        if all_captions or not self._snapshot.unsure.any():
            return self._best_with_words(words, limit, where)
        more = limit * _MORE_THAN_WANTED
        if where is None and more < len(self._snapshot):  # a condition is met by a look at all of them anyway
            positions, scores = self._best_with_words(words, more, where)
            last = scores.min(initial=np.inf)  # there may be more rows of that score, in their order before those here
            sure = ~self._snapshot.unsure[positions] & (scores > last)
            if len(positions) == more and np.count_nonzero(sure) >= limit:
                return positions[sure][:limit], scores[sure][:limit]
        positions, scores = self._best_with_words(words, len(self._snapshot), where)
        sure = ~self._snapshot.unsure[positions]
        return positions[sure][:limit], scores[sure][:limit]

    def _best_with_words(
        self, words: str, limit: int, where: str | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Positions and BM25 scores of the rows that fit words best, whether or not their captions are sure."""
        ids, scores = self._view.ids_with_words(words, min(limit, len(self._snapshot)), where)
        positions = self._snapshot.positions_of(ids)
        return positions[positions >= 0], scores[positions >= 0]

    def values_near(self, where: str) -> dict[str, str]:
        """What there is of the columns that a condition is about, in words; nothing if rows meet it."""
        return {} if len(self._view.ids_where(where)) else self._view.values_near(where)

    @cached_property
    def _view(self) -> "TableView":
        from cocasearch.indexing.store.table_view import TableView  # brings LanceDB, which a plain query does without

        return TableView(self._index, self._table, self._snapshot.version, self._roots)


def check_arguments(
    query: "Query | None", where: str | None, mode: Mode, min_score: float | None, *, all_captions: bool
) -> None:
    """Refuse arguments of a search that do not fit together.

    Raises:
        CocaSearchError: The reason.
    """
    if mode not in get_args(Mode):
        raise CocaSearchError(f"no way to search is called '{mode}'; there are {', '.join(get_args(Mode))}")
    if query is None and (where is None or mode != "vector"):
        raise CocaSearchError("nothing to search for", hint='cocasearch query "a dog on a beach"')
    if min_score is not None and (query is None or mode == "text"):
        raise CocaSearchError("a smallest score is one of cosines, and no vectors are compared here")
    if all_captions and mode == "vector":
        raise CocaSearchError("all_captions goes with mode text or hybrid: by vectors alone, captions are not searched")
    if query is not None and mode != "vector" and not query.texts:
        raise CocaSearchError("captions are searched for words, and the query has none", hint="add --text WORDS")
    if query is not None and mode == "text" and query.images:
        raise CocaSearchError("captions cannot be searched for a photo", hint="search for both with --hybrid")
