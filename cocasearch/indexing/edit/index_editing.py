"""Changes rows of an index by hand: what all such changes have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cocasearch.indexing.scan.known_files import keep_known_files
from cocasearch.indexing.snapshot.snapshot_files import open_snapshot
from cocasearch.indexing.store.location import IndexLocation
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.table_swap import WritableTable, open_all_for_writing
from cocasearch.interruption import uninterrupted
from cocasearch.lock import writer_lock


@dataclass(frozen=True)
class RootPart:
    """A part of a root: the file or folder at `path` there; all of it if that is empty."""

    root: str
    path: str

    def holds(self, root: str, path: str) -> bool:
        """Whether a file is in it."""
        return root == self.root and (not self.path or f"{path}/".startswith(f"{self.path}/"))


@contextmanager
def editing(index: IndexLocation) -> Iterator[list[WritableTable]]:
    """The table of an index, and beside it that of a stopped rebuild, to change both; what derives from them follows.

    A Ctrl-C takes effect when all is done.

    Raises:
        CocaSearchError: No index there, or another process is writing.
    """
    read_manifest(index)
    with writer_lock(index.folder), uninterrupted():
        tables = open_all_for_writing(index.folder)
        yield tables
        name, table = tables[0].manifest.table, tables[0].table
        open_snapshot(index, name)
        keep_known_files(index.folder, name, table)
