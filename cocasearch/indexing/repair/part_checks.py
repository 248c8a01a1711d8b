"""Looks at what lies beside the rows of an index: snapshot, known files, full-text index, unreadable files."""

from pathlib import Path

from cocasearch.errors import CocaSearchError, first_line
from cocasearch.indexing.repair.problems import Findings
from cocasearch.indexing.repair.row_checks import RowChecks
from cocasearch.indexing.scan.known_files import is_sound
from cocasearch.indexing.snapshot.snapshots import SNAPSHOT_FOLDER, find_snapshot
from cocasearch.indexing.snapshot.vectors import VectorSnapshot
from cocasearch.indexing.store.full_text import ids_to_be_found
from cocasearch.indexing.store.manifest import Manifest
from cocasearch.indexing.store.row_conditions import ROWS_PER_CHANGE
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.unreadable_files import Ledger
from cocasearch.indexing.store.versions import LANCE_ERRORS, UnreadableTable

DAMAGED = "files that are damaged"

_SOME_WORD = "picture"  # to be looked for where there is no other: that the index can be read


def check_snapshot(index: Path, manifest: Manifest, version: int, findings: Findings) -> VectorSnapshot | None:
    """Give the snapshot of a version of the table; none if it is stale or missing, which the next query mends."""
    snapshot = find_snapshot(index, manifest.table, version)
    is_there = any((index / SNAPSHOT_FOLDER).glob(f"{manifest.table}-v{version}.*"))
    if snapshot is None and is_there:
        findings.add("snapshot", DAMAGED, "repair", f"{manifest.table}-v{version}")
    return snapshot


def check_known_files(index: Path, manifest: Manifest, table: IndexTable, findings: Findings) -> None:
    """Check what is kept of the sizes and times of a table's files."""
    if not is_sound(index, manifest.table, table):
        what = "sizes and times of files that are not the table's"
        findings.add("known files", what, "repair", f"{manifest.table}-v{table.version}")


def check_caption_index(table: IndexTable, rows: RowChecks, findings: Findings, part: str = "captions") -> None:
    """Check whether every caption is found by its words.

    Args:
        table: Of which every row has been looked at.
        rows: What has looked at them.
        findings: Where problems go.
        part: What they are called there.
    """
    try:
        if not table.has_caption_index:
            findings.add(part, "no full-text index", "repair", "captions cannot be searched for words")
            return
        found = table.ids_with_words(sorted(rows.words) or [_SOME_WORD])
    except (UnreadableTable, *LANCE_ERRORS) as error:
        findings.add(part, DAMAGED, "repair", first_line(error))
        return
    lacking = sorted(rows.paths_with_words.keys() - found)
    for start in range(0, len(lacking), ROWS_PER_CHANGE):
        some = table.rows(lacking[start : start + ROWS_PER_CHANGE])
        for id in sorted(ids_to_be_found(some, sorted(rows.words))):
            findings.add(part, "captions that the full-text index lacks", "repair", rows.paths_with_words[id])


def check_ledger(index: Path, manifest: Manifest, findings: Findings) -> None:
    """Check the list of unreadable files."""
    try:
        ledger = Ledger(index)
    except CocaSearchError as error:
        findings.add("ledger", DAMAGED, "repair", str(error))
        return
    known = {root.key for root in manifest.roots}
    for entry in ledger:
        if entry.root not in known:
            findings.add("ledger", "entries of an unknown root", "repair", entry.path)
