"""Does an index hold together? Table, manifest, photos and all that is derived or noted, compared with each other.

Reads every row and looks at every file, without opening it unless that is wanted; encodes nothing. What is derived
from the table, or only remembers, can be repaired; rows are the truth, and what is wrong with them is for `index` to
make anew.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cocasearch.errors import CocaSearchError, first_line
from cocasearch.images.discovery import status_of
from cocasearch.indexing.repair.part_checks import (
    DAMAGED,
    UNREADABLE,
    check_caption_index,
    check_known_files,
    check_snapshot,
    check_unreadable_files,
)
from cocasearch.indexing.repair.problems import Problem, Problems
from cocasearch.indexing.repair.recovery import can_go_back, damaged_versions, go_back, set_damaged_versions_aside
from cocasearch.indexing.repair.row_checks import COLUMNS, CopyChecks, FileChecks, RowChecks
from cocasearch.indexing.scan.known_files import keep_known_files
from cocasearch.indexing.snapshot.snapshot_files import open_snapshot, remove_snapshots
from cocasearch.indexing.store.location import (
    MANIFEST_FILE,
    REBUILD_UNREADABLE_FILE,
    TABLE_SUFFIX,
    UNREADABLE_FILE,
    AnyIndex,
    IndexLocation,
)
from cocasearch.indexing.store.manifest import Manifest, find_rebuild, read_manifest, restore_manifest
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.unreadable_files import UnreadableFiles
from cocasearch.indexing.store.versions import VERSIONS_FOLDER, UnreadableTable, latest_version
from cocasearch.indexing.table_swap import drop_rebuild, end_rebuild, open_for_writing, unnamed_tables
from cocasearch.lock import writer_lock

Progress = Callable[[int, int], None]
"""Called with rows done and rows in all."""

_ATTEMPTS = 3  # beside a writer
_REBUILD_CAPTIONS = "rebuild's captions"
_BESIDE_TABLE = (UNREADABLE, "manifest", "rebuild", _REBUILD_CAPTIONS, "versions")  # repaired though it cannot be read


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


def verify_index(
    index: AnyIndex, *, repair: bool = False, content: bool = False, progress: Progress | None = None
) -> Verification:
    """Check everything about an index, and with `repair` make anew what is derived.

    Args:
        index: The index.
        repair: Needs the writer's lock; without it nothing is written.
        content: Read all photos, too, and compare what they hold with what they held when they were indexed.
        progress: Called some thousands of rows at a time.

    Raises:
        CocaSearchError: There is no index, its manifest cannot be read, its table is lost, or another process is
            writing: to repair, none may, and what seems wrong is looked at again only a few times.
    """
    location = IndexLocation.of(index)
    if repair:
        if not location.manifest_copy.exists():
            read_manifest(location)  # where there is no index, nothing is written
        with writer_lock(location.folder):
            return _repaired(location, content, progress)
    for _ in range(_ATTEMPTS):
        before = _state(location)
        try:
            rows, problems = _check(location, content, progress)
        except CocaSearchError:
            if _state(location) == before:
                raise
        else:
            verification = Verification(rows, tuple(problems))
            if verification.ok or _state(location) == before:
                return verification
    message = f"the index at {index} is being written: what was found may belong to different moments"
    raise CocaSearchError(message, hint="wait for its writer to end, and try again")


def _state(index: IndexLocation) -> set[tuple[Path, int, int]]:
    """What a writer changes whenever it changes an index: the same before and after if none has done so between."""
    patterns = ("*.json", f"*{TABLE_SUFFIX}/{VERSIONS_FOLDER}/*.manifest")
    files = [*(file for pattern in patterns for file in index.folder.glob(pattern)), *index.snapshots.glob("*")]
    there = ((file, status_of(file)) for file in files)
    return {(file, status.st_mtime_ns, status.st_size) for file, status in there if status}


def _check(index: IndexLocation, content: bool, progress: Progress | None) -> tuple[int, Problems]:
    """Check everything: the number of rows that could be read, and what is wrong."""
    manifest, problems = read_manifest(index), Problems()
    count = _check_table(index, manifest, problems, content, progress)
    if problems.has("table", DAMAGED) and can_go_back(index, manifest.table):
        problems.mend_by("repair", "table", DAMAGED)
    check_unreadable_files(index, manifest, problems)
    _check_rebuild(index, problems)
    if not problems.has("rebuild", DAMAGED):  # else it is not known what it refers to
        for leftover in sorted(unnamed_tables(index.folder)):
            problems.add("leftovers", "tables that nothing refers to", "repair", leftover)
    return count, problems


def _check_table(
    index: IndexLocation, manifest: Manifest, problems: Problems, content: bool, progress: Progress | None
) -> int:
    """Check the table and what is derived from the same version of it."""
    try:
        table = IndexTable(index, manifest.table)
    except UnreadableTable as error:
        problems.add("table", DAMAGED, "rebuild", first_line(error))
        return 0
    copies = CopyChecks(check_snapshot(index, manifest, table.version, problems), problems)
    _check_versions(index, manifest, problems)
    rows = RowChecks(manifest, problems)
    rows.check_dimension(table.dimension)
    files = FileChecks(manifest, index, problems, content=content)
    count = _check_rows(table, (rows, files, copies), problems, progress)
    if not problems.has("table", DAMAGED):
        copies.check_completeness()
        check_known_files(index, manifest, table, problems)
        check_caption_index(table, rows, problems)
    return count


def _repaired(index: IndexLocation, content: bool, progress: Progress | None) -> Verification:
    """Check and repair, for the holder of the writer's lock."""
    is_restored = restore_manifest(index)
    with suppress(CocaSearchError):  # one that is damaged is told of below
        end_rebuild(index.folder)
    count, problems = _check(index, content, progress)
    manifest, pending = read_manifest(index), _pending(index)
    tables = {"table": manifest.table} | ({"rebuild": pending.table} if pending else {})
    lost = {part: go_back(index, table) for part, table in tables.items() if problems.has(part, DAMAGED)}
    for part, name in (("table", UNREADABLE_FILE), ("rebuild", REBUILD_UNREADABLE_FILE)):
        if lost.get(part) is not None:
            _forget_unreadable(index, tables[part], name)
    if any(places is not None for places in lost.values()):
        count, problems = _check(index, content, progress)
    if problems.has("table", DAMAGED):
        problems.mend_by("rebuild", "table", DAMAGED)
    is_given_up = problems.has("rebuild")
    for part in lost:
        if not problems.has(part, DAMAGED):
            version = f"{tables[part]}-v{latest_version(index, tables[part])}"
            problems.add(part, "damaged versions, in whose place an earlier one is", "repair", version)
    if is_given_up:
        drop_rebuild(index.folder)
    for _, path in lost.get("table") or ():
        problems.add("table", "photos that have to be indexed again", "index", path)
    set_damaged_versions_aside(index, tables.values())
    if is_restored:
        problems.add("manifest", "damaged or lost, in whose place its copy is", "repair", MANIFEST_FILE)
    _repair(index, manifest, problems)
    return Verification(count, tuple(problems))


def _forget_unreadable(index: IndexLocation, table: str, name: str) -> None:
    """Forget those unreadable files that a table gone back to has rows of, as they were: they are tried once more."""
    with suppress(CocaSearchError):  # a list that is damaged is forgotten as a whole
        unreadable = UnreadableFiles(index, name)
        for batch in IndexTable(index, table).batches(["root", "path"], with_missing=True):
            for row in batch.to_pylist():
                unreadable.discard(row["root"], row["path"])
        unreadable.save()


def _pending(index: IndexLocation) -> Manifest | None:
    """The manifest of a rebuild that has not been completed; None if there is none that can be read."""
    with suppress(CocaSearchError):
        return find_rebuild(index)
    return None


def _check_versions(index: IndexLocation, manifest: Manifest, problems: Problems) -> None:
    for file in damaged_versions(index, manifest.table):
        problems.add("versions", "older ones that are damaged", "repair", f"{manifest.table}: {file.name}")


def _check_rows(
    table: IndexTable,
    checks: tuple[RowChecks | FileChecks | CopyChecks, ...],
    problems: Problems,
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
        problems.add("table", DAMAGED, "rebuild", first_line(error))
    return done


def _check_rebuild(index: IndexLocation, problems: Problems) -> None:
    """Whether a rebuild that has not been completed can go on; repairing forgets one that cannot."""
    try:
        pending = find_rebuild(index)
        if pending is None:
            return
        UnreadableFiles(index, REBUILD_UNREADABLE_FILE)
        rows = RowChecks(pending, problems, pending=True)
        table = IndexTable(index, pending.table)
        _check_versions(index, pending, problems)
        rows.check_dimension(table.dimension)
        for batch in table.batches(COLUMNS, with_missing=True):
            rows.check(batch)
        check_caption_index(table, rows, problems, _REBUILD_CAPTIONS)
    except CocaSearchError as error:
        problems.add("rebuild", DAMAGED, "repair", first_line(error))


def _repair(index: IndexLocation, manifest: Manifest, problems: Problems) -> None:
    """Make anew what can be, for the holder of the writer's lock."""
    if problems.has(UNREADABLE):
        _repair_unreadable_files(index, manifest)
    is_readable = not problems.has("table", DAMAGED)
    if is_readable:
        table = open_for_writing(index.folder, manifest, rebuild=False).table  # sweeps up leftovers
        if problems.has("table", RowChecks.DOUBLED):
            table.remove_doubles()
        if problems.has("captions"):
            table.index_captions(anew=True)
        if problems.has("snapshot"):
            remove_snapshots(index, manifest.table)
        open_snapshot(index, manifest.table)
        keep_known_files(index.folder, manifest.table, table)
    if problems.has(_REBUILD_CAPTIONS) and (pending := _pending(index)):
        IndexTable(index, pending.table).index_captions(anew=True)
    for problem in problems:
        problem.repaired = problem.remedy == "repair" and (is_readable or problem.part in _BESIDE_TABLE)


def _repair_unreadable_files(index: IndexLocation, manifest: Manifest) -> None:
    try:
        unreadable = UnreadableFiles(index)
    except CocaSearchError:
        index.unreadable_files.unlink()  # its files are tried once more
        return
    known = {root.key for root in manifest.roots}
    for entry in [entry for entry in unreadable if entry.root not in known]:
        unreadable.discard(entry.root, entry.path)
    unreadable.save()
