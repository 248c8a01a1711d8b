"""Does an index hold together? Table, manifest, ledger, snapshot and the files on disk, compared with each other.

Reads every row and looks at every file without opening it; encodes nothing. What is derived from the table, or only
remembers, can be repaired; rows are the truth, and what is wrong with them is for `index` to make anew.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import status_of
from cocasearch.indexing.generations import sweep, unnamed_tables
from cocasearch.indexing.ledger import LEDGER_FILE, Ledger
from cocasearch.indexing.lock import writer_lock
from cocasearch.indexing.manifest import Manifest, read_manifest
from cocasearch.indexing.records import record_id
from cocasearch.indexing.table import IndexTable
from cocasearch.indexing.vectors import SNAPSHOT_FOLDER, VectorSnapshot, open_snapshot, remove_snapshots
from cocasearch.indexing.versions import latest_version

Progress = Callable[[int, int], None]
"""Called with rows done and rows in all."""

Vectors = NDArray[np.float32]
Remedy = Literal["repair", "index", "rebuild"]
"""What mends it: `verify --repair`; the next `index`, since nothing is wrong with the index; or a new table alone."""

_EXAMPLES = 3
_UNIT = 1e-3  # most that the length of a unit vector is off
_ROUNDING = 2e-3  # most that numbers of at most 1 lose in half precision, and some
_COLUMNS = ["id", "root", "path", "size", "mtime_ns", "caption", "model_fingerprint", "embedding", "missing_since"]


@dataclass
class Problem:
    """A kind of thing that is not as it should be: how often, some examples, what mends it and whether that is done."""

    part: str
    what: str
    remedy: Remedy
    count: int = 0
    examples: list[str] = field(default_factory=list)
    repaired: bool = False


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


class _Findings:
    """Collects problems by kind."""

    def __init__(self) -> None:
        self._problems: dict[str, Problem] = {}

    def add(self, part: str, what: str, remedy: Remedy, example: str) -> None:
        problem = self._problems.setdefault(f"{part} {what}", Problem(part, what, remedy))
        problem.count += 1
        if len(problem.examples) < _EXAMPLES:
            problem.examples.append(example)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._problems.values())

    def of(self, part: str) -> list[Problem]:
        return [problem for problem in self if problem.part == part]


def verify_index(index: Path, *, repair: bool = False, progress: Progress | None = None) -> Verification:
    """Check everything about an index, and with `repair` make anew what is derived.

    Args:
        index: The index folder.
        repair: Needs the writer's lock; without it nothing is written.
        progress: Called some thousands of rows at a time.

    Raises:
        CocaSearchError: There is no index, its manifest or its table cannot be read at all, or, to repair, another
            process is writing.
    """
    manifest = read_manifest(index)
    with ExitStack() as stack:
        if repair:
            stack.enter_context(writer_lock(index))
        table, findings = IndexTable(index, manifest.table), _Findings()
        snapshot = _check_snapshot(index, manifest, findings)
        rows = _RowChecks(manifest, index, snapshot, findings)
        count = _check_rows(table, rows, findings, progress)
        _check_ledger(index, manifest, findings)
        for leftover in unnamed_tables(index):
            findings.add("leftovers", "tables that nothing refers to", "repair", leftover.name)
        if repair:
            _repair(index, manifest, findings)
    return Verification(count, tuple(findings))


def _check_rows(table: IndexTable, rows: "_RowChecks", findings: _Findings, progress: Progress | None) -> int:
    """Check every row; the number of those that could be read."""
    rows.check_table(table)
    done = 0
    try:
        total = len(table) + table.count_missing()
        for batch in table.batches(_COLUMNS, with_missing=True):
            rows.check(batch)
            done += batch.num_rows
            if progress:
                progress(done, total)
    except (OSError, RuntimeError) as error:  # LanceDB's kinds
        findings.add("table", "files that are damaged", "rebuild", str(error).splitlines()[0])
    else:
        rows.check_completeness()
    return done


class _RowChecks:
    """Looks at each row once: at itself, at its file, and at its copy in the snapshot."""

    def __init__(self, manifest: Manifest, index: Path, snapshot: VectorSnapshot | None, findings: _Findings) -> None:
        self._manifest, self._snapshot, self._findings = manifest, snapshot, findings
        self._roots = manifest.locate_roots(index)
        self._absent = {key for key, folder in self._roots.items() if not folder.is_dir()}
        for key in sorted(self._absent):
            findings.add("files", "folders that are not there now", "index", str(self._roots[key]))
        ids = snapshot.rows["id"].to_pylist() if snapshot else []
        self._copies = {id: position for position, id in enumerate(ids)}
        self._ids: set[str] = set()
        self._present = 0

    def check_table(self, table: IndexTable) -> None:
        if table.dimension != self._manifest.dimension:
            dimensions = f"{table.dimension}, not {self._manifest.dimension} as in the manifest"
            self._findings.add("table", "vectors of another dimension than the manifest's", "rebuild", dimensions)

    def check(self, batch: pa.RecordBatch) -> None:
        vectors = batch.column("embedding").flatten().to_numpy().reshape(batch.num_rows, -1)
        lengths = np.linalg.norm(vectors, axis=1)
        rows = batch.select([name for name in _COLUMNS if name != "embedding"]).to_pylist()
        copies = self._copies_of([row["id"] for row in rows])
        alike = self._are_alike(rows, vectors)
        for row, length, is_alike in zip(rows, lengths.tolist(), alike, strict=True):
            self._check_row(row, length)
            if row["missing_since"] is None:
                self._present += 1
                self._check_file(row)
                self._check_copy(row, copies, is_alike)

    def check_completeness(self) -> None:
        """Whether the snapshot holds more than the table. To be called after the last batch."""
        for id in self._copies.keys() - self._ids:
            self._findings.add("snapshot", "rows that the table has not", "repair", id)
        if self._snapshot is not None and len(self._snapshot) > self._present and self._copies.keys() <= self._ids:
            self._findings.add(
                "snapshot", "rows of missing files or twice the same", "repair", f"{len(self._snapshot)}"
            )

    def _check_row(self, row: Mapping[str, Any], length: float) -> None:
        path, fingerprint = row["path"], row["model_fingerprint"]
        wrong = {
            "rows with the id of another row": row["id"] in self._ids,
            "rows whose id is not their path's": row["id"] != record_id(row["root"], path),
            "rows of an unknown root": row["root"] not in self._roots,
            "rows of another model than the index's": fingerprint != self._manifest.model_fingerprint,
            "vectors that are no unit vectors": not abs(length - 1) <= _UNIT,  # nor is one that is no number
        }
        self._ids.add(row["id"])
        for what, is_so in wrong.items():
            if is_so:
                self._findings.add("table", what, "rebuild", path)

    def _check_file(self, row: Mapping[str, Any]) -> None:
        if row["root"] not in self._roots or row["root"] in self._absent:
            return
        file = self._roots[row["root"]] / row["path"]
        try:
            status = status_of(file)
        except CocaSearchError:
            status = None
        if status is None:
            self._findings.add("files", "photos that are not there any more", "index", str(file))
        elif (status.st_size, status.st_mtime_ns) != (row["size"], row["mtime_ns"]):
            self._findings.add("files", "photos that have changed since they were indexed", "index", str(file))

    def _copies_of(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The snapshot's rows of these ids, by id."""
        if self._snapshot is None:
            return {}
        positions = [self._copies[id] for id in ids if id in self._copies]
        return {row["id"]: row for row in self._snapshot.rows.take(pa.array(positions, pa.int64())).to_pylist()}

    def _are_alike(self, rows: Sequence[Mapping[str, Any]], vectors: Vectors) -> list[bool]:
        """Whether each row's vector is that of its copy; so are those without one."""
        held = [at for at, row in enumerate(rows) if row["id"] in self._copies]
        alike = np.ones(len(rows), bool)
        if held and self._snapshot:
            own = np.stack([self._snapshot.vector(self._copies[rows[at]["id"]]) for at in held])
            same_size = own.shape[1] == vectors.shape[1]
            alike[held] = np.abs(own - vectors[held]).max(axis=1) <= _ROUNDING if same_size else False
        return alike.tolist()

    def _check_copy(self, row: Mapping[str, Any], copies: Mapping[str, Mapping[str, Any]], is_alike: bool) -> None:
        if self._snapshot is None:
            return
        copy = copies.get(row["id"])
        if copy is None:
            self._findings.add("snapshot", "rows that it lacks", "repair", row["path"])
        elif not is_alike or any(copy[name] != row[name] for name in ("root", "path", "caption")):
            self._findings.add("snapshot", "rows that differ from the table's", "repair", row["path"])


def _check_snapshot(index: Path, manifest: Manifest, findings: _Findings) -> VectorSnapshot | None:
    """The snapshot of the table's latest version; none if it is stale or missing, which the next query mends."""
    version = latest_version(index, manifest.table)
    if version is None:
        return None
    snapshot = VectorSnapshot.open(index, manifest.table, version)
    is_there = any((index / SNAPSHOT_FOLDER).glob(f"{manifest.table}-v{version}.*"))
    if snapshot is None and is_there:
        findings.add("snapshot", "files that are damaged", "repair", f"{manifest.table}-v{version}")
    return snapshot


def _check_ledger(index: Path, manifest: Manifest, findings: _Findings) -> None:
    try:
        ledger = Ledger(index)
    except CocaSearchError as error:
        findings.add("ledger", "files that are damaged", "repair", str(error))
        return
    known = {root.key for root in manifest.roots}
    for entry in ledger:
        if entry.root not in known:
            findings.add("ledger", "entries of an unknown root", "repair", entry.path)


def _repair(index: Path, manifest: Manifest, findings: _Findings) -> None:
    """Make anew what can be, for the holder of the writer's lock."""
    if findings.of("ledger"):
        _repair_ledger(index, manifest)
    if findings.of("snapshot"):
        remove_snapshots(index, manifest.table)
        open_snapshot(index, manifest.table)
    sweep(index)
    for problem in findings:
        problem.repaired = problem.remedy == "repair"


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
