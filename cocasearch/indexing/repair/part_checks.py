"""Looks at what lies beside the rows of an index: snapshot, known files, full-text index, unreadable files."""

from cocasearch.errors import CocaSearchError, first_line
from cocasearch.indexing.repair.problems import Problems
from cocasearch.indexing.repair.row_checks import RowChecks
from cocasearch.indexing.scan.known_files import is_sound
from cocasearch.indexing.snapshot.snapshot_files import find_snapshot, is_complete
from cocasearch.indexing.snapshot.vector_snapshot import VectorSnapshot
from cocasearch.indexing.store.full_text import ids_to_be_found
from cocasearch.indexing.store.location import IndexLocation
from cocasearch.indexing.store.manifest import Manifest
from cocasearch.indexing.store.row_filters import ROWS_PER_CHANGE
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.unreadable_files import UnreadableFiles
from cocasearch.indexing.store.versions import LANCE_ERRORS, UnreadableTable

DAMAGED = "files that are damaged"
UNREADABLE = "unreadable files"

_SOME_WORD = "picture"  # to be looked for where there is no other: that the index can be read


def check_snapshot(index: IndexLocation, manifest: Manifest, version: int, problems: Problems) -> VectorSnapshot | None:
    """Give the snapshot of a version of the table; none if it is stale or missing, which the next query mends."""
    snapshot = find_snapshot(index, manifest.table, version)
    if snapshot is None and is_complete(index, manifest.table, version):
        problems.add("snapshot", DAMAGED, "repair", f"{manifest.table}-v{version}")
    return snapshot


def check_known_files(index: IndexLocation, manifest: Manifest, table: IndexTable, problems: Problems) -> None:
    """Check what is kept of the sizes and times of a table's files."""
    if not is_sound(index.folder, manifest.table, table):
        what = "sizes and times of files that are not the table's"
        problems.add("known files", what, "repair", f"{manifest.table}-v{table.version}")


def check_caption_index(table: IndexTable, rows: RowChecks, problems: Problems, part: str = "captions") -> None:
    """Check whether every caption is found by its words.

    Args:
        table: Of which every row has been looked at.
        rows: What has looked at them.
        problems: Where problems go.
        part: What they are called there.
    """
    try:
        if not table.has_caption_index:
            problems.add(part, "no full-text index", "repair", "captions cannot be searched for words")
            return
        found_by_words = table.ids_with_words(sorted(rows.words) or [_SOME_WORD])
    except (UnreadableTable, *LANCE_ERRORS) as error:
        problems.add(part, DAMAGED, "repair", first_line(error))
        return
    lacking = sorted(rows.paths_with_words.keys() - found_by_words)
    for start in range(0, len(lacking), ROWS_PER_CHANGE):
        lacking_rows = table.rows(lacking[start : start + ROWS_PER_CHANGE])
        for id in sorted(ids_to_be_found(lacking_rows, sorted(rows.words))):
            problems.add(part, "captions that the full-text index lacks", "repair", rows.paths_with_words[id])


def check_unreadable_files(index: IndexLocation, manifest: Manifest, problems: Problems) -> None:
    """Check the list of unreadable files."""
    try:
        unreadable = UnreadableFiles(index)
    except CocaSearchError as error:
        problems.add(UNREADABLE, DAMAGED, "repair", str(error))
        return
    known = {root.key for root in manifest.roots}
    for entry in unreadable:
        if entry.root not in known:
            problems.add(UNREADABLE, "entries of an unknown root", "repair", entry.path)
