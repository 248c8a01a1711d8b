"""A summary of what an index holds, in a few numbers.

Reads the manifest, the table, the snapshot's name and the list of unreadable files; opens no photo and writes nothing.
"""

import shlex
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.scan.known_files import open_known_files
from cocasearch.indexing.snapshot.snapshot_files import find_snapshot
from cocasearch.indexing.store.location import SNAPSHOT_FOLDER
from cocasearch.indexing.store.manifest import Manifest, find_rebuild, index_name, read_manifest
from cocasearch.indexing.store.row_filters import BY_PEOPLE, JUDGED, UNSURE, WITH_REMARK
from cocasearch.indexing.store.unreadable_files import UnreadableFiles
from cocasearch.indexing.store.versions import UnreadableTable, latest_version

SnapshotState = Literal["fresh", "stale", "missing"]
_ATTEMPTS = 5


@dataclass(frozen=True)
class IndexSummary:
    """The summary of one index.

    Attributes:
        photos: Images that a query can find.
        captions: Those of them with a caption.
        judged: Captions that have a confidence, as those of calibrated models do.
        unsure: Those of them that are more likely wrong than right.
        by_people: Captions that a person has written or let stand.
        caption_settings: Each way in which the model has written captions, as `CaptionOptions.to_dict` has it.
        missing: Images kept back because their file is gone.
        excluded: Images kept back because they are left out.
        remarks: Images that were read though their files are damaged around the pixels.
        unreadable: Path and reason of each file that could not be read.
        model: Name and fingerprint of the model that made the vectors.
        rebuild: The same of the model of a rebuild that has not been completed; None without one.
        roots: The folders covered, where they are now.
        excludes: Patterns of what is left out of them.
        snapshot: Whether queries find their vectors prepared: a stale or missing snapshot is made by the next one.
        created: ISO 8601 time in UTC, as is `updated`.
        bytes: Size on disk.
        bytes_by_part: The same of the table, the snapshot and the rest.
    """

    name: str
    folder: str
    photos: int
    captions: int
    judged: int
    unsure: int
    by_people: int
    caption_settings: tuple[dict[str, Any], ...]
    missing: int
    excluded: int
    remarks: int
    unreadable: tuple[tuple[str, str], ...]
    model: str
    dimension: int
    rebuild: str | None
    roots: tuple[str, ...]
    excludes: tuple[str, ...]
    snapshot: SnapshotState
    created: str
    updated: str
    bytes: int
    bytes_by_part: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON types."""
        unreadable = [{"path": path, "reason": reason} for path, reason in self.unreadable]
        return {**asdict(self), "unreadable": unreadable, "roots": list(self.roots), "excludes": list(self.excludes)}


def summarise_index(index: Path) -> IndexSummary:
    """The summary of the index in folder `index`, while others write to it, too.

    Raises:
        CocaSearchError: No index there, or a damaged one.
    """
    for _ in range(_ATTEMPTS):  # a writer may compact the table under our hands, or put another in its place
        with suppress(RuntimeError, OSError, UnreadableTable):
            return _summary(index)
    raise CocaSearchError(
        f"the table of the index at {index} cannot be counted: it keeps changing, or it is damaged",
        hint=f"cocasearch verify --index {shlex.quote(index_name(index))}",
    )


def _summary(index: Path) -> IndexSummary:
    from cocasearch.indexing.store.table import IndexTable  # brings LanceDB, which listing indexes does without

    manifest, rebuild = read_manifest(index), find_rebuild(index)
    excluded = open_known_files(index, manifest.table).count_excluded(manifest.locate_roots(index), manifest.excludes)
    unreadable, table = UnreadableFiles(index), IndexTable(index, manifest.table)
    roots, parts = manifest.locate_roots(index), _bytes_by_part(index)
    return IndexSummary(
        name=index_name(index),
        folder=str(index.absolute()),
        photos=len(table),
        captions=len(table) - table.count_without_caption(),
        judged=table.count(JUDGED),
        unsure=table.count(UNSURE),
        by_people=table.count(BY_PEOPLE),
        caption_settings=manifest.caption_settings,
        missing=table.count_missing() - excluded,
        excluded=excluded,
        remarks=table.count(WITH_REMARK),
        unreadable=tuple((str(roots.get(entry.root, Path()) / entry.path), entry.reason) for entry in unreadable),
        model=_model_of(manifest),
        dimension=manifest.dimension,
        rebuild=_model_of(rebuild) if rebuild else None,
        roots=tuple(map(str, roots.values())),
        excludes=manifest.excludes,
        snapshot=_snapshot_state(index, manifest.table),
        created=manifest.created,
        updated=manifest.updated,
        bytes=sum(parts.values()),
        bytes_by_part=parts,
    )


def _model_of(manifest: Manifest) -> str:
    return f"{manifest.model_name}@{manifest.model_fingerprint}"


def _snapshot_state(index: Path, table: str) -> SnapshotState:
    version = latest_version(index, table)
    if version is not None and find_snapshot(index, table, version):
        return "fresh"
    return "stale" if any((index / SNAPSHOT_FOLDER).glob(f"{table}-v*")) else "missing"


def _bytes_by_part(index: Path) -> dict[str, int]:
    """Bytes on disk of the tables, of what is derived from them, and of the rest."""
    parts = {"table": 0, "snapshot": 0, "other": 0}
    for file in index.rglob("*"):
        top = file.relative_to(index).parts[0]
        part = "table" if top.endswith(".lance") else "snapshot" if top == SNAPSHOT_FOLDER else "other"
        with suppress(OSError):  # a writer has just removed it
            parts[part] += file.stat().st_size if file.is_file() else 0
    return parts
