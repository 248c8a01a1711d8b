"""Does an index hold together? Table, manifest, ledger, photos and all that is derived, compared with each other.

Reads every row and looks at every file without opening it; encodes nothing. What is derived from the table, or only
remembers, can be repaired; rows are the truth, and what is wrong with them is for `index` to make anew.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import status_of
from cocasearch.indexing.caption_words import ids_to_be_found
from cocasearch.indexing.findings import Findings, Problem
from cocasearch.indexing.generations import drop_rebuild, open_generation, unnamed_tables
from cocasearch.indexing.known_files import is_sound, keep_known_files
from cocasearch.indexing.ledger import LEDGER_FILE, REBUILD_LEDGER_FILE, Ledger
from cocasearch.indexing.lock import writer_lock
from cocasearch.indexing.manifest import (
    COPY_FILE,
    MANIFEST_FILE,
    REBUILD_FILE,
    Manifest,
    find_manifest,
    read_manifest,
    restore_manifest,
)
from cocasearch.indexing.recovery import can_go_back, go_back
from cocasearch.indexing.row_checks import COLUMNS, CopyChecks, FileChecks, RowChecks
from cocasearch.indexing.snapshots import SNAPSHOT_FOLDER, find_snapshot, open_snapshot, remove_snapshots
from cocasearch.indexing.table import ROWS_PER_CHANGE, TABLE_SUFFIX, IndexTable
from cocasearch.indexing.vectors import VectorSnapshot
from cocasearch.indexing.versions import UnreadableTable, latest_version

Progress = Callable[[int, int], None]
"""Called with rows done and rows in all."""

_ATTEMPTS = 3  # beside a writer
_DAMAGED = "files that are damaged"
_SOME_WORD = "picture"  # to be looked for where there is no other: that the index can be read
_LANCE_ERRORS = (OSError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        rows: Rows of the table, those of missing files too.
        problems: In the order of the parts.
    """

    rows: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong any more. That files have changed or gone since the last run is not wrong."""
        return all(problem.repaired or problem.remedy == "index" for problem in self.problems)


def verify_index(index: Path, *, repair: bool = False, progress: Progress | None = None) -> Verification:
    """Check everything about an index, and with `repair` make anew what is derived.

    Args:
        index: The index folder.
        repair: Needs the writer's lock; without it nothing is written.
        progress: Called some thousands of rows at a time.

    Raises:
        CocaSearchError: There is no index, its manifest cannot be read, its table is lost, or another process is
            writing: to repair, none may, and what seems wrong is looked at again only a few times.
    """
    if repair:
        if not (index / COPY_FILE).exists():
            read_manifest(index)  # where there is no index, nothing is written
        with writer_lock(index):
            return _repaired(index, progress)
    for _ in range(_ATTEMPTS):
        before = _state(index)
        try:
            rows, findings = _check(index, progress)
        except CocaSearchError:
            if _state(index) == before:
                raise
        else:
            found = Verification(rows, tuple(findings))
            if found.ok or _state(index) == before:
                return found
    message = f"the index at {index} is being written: what was found may belong to different moments"
    raise CocaSearchError(message, hint="wait for its writer to end, and try again")


def _state(index: Path) -> set[tuple[Path, int, int]]:
    """What a writer changes whenever it changes an index: the same before and after if none has done so between."""
    patterns = ("*.json", f"{SNAPSHOT_FOLDER}/*", f"*{TABLE_SUFFIX}/_versions/*.manifest")
    there = ((file, status_of(file)) for pattern in patterns for file in index.glob(pattern))
    return {(file, status.st_mtime_ns, status.st_size) for file, status in there if status}


def _check(index: Path, progress: Progress | None) -> tuple[int, Findings]:
    """Check everything: the number of rows that could be read, and what is wrong."""
    manifest, findings = read_manifest(index), Findings()
    count = _check_table(index, manifest, findings, progress)
    if findings.has("table", _DAMAGED) and can_go_back(index, manifest.table):
        findings.mend_by("repair", "table", _DAMAGED)
    _check_ledger(index, manifest, findings)
    _check_rebuild(index, findings)
    if not findings.has("rebuild", _DAMAGED):  # else it is not known what it refers to
        for leftover in sorted(unnamed_tables(index)):
            findings.add("leftovers", "tables that nothing refers to", "repair", leftover)
    return count, findings


def _check_table(index: Path, manifest: Manifest, findings: Findings, progress: Progress | None) -> int:
    """Check the table and what is derived from the same version of it."""
    try:
        table = IndexTable(index, manifest.table)
    except UnreadableTable as error:
        findings.add("table", _DAMAGED, "rebuild", _first_line(error))
        return 0
    copies = CopyChecks(_open_snapshot(index, manifest, table.version, findings), findings)
    rows = RowChecks(manifest, findings)
    rows.check_dimension(table.dimension)
    count = _check_rows(table, (rows, FileChecks(manifest, index, findings), copies), findings, progress)
    if not findings.has("table", _DAMAGED):
        copies.check_completeness()
        _check_known_files(index, manifest, table, findings)
        _check_caption_index(table, rows, findings)
    return count


def _repaired(index: Path, progress: Progress | None) -> Verification:
    """Check and repair, for the holder of the writer's lock."""
    is_restored = restore_manifest(index)
    count, findings = _check(index, progress)
    manifest, pending = read_manifest(index), _pending(index)
    tables = {"table": manifest.table} | ({"rebuild": pending.table} if pending else {})
    lost = {part: go_back(index, table) for part, table in tables.items() if findings.has(part, _DAMAGED)}
    for part, ledger in (("table", LEDGER_FILE), ("rebuild", REBUILD_LEDGER_FILE)):
        if lost.get(part) is not None:
            _forget_unreadable(index, tables[part], ledger)
    if any(places is not None for places in lost.values()):
        count, findings = _check(index, progress)
    if findings.has("table", _DAMAGED):
        findings.mend_by("rebuild", "table", _DAMAGED)
    is_given_up = findings.has("rebuild")
    for part in lost:
        if not findings.has(part, _DAMAGED):
            version = f"{tables[part]}-v{latest_version(index, tables[part])}"
            findings.add(part, "damaged versions, in whose place an earlier one is", "repair", version)
    if is_given_up:
        drop_rebuild(index)
    for _, path in lost.get("table") or ():
        findings.add("table", "photos that have to be indexed again", "index", path)
    if is_restored:
        findings.add("manifest", "damaged or lost, in whose place its copy is", "repair", MANIFEST_FILE)
    _repair(index, manifest, findings)
    return Verification(count, tuple(findings))


def _forget_unreadable(index: Path, table: str, name: str) -> None:
    """Forget those unreadable files that a table gone back to has rows of, as they were: they are tried once more."""
    with suppress(CocaSearchError):  # a list that is damaged is forgotten as a whole
        ledger = Ledger(index, name)
        for batch in IndexTable(index, table).batches(["root", "path"], with_missing=True):
            for row in batch.to_pylist():
                ledger.discard(row["root"], row["path"])
        ledger.save()


def _pending(index: Path) -> Manifest | None:
    """The manifest of a rebuild that has not been completed; None if there is none that can be read."""
    with suppress(CocaSearchError):
        return find_manifest(index / REBUILD_FILE)
    return None


def _check_rows(
    table: IndexTable,
    checks: tuple[RowChecks | FileChecks | CopyChecks, ...],
    findings: Findings,
    progress: Progress | None,
) -> int:
    """Check every row; the number of those that could be read."""
    done = 0
    try:
        total = len(table) + table.count_missing()
        for batch in table.batches(COLUMNS, with_missing=True):
            for check in checks:
                check.check(batch)
            done += batch.num_rows
            if progress:
                progress(done, total)
    except UnreadableTable as error:
        findings.add("table", _DAMAGED, "rebuild", _first_line(error))
    return done


def _open_snapshot(index: Path, manifest: Manifest, version: int, findings: Findings) -> VectorSnapshot | None:
    """The snapshot of a version of the table; none if it is stale or missing, which the next query mends."""
    snapshot = find_snapshot(index, manifest.table, version)
    is_there = any((index / SNAPSHOT_FOLDER).glob(f"{manifest.table}-v{version}.*"))
    if snapshot is None and is_there:
        findings.add("snapshot", _DAMAGED, "repair", f"{manifest.table}-v{version}")
    return snapshot


def _check_known_files(index: Path, manifest: Manifest, table: IndexTable, findings: Findings) -> None:
    if not is_sound(index, manifest.table, table):
        what = "sizes and times of files that are not the table's"
        findings.add("known files", what, "repair", f"{manifest.table}-v{table.version}")


def _check_caption_index(table: IndexTable, rows: RowChecks, findings: Findings) -> None:
    """Whether every caption is found by its words."""
    try:
        if not table.has_caption_index:
            findings.add("captions", "no full-text index", "repair", "captions cannot be searched for words")
            return
        found = table.ids_with_words(sorted(rows.words) or [_SOME_WORD])
    except (UnreadableTable, *_LANCE_ERRORS) as error:
        findings.add("captions", _DAMAGED, "repair", _first_line(error))
        return
    lacking = sorted(rows.paths_with_words.keys() - found)
    for start in range(0, len(lacking), ROWS_PER_CHANGE):
        some = table.rows(lacking[start : start + ROWS_PER_CHANGE])
        for id in sorted(ids_to_be_found(some, sorted(rows.words))):
            findings.add("captions", "captions that the full-text index lacks", "repair", rows.paths_with_words[id])


def _check_ledger(index: Path, manifest: Manifest, findings: Findings) -> None:
    try:
        ledger = Ledger(index)
    except CocaSearchError as error:
        findings.add("ledger", _DAMAGED, "repair", str(error))
        return
    known = {root.key for root in manifest.roots}
    for entry in ledger:
        if entry.root not in known:
            findings.add("ledger", "entries of an unknown root", "repair", entry.path)


def _check_rebuild(index: Path, findings: Findings) -> None:
    """Whether a rebuild that has not been completed can go on; repairing forgets one that cannot."""
    try:
        pending = find_manifest(index / REBUILD_FILE)
        if pending is None:
            return
        Ledger(index, REBUILD_LEDGER_FILE)
        rows = RowChecks(pending, findings, pending=True)
        table = IndexTable(index, pending.table)
        rows.check_dimension(table.dimension)
        for batch in table.batches(COLUMNS, with_missing=True):
            rows.check(batch)
    except CocaSearchError as error:
        findings.add("rebuild", _DAMAGED, "repair", _first_line(error))


def _repair(index: Path, manifest: Manifest, findings: Findings) -> None:
    """Make anew what can be, for the holder of the writer's lock."""
    if findings.has("ledger"):
        _repair_ledger(index, manifest)
    is_readable = not findings.has("table", _DAMAGED)
    if is_readable:
        table = open_generation(index, manifest, rebuild=False).table  # sweeps up leftovers
        if findings.has("table", RowChecks.DOUBLED):
            table.remove_doubles()
        if findings.has("captions"):
            table.index_captions(anew=True)
        if findings.has("snapshot"):
            remove_snapshots(index, manifest.table)
        open_snapshot(index, manifest.table)
        keep_known_files(index, manifest.table, table)
    for problem in findings:
        problem.repaired = problem.remedy == "repair" and (
            is_readable or problem.part in ("ledger", "manifest", "rebuild")
        )


def _repair_ledger(index: Path, manifest: Manifest) -> None:
    try:
        ledger = Ledger(index)
    except CocaSearchError:
        (index / LEDGER_FILE).unlink()  # its files are tried once more
        return
    known = {root.key for root in manifest.roots}
    for entry in [entry for entry in ledger if entry.root not in known]:
        ledger.discard(entry.root, entry.path)
    ledger.save()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
