"""Questions to one version of the image table that only LanceDB can answer: SQL conditions and words in captions.

Answers with the ids of rows whose file is there. Knows nothing about vectors; brings LanceDB, so import it when needed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lancedb.query import MatchQuery
from numpy.typing import NDArray

from cocasearch.indexing.store.location import AnyIndex, IndexLocation
from cocasearch.indexing.store.row_filters import PRESENT
from cocasearch.indexing.store.versions import LANCE_ERRORS, VersionGone, has_version
from cocasearch.indexing.store.where_clause import refusal
from cocasearch.indexing.store.where_parser import Condition, read_condition

_NAMED = 3  # values that are near what a condition asks for
_OF_ONE_PHOTO = ("path", "caption", "root")  # there is no use in naming some


class TableView:
    """One version of an index's table, whatever a writer adds meanwhile.

    Args:
        index: The index.
        table: The table's name in the manifest.
        version: Its version.
        roots: Present folder of each root by its key, for conditions on paths.

    Raises:
        VersionGone: There is no such version.
    """

    def __init__(self, index: AnyIndex, table: str, version: int, roots: Mapping[str, Path] | None = None) -> None:
        self._index, self._version, self._roots = index, version, roots
        try:
            self._table = lancedb.connect(IndexLocation.of(index).folder).open_table(table)
            self._table.checkout(version)
        except (ValueError, OSError, RuntimeError) as error:
            raise VersionGone(str(error)) from error

    def ids_where(self, condition: str) -> pa.ChunkedArray:
        """The ids of the rows that meet an SQL condition, in no order.

        Raises:
            CocaSearchError: It is none that LanceDB understands; the message says why and names the columns.
            VersionGone: See above.
        """
        with self._reading(condition):
            met = f"{PRESENT} AND ({self._read(condition).sql})"  # in brackets nothing can follow it but an end
            return self._table.search().where(met).select(["id"]).to_arrow()["id"]

    def values_near(self, condition: str) -> dict[str, str]:
        """What there is of the columns that a condition names, in words: the values most like what it asks for."""
        with self._reading(condition):
            asked = self._read(condition).columns
            listed = {column: texts for column, texts in asked.items() if column not in _OF_ONE_PHOTO}
            near = {column: _in_words(self._values(column), texts) for column, texts in listed.items()}
            starts = list(map(str, (self._roots or {}).values())) if "path" in asked else []
            return near | ({"path": f"begins with {' or '.join(starts[:_NAMED])}"} if starts else {})

    def ids_with_words(
        self, words: str, limit: int, condition: str | None = None
    ) -> tuple[pa.ChunkedArray, NDArray[np.float32]]:
        """The ids of the `limit` rows whose captions fit some words best, and their BM25 scores, highest first.

        Words are compared by their stems, English, without those that every sentence has; any of them will do.
        Captions that the full-text index does not hold yet are found like all others.

        Args:
            words: What to look for.
            limit: Number of rows to give at most.
            condition: SQL that rows must meet to compete at all; scores are the same with and without.

        Raises:
            CocaSearchError: The condition is none that LanceDB understands.
            VersionGone: See above.
        """
        met = None if condition is None else self.ids_where(condition)
        with self._reading(None):
            if met is None:
                return self._ids_with_words(words, limit)
            ids, scores = self._ids_with_words(words, max(1, self._table.count_rows()))
        chosen = np.asarray(pc.is_in(ids, value_set=met))  # filtered before, scores might differ
        return ids.filter(chosen)[:limit], scores[chosen][:limit]

    def _ids_with_words(self, words: str, limit: int) -> tuple[pa.ChunkedArray, NDArray[np.float32]]:
        # A plain string may ask for a phrase, which the index does not know.
        asked = MatchQuery(words, "caption")  # type: ignore[call-arg]  # pydantic's defaults
        query = self._table.search(asked, query_type="fts").limit(limit).where(PRESENT, prefilter=True)
        rows = query.select(["id", "_score"]).to_arrow().sort_by([("_score", "descending"), ("id", "ascending")])
        return rows["id"], rows["_score"].to_numpy()

    def _read(self, condition: str) -> Condition:
        return read_condition(condition, self._roots, lambda: self._values("camera"))

    def _values(self, column: str) -> list[Any]:
        """Each value of a column once, of rows whose file is there."""
        rows = self._table.search().select([column]).where(PRESENT).to_arrow()
        values: list[Any] = rows[column].unique().drop_null().to_pylist()
        return values

    @contextmanager
    def _reading(self, condition: str | None) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of LanceDB's, and a panic of Rust, whose class has no name
            if condition is not None and self._is_readable():
                raise refusal(condition, str(error)) from error
            if not isinstance(error, LANCE_ERRORS):
                raise
            raise VersionGone(str(error)) from error

    def _is_readable(self) -> bool:
        """Whether the version is there, and what a condition was to be tried on."""
        try:
            self._table.search().select(["id"]).to_arrow()
        except LANCE_ERRORS:
            return False
        return has_version(self._index, self._table.name, self._version)


def _in_words(values: list[Any], texts: list[str]) -> str:
    """Some of the values of a column: the least and the greatest number or time, or the texts most like some others."""
    if not values:
        return "is not known of any photo"
    if not isinstance(values[0], str):
        least, greatest = (f"{end:.3f}" if isinstance(end, float) else f"{end}" for end in (min(values), max(values)))
        return f"is {least}" if least == greatest else f"is from {least} to {greatest}"
    lower = {value.lower(): value for value in sorted(values, reverse=True)}
    near = [name for text in texts for name in get_close_matches(text.strip("%").lower(), lower, _NAMED, cutoff=0)]
    names = [lower[name] for name in dict.fromkeys(near or sorted(lower))]
    return f"is {' or '.join(map(repr, names[:_NAMED]))}" + (" or another" if len(lower) > _NAMED else "")
