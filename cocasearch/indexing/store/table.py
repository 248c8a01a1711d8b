"""The image table, in LanceDB: the only truth of an index.

Receives and gives Arrow rows; every change is one atomic version of the table. Rows whose file is missing stay, and are
shown only to those who ask for them. Knows nothing about models, files or the snapshot that is derived from it.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from operator import methodcaller
from typing import Any, Literal

import lancedb
import pyarrow as pa
from lancedb.table import Table

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.store.full_text import CAPTION_INDEX, ids_with_words, index_words
from cocasearch.indexing.store.location import AnyIndex, IndexLocation
from cocasearch.indexing.store.record_rows import record_schema, records_to_table
from cocasearch.indexing.store.records import ImageRecord, StoredCaption
from cocasearch.indexing.store.row_filters import PRESENT, ROWS_PER_CHANGE, WITHOUT_CAPTION, below, conditions
from cocasearch.indexing.store.table_files import TableFiles
from cocasearch.indexing.store.versions import (
    LANCE_ERRORS,
    UnreadableTable,
    cannot_write,
    is_of_lance,
    refuse_if_lost,
    version_files,
)

_ROWS_PER_READ = 16_384
_VECTORS_PER_READ = 1_024  # LanceDB reads many such pieces ahead
_VERSIONS_KEPT = 16
_NEVER = timedelta(days=36_500)
_UNINDEXED_KEPT = 4_096  # captions read one by one in a search for words, which takes some milliseconds


class IndexTable:
    """One version after another of the rows of an index.

    A handle stays on the version it has opened or written: readers are not disturbed by a writer.

    Args:
        index: The index.
        name: The table's name in the manifest.

    Raises:
        CocaSearchError: There is no such table.
        UnreadableTable: It is damaged. So may everything else raise that reads rows.
    """

    def __init__(self, index: AnyIndex, name: str) -> None:
        self._index, self._name = IndexLocation.of(index), name
        self._files = TableFiles(self._index.table(name))
        self._open()

    def _open(self) -> None:
        """Go on with the latest version there is."""
        refuse_if_lost(self._index, self._name)
        try:
            self._table = lancedb.connect(self._index.folder).open_table(self._name)
        except Exception as error:
            if not is_of_lance(error):
                raise
            raise UnreadableTable(self._index, self._name, error) from error
        # A version file of zeros, as a power cut may leave, is no error to LanceDB.
        if "embedding" not in self._table.schema.names:
            raise UnreadableTable(self._index, self._name, ValueError("it has lost its columns"))

    @classmethod
    def create(cls, index: AnyIndex, name: str, dimension: int) -> "IndexTable":
        """An empty table for vectors of `dimension` numbers, in place of any leftover of that name."""
        location = IndexLocation.of(index)
        for is_last in (False, True):
            shutil.rmtree(location.table(name), ignore_errors=True)
            try:
                lancedb.connect(location.folder).create_table(name, schema=record_schema(dimension))
                table = cls(index, name)
                break
            except (*LANCE_ERRORS, CocaSearchError) as error:
                if is_last:
                    raise cannot_write(index, error) from error
        table.index_captions()
        return table

    def __len__(self) -> int:
        """The number of images whose file is there."""
        with self._reading():
            return int(self._table.count_rows(PRESENT))

    def count_missing(self) -> int:
        """The number of rows whose file is missing."""
        with self._reading():
            return int(self._table.count_rows()) - len(self)

    @property
    def version(self) -> int:
        """The version that this handle sees."""
        return int(self._table.version)

    @property
    def dimension(self) -> int:
        """Numbers per vector."""
        return int(self._table.schema.field("embedding").type.list_size)

    def add(self, records: Sequence[ImageRecord]) -> None:
        """Append records whose ids the table does not hold."""
        self._write(methodcaller("add", records_to_table(records, self._table.schema)))

    def replace(self, records: Sequence[ImageRecord]) -> None:
        """Put records in the place of those with the same ids."""
        self.put(records_to_table(records, self._table.schema))

    def remove(self, ids: Sequence[str]) -> None:
        """Delete the rows with these ids; unknown ids are no error."""
        for chosen in conditions(ids):
            self._write(methodcaller("delete", chosen))

    def remove_below(self, root: str, path: str) -> None:
        """Delete the rows of the file at `path` in a root, or of all below it; of the whole root if it is empty."""
        self._write(methodcaller("delete", below(root, path)))

    def count_below(self, root: str, path: str) -> int:
        """The number of those rows, of missing files too."""
        with self._reading():
            return int(self._table.count_rows(below(root, path)))

    def batches_below(self, root: str, path: str) -> Iterator[pa.RecordBatch]:
        """Those rows with all columns, some thousands at a time."""
        with self._reading():
            yield from self._table.search().where(below(root, path)).to_batches(batch_size=_ROWS_PER_READ)

    def set_captions(self, captions: Mapping[str, StoredCaption]) -> None:
        """Give the rows with these ids, one at least, their captions in one step, and leave all else of them."""
        names = ["id", *StoredCaption._fields]
        columns = zip(*((id, *caption) for id, caption in captions.items()), strict=True)
        rows = pa.table(list(map(list, columns)), schema=pa.schema([self._table.schema.field(name) for name in names]))
        self._write(lambda table: table.merge_insert("id").when_matched_update_all().execute(rows))

    def mark_missing(self, ids: Sequence[str], since: datetime) -> None:
        """Hide the rows with these ids, whose files were not found at the time `since` (UTC)."""
        for chosen in conditions(ids):
            values = {"missing_since": since.replace(microsecond=0)}
            self._write(methodcaller("update", where=chosen, values=values))

    def mark_found(self, ids: Sequence[str]) -> None:
        """Show the rows with these ids again: their files are back."""
        for chosen in conditions(ids):
            self._write(methodcaller("update", where=chosen, values_sql={"missing_since": "NULL"}))

    def batches(self, columns: Sequence[str], *, with_missing: bool = False) -> Iterator[pa.RecordBatch]:
        """All rows, some thousands at a time, with the columns asked for; those of missing files only if wanted."""
        query = self._table.search().select(list(columns))
        if not with_missing:
            query = query.where(PRESENT)
        size = _VECTORS_PER_READ if "embedding" in columns else _ROWS_PER_READ
        with self._reading():
            yield from query.to_batches(batch_size=size)

    def places_with(self, hashes: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        """Content hash, root and path of each row with one of these hashes, its file missing or not."""
        names = ["content_hash", "root", "path"]
        for chosen in conditions(hashes, "content_hash"):
            with self._reading():
                rows = self._table.search().where(chosen).select(names).to_list()
            yield from ((row["content_hash"], row["root"], row["path"]) for row in rows)

    def captions_of(
        self, values: Sequence[str], column: Literal["id", "content_hash"] = "id"
    ) -> Iterator[dict[str, Any]]:
        """Id, content hash and stored caption of each row with one of these values, its file missing or not."""
        for chosen in conditions(values, column):
            with self._reading():
                query = self._table.search().where(chosen).select(["id", "content_hash", *StoredCaption._fields])
                yield from query.to_list()

    def rows(self, ids: Sequence[str]) -> pa.Table:
        """The whole rows with these ids, in any order; unknown ids are no error."""
        with self._reading():
            pieces = [self._table.search().where(chosen).to_arrow() for chosen in conditions(ids)]
        return pa.concat_tables([self._table.schema.empty_table(), *(rows.cast(self._table.schema) for rows in pieces)])

    def put(self, rows: pa.Table, without: Sequence[str] = ()) -> None:
        """Put whole rows in the place of those with the same ids, or beside the others, and delete some, in one step.

        Args:
            rows: As `rows` gives them; no id twice.
            without: Ids of the rows to delete, none of them among those of `rows`; some thousands at most.
        """

        def change(table: Table) -> None:
            merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            for chosen in conditions(without):
                merge = merge.when_not_matched_by_source_delete(chosen)
            merge.execute(rows)

        self._write(change)

    def count_without_caption(self) -> int:
        """The number of rows without a caption."""
        return self.count(WITHOUT_CAPTION)

    def count(self, condition: str, *, with_missing: bool = False) -> int:
        """The number of rows that meet a condition of `row_filters`; those of missing files, too, only if wanted."""
        with self._reading():
            return int(self._table.count_rows(condition if with_missing else f"{condition} AND {PRESENT}"))

    def compact(self) -> None:
        """Merge fragments, where there may be many, and drop older versions: a reader still on one must open anew.

        Takes captions into their full-text index, where it lacks many.
        """
        refuse_if_lost(self._index, self._name)
        versions = len(version_files(self._index, self._name))  # each has added at most one fragment
        words = self._table.index_stats(CAPTION_INDEX)
        unindexed = words.num_unindexed_rows if words else 0
        if versions > _VERSIONS_KEPT or unindexed > _UNINDEXED_KEPT:  # few cost little, and merging rewrites neighbours
            with self._reading():
                self._table.list_versions()  # where one is damaged, compacting would fail: verify mends that
            for age in (_NEVER, timedelta(milliseconds=1)):  # older versions go when the new one is on the disk
                self._write(methodcaller("optimize", cleanup_older_than=age))

    @property
    def has_caption_index(self) -> bool:
        """Whether there is a full-text index of captions."""
        with self._reading():
            return self._table.index_stats(CAPTION_INDEX) is not None

    def index_captions(self, *, anew: bool = False) -> None:
        """Make the full-text index of captions, if there is none: even empty, it tells how words are compared."""
        if anew or not self.has_caption_index:
            self._write(index_words)

    def ids_with_words(self, words: Sequence[str]) -> set[str]:
        """The ids of the rows, of missing files too, with one of some words in their captions, by the full-text index.

        Raises:
            OSError, RuntimeError, ValueError: It cannot be read.
        """
        return ids_with_words(self._table, words)

    def remove_doubles(self) -> None:
        """Of rows with the same id keep the one that was written last."""
        last: dict[str, int] = {}
        doubles: list[str] = []
        for batch in self._table.search().select(["id"]).with_row_id(True).to_batches(batch_size=_ROWS_PER_READ):
            for id, row in zip(batch["id"].to_pylist(), batch["_rowid"].to_pylist(), strict=True):
                if id in last:
                    doubles.append(str(min(row, last[id])))
                last[id] = max(row, last.get(id, row))
        for start in range(0, len(doubles), ROWS_PER_CHANGE):
            row_ids = ", ".join(doubles[start : start + ROWS_PER_CHANGE])
            self._write(methodcaller("delete", f"_rowid IN ({row_ids})"))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not is_of_lance(error):
                raise
            raise UnreadableTable(self._index, self._name, error) from error

    def _write(self, change: Callable[[Table], object]) -> None:
        """Make a change that lasts: when this returns, it was read back and is on the disk.

        One that fails, maybe after LanceDB has taken it, or that LanceDB has cut short without noticing, is taken back
        and made once more, so that nothing is stored twice and nothing half.
        """
        refuse_if_lost(self._index, self._name)  # LanceDB would write all the same, and make the folders anew
        before = self._files.there()
        for is_last in (False, True):
            try:
                change(self._table)
                if self._files.settle(before):
                    self._open()  # anew: the other handle remembers what it has written
                    for _ in self.batches(["id"], with_missing=True):
                        pass
                return
            except (OSError, RuntimeError, UnreadableTable) as error:
                try:
                    self._files.take_back(before)
                    self._open()
                except (OSError, CocaSearchError):
                    is_last = True
                if is_last:
                    raise cannot_write(self._index, error) from error
