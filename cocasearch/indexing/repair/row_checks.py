"""Looks at each row of an index's table once: at itself, at its file, and at its copy in the snapshot."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import file_stat, status_of
from cocasearch.indexing.repair.problems import ABSENT_FOLDERS, Problems, Remedy
from cocasearch.indexing.scan.hashing import hash_files
from cocasearch.indexing.snapshot.vector_snapshot import VectorSnapshot
from cocasearch.indexing.store.location import IndexLocation
from cocasearch.indexing.store.manifest import Manifest
from cocasearch.indexing.store.records import ImageKey

Vectors = NDArray[np.float32]

COLUMNS = ["id", "root", "path", "part", "content_hash", "size", "mtime_ns", "caption", "caption_confidence"]
COLUMNS += ["model_fingerprint", "embedding", "missing_since"]

_COPIED = ("root", "path", "caption", "caption_confidence")

_UNIT = 1e-3  # most that the length of a unit vector is off
_ROUNDING = 2e-3  # most that numbers of at most 1 lose in half precision, and some
_WORD = re.compile(r"\b[a-z]{7,30}\b")  # long enough to be in the full-text index most likely, which leaves some out


class RowChecks:
    """Whether rows are what their manifest says, and no two are the same.

    Args:
        manifest: That of their table.
        problems: Where problems go.
        pending: Whether the table is one of a rebuild that has not been completed, and can be given up.

    Attributes:
        words: Words of captions that a search for words must know.
        paths_with_words: The paths of rows with such words, by their ids.
    """

    DOUBLED: ClassVar[str] = "rows with the id of another row"

    def __init__(self, manifest: Manifest, problems: Problems, *, pending: bool = False) -> None:
        self._manifest, self._problems = manifest, problems
        self._roots = {root.key for root in manifest.roots}
        self._part = "rebuild" if pending else "table"
        self._remedy: Remedy = "repair" if pending else "rebuild"
        self._ids: set[str] = set()
        self.words: set[str] = set()
        self.paths_with_words: dict[str, str] = {}

    def check_dimension(self, dimension: int) -> None:
        """Check the length of the table's vectors."""
        if dimension != self._manifest.dimension:
            dimensions = f"{dimension}, not {self._manifest.dimension} as in the manifest"
            self._add("vectors of another dimension than the manifest's", dimensions)

    def check(self, batch: pa.RecordBatch) -> None:
        """Check some rows, with `COLUMNS`."""
        lengths = np.linalg.norm(_vectors(batch), axis=1).tolist()
        for row, length in zip(batch.drop_columns(["embedding"]).to_pylist(), lengths, strict=True):
            self._check_row(row, length)
            if words := _WORD.findall((row["caption"] or "").lower()):
                self.words.update(words)
                self.paths_with_words[row["id"]] = row["path"]

    def _check_row(self, row: Mapping[str, Any], length: float) -> None:
        path, fingerprint = row["path"], row["model_fingerprint"]
        wrong = {
            self.DOUBLED: row["id"] in self._ids,
            "rows whose id is not their path's": row["id"] != ImageKey(row["root"], path, row["part"]).id,
            "rows of an unknown root": row["root"] not in self._roots,
            "rows of another model than the index's": fingerprint != self._manifest.model_fingerprint,
            "vectors that are no unit vectors": not abs(length - 1) <= _UNIT,  # nor is one that is no number
        }
        self._ids.add(row["id"])
        for what in filter(wrong.get, wrong):
            self._add(what, path)

    def _add(self, what: str, example: str) -> None:
        self._problems.add(self._part, what, "repair" if what == self.DOUBLED else self._remedy, example)


class FileChecks:
    """Whether the files of rows are there, and unchanged.

    Args:
        manifest: That of the table.
        index: The index.
        problems: Where problems go.
        content: Whether to read the unchanged ones and to compare what they hold.
    """

    def __init__(self, manifest: Manifest, index: IndexLocation, problems: Problems, *, content: bool = False) -> None:
        self._problems, self._content = problems, content
        located = manifest.locate_roots(index)
        self._roots = {key: folder for key, folder in located.items() if folder.is_dir()}
        for key in sorted(located.keys() - self._roots.keys()):
            problems.add("files", ABSENT_FOLDERS, "index", str(located[key]))

    def check(self, batch: pa.RecordBatch) -> None:
        """Check the files of some rows, with `COLUMNS`."""
        unchanged: dict[Path, str] = {}
        for row in batch.select(["root", "path", "content_hash", "size", "mtime_ns", "missing_since"]).to_pylist():
            if row["missing_since"] is None and row["root"] in self._roots:
                file = self._roots[row["root"]] / row["path"]
                if self._is_unchanged(file, (row["size"], row["mtime_ns"])):
                    unchanged[file] = row["content_hash"]
        if self._content:
            self._check_content(unchanged)

    def _check_content(self, kept: Mapping[Path, str]) -> None:
        for file, content_hash in zip(kept, hash_files(kept), strict=True):
            if not content_hash:
                self._problems.add("files", "photos that cannot be read now", "index", str(file))
            elif content_hash != kept[file]:
                what = "photos whose content has changed, though neither size nor time of change has"
                self._problems.add("files", what, "touch", str(file))

    def _is_unchanged(self, file: Path, indexed: tuple[int, int]) -> bool:
        try:
            status = status_of(file)
        except CocaSearchError:
            status = None
        if status is None:
            self._problems.add("files", "photos that are not there any more", "index", str(file))
        elif file_stat(status) != indexed:
            self._problems.add("files", "photos that have changed since they were indexed", "index", str(file))
        else:
            return True
        return False


class CopyChecks:
    """Whether the snapshot holds the same rows.

    Args:
        snapshot: Of the same version as the table; None if there is none, and nothing to check.
        problems: Where problems go.
    """

    def __init__(self, snapshot: VectorSnapshot | None, problems: Problems) -> None:
        self._snapshot, self._problems = snapshot, problems
        ids = snapshot.rows["id"].to_pylist() if snapshot else []
        self._positions = {id: position for position, id in enumerate(ids)}
        self._ids: set[str] = set()
        self._present = 0

    def check(self, batch: pa.RecordBatch) -> None:
        """Compare some rows, with `COLUMNS`, with their copies."""
        if self._snapshot is None:
            return
        rows = batch.select(["id", *_COPIED, "missing_since"]).to_pylist()
        self._ids.update(row["id"] for row in rows)
        copies = self._copies_of([row["id"] for row in rows])
        for row, is_alike in zip(rows, self._are_alike(rows, _vectors(batch)), strict=True):
            if row["missing_since"] is None:
                self._present += 1
                self._check_copy(row, copies.get(row["id"]), is_alike)

    def check_completeness(self) -> None:
        """Whether the snapshot holds more than the table. To be called after the last batch."""
        for id in self._positions.keys() - self._ids:
            self._problems.add("snapshot", "rows that the table has not", "repair", id)
        if self._snapshot is not None and len(self._snapshot) > self._present and self._positions.keys() <= self._ids:
            self._problems.add(
                "snapshot", "rows of missing files or twice the same", "repair", f"{len(self._snapshot)}"
            )

    def _copies_of(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The snapshot's rows of these ids, by id."""
        if self._snapshot is None:
            return {}
        positions = [self._positions[id] for id in ids if id in self._positions]
        return {row["id"]: row for row in self._snapshot.rows.take(pa.array(positions, pa.int64())).to_pylist()}

    def _are_alike(self, rows: Sequence[Mapping[str, Any]], vectors: Vectors) -> list[bool]:
        """Whether each row's vector is that of its copy; so are those without one."""
        held = [at for at, row in enumerate(rows) if row["id"] in self._positions]
        alike = np.ones(len(rows), bool)
        if held and self._snapshot:
            positions = [self._positions[rows[at]["id"]] for at in held]
            own = np.stack([self._snapshot.vector(position) for position in positions])
            same_size = own.shape[1] == vectors.shape[1]
            alike[held] = np.abs(own - vectors[held]).max(axis=1) <= _ROUNDING if same_size else False
            alike[held] &= [self._snapshot.is_sound(position) for position in positions]
        return alike.tolist()

    def _check_copy(self, row: Mapping[str, Any], copy: Mapping[str, Any] | None, is_alike: bool) -> None:
        if copy is None:
            self._problems.add("snapshot", "rows that it lacks", "repair", row["path"])
        elif not is_alike or any(copy[name] != row[name] for name in _COPIED):
            self._problems.add("snapshot", "rows that differ from the table's", "repair", row["path"])


def _vectors(batch: pa.RecordBatch) -> Vectors:
    vectors: Vectors = batch.column("embedding").flatten().to_numpy()
    return vectors.reshape(batch.num_rows, batch.schema.field("embedding").type.list_size)
