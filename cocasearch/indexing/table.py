"""The image table, in LanceDB: the only truth of an index.

Receives and gives Arrow rows; every change is one atomic version of the table. Knows nothing about models, files or
the snapshot that is derived from it.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import lancedb
import pyarrow as pa

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.manifest import index_command
from cocasearch.indexing.records import ImageRecord, record_schema, records_to_table

TABLE_SUFFIX = ".lance"
_IDS_PER_DELETE = 2_000
_ROWS_PER_READ = 16_384
_VERSIONS_KEPT = 16


class IndexTable:
    """One version after another of the rows of an index.

    A handle stays on the version it has opened or written: readers are not disturbed by a writer.

    Args:
        index: The index folder.
        name: The table's name in the manifest.

    Raises:
        CocaSearchError: There is no such table.
    """

    def __init__(self, index: Path, name: str) -> None:
        self._index = index
        self._versions_folder = index / f"{name}{TABLE_SUFFIX}" / "_versions"
        try:
            self._table = lancedb.connect(index).open_table(name)
        except (ValueError, FileNotFoundError) as error:
            hint = index_command(index, "./photos", "--rebuild")
            raise CocaSearchError(f"the index at {index} has lost its table {name}", hint=hint) from error

    @classmethod
    def create(cls, index: Path, name: str, dimension: int) -> "IndexTable":
        """An empty table for vectors of `dimension` numbers, in place of any leftover of that name."""
        shutil.rmtree(index / f"{name}{TABLE_SUFFIX}", ignore_errors=True)
        lancedb.connect(index).create_table(name, schema=record_schema(dimension))
        return cls(index, name)

    def __len__(self) -> int:
        return int(self._table.count_rows())

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
        with self._writing():
            self._table.add(records_to_table(records, self._table.schema))

    def replace(self, records: Sequence[ImageRecord]) -> None:
        """Put records in the place of those with the same ids."""
        rows = records_to_table(records, self._table.schema)
        with self._writing():
            self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def remove(self, ids: Sequence[str]) -> None:
        """Delete the rows with these ids; unknown ids are no error."""
        for start in range(0, len(ids), _IDS_PER_DELETE):
            quoted = ", ".join(f"'{id}'" for id in ids[start : start + _IDS_PER_DELETE])
            with self._writing():
                self._table.delete(f"id IN ({quoted})")

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows, some thousands at a time, with the columns asked for."""
        yield from self._table.search().select(list(columns)).to_batches(batch_size=_ROWS_PER_READ)

    def known_files(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Size and time of change (ns) of each indexed file, by root key and path."""
        known: dict[tuple[str, str], tuple[int, int]] = {}
        for batch in self.batches(["root", "path", "size", "mtime_ns"]):
            roots, paths, sizes, times = (column.to_pylist() for column in batch.columns)
            known.update(zip(zip(roots, paths, strict=True), zip(sizes, times, strict=True), strict=True))
        return known

    def count_without_caption(self) -> int:
        """The number of rows that were made without captions."""
        return int(self._table.count_rows("caption IS NULL"))

    def compact(self) -> None:
        """Merge fragments, where there may be many, and drop older versions: a reader still on one must open anew."""
        versions = sum(1 for _ in self._versions_folder.glob("*.manifest"))  # each has added at most one fragment
        if versions > _VERSIONS_KEPT:  # few cost little, and merging rewrites their neighbours
            with self._writing():
                self._table.optimize(cleanup_older_than=timedelta(milliseconds=1))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            hint = "see that the disk has room and can be written to, then run again: what was stored is kept"
            raise CocaSearchError(f"cannot write to the index at {self._index}: {reason}", hint=hint) from error
