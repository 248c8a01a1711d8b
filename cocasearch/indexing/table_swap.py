"""The table of an index that is written: the present one, a first one, or one made beside it to take its place.

Readers go by the manifest alone. A rebuild writes a table of its own, described in a file beside the manifest, and
becomes the index when the manifest is written like that file; until then it can be stopped and continued.
"""

import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from cocasearch.atomic_files import remove_partial_files
from cocasearch.errors import CocaSearchError
from cocasearch.indexing.scan.known_files import forget_known_files
from cocasearch.indexing.snapshot.snapshot_files import remove_snapshots, tables_with_snapshots
from cocasearch.indexing.store.location import (
    MANIFEST_FILE,
    REBUILD_FILE,
    REBUILD_UNREADABLE_FILE,
    SNAPSHOT_FOLDER,
    TABLE_SUFFIX,
    UNREADABLE_FILE,
)
from cocasearch.indexing.store.manifest import (
    Manifest,
    Root,
    find_manifest,
    find_rebuild,
    read_manifest,
    write_manifest,
)
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.unreadable_files import UnreadableFiles
from cocasearch.indexing.store.versions import UnreadableTable, latest_version
from cocasearch.inference.generation.caption_options import CaptionOptions

_TABLE_PREFIX = "images-"
_OUR_TABLE = re.compile(rf"{_TABLE_PREFIX}\d+")


@dataclass(frozen=True)
class WritableTable:
    """A table that is open for writing, with its list of unreadable files, its manifest and the file of that."""

    manifest: Manifest
    table: IndexTable
    unreadable: UnreadableFiles
    file: Path


def open_for_writing(index: Path, wanted: Manifest, *, rebuild: bool) -> WritableTable:
    """The table to write to, made if need be. The caller holds the writer's lock.

    Args:
        index: The index folder, which exists.
        wanted: The model to index with, the roots to cover and what to leave out; its table does not matter.
        rebuild: Whether to make a new table, or go on with one that a stopped rebuild with this model left.
    """
    present = find_manifest(index / MANIFEST_FILE)
    pending = find_manifest(index / REBUILD_FILE)
    beside = rebuild and present is not None
    file = index / (REBUILD_FILE if beside else MANIFEST_FILE)
    unreadable = REBUILD_UNREADABLE_FILE if beside else UNREADABLE_FILE
    manifest = pending if beside else present
    if not beside:
        end_rebuild(index)
    if manifest is None or manifest.model_fingerprint != wanted.model_fingerprint:
        manifest = _new_manifest(wanted, present, pending)
        if not (present or pending):
            _refuse_to_replace(index, manifest.table)
        remove_snapshots(index, manifest.table)  # of a leftover table: version numbers begin anew
        forget_known_files(index, manifest.table)
        (index / unreadable).unlink(missing_ok=True)
        IndexTable.create(index, manifest.table, manifest.dimension)
    table = IndexTable(index, manifest.table)
    remove_snapshots(index, manifest.table, except_version=table.version)  # of later ones that a power cut has taken,
    forget_known_files(index, manifest.table, except_version=table.version)  # too: their numbers are given anew
    table.index_captions()
    manifest = replace(manifest, roots=wanted.roots, excludes=wanted.excludes, named=wanted.named, updated="")
    write_manifest(manifest, file)
    sweep(index)
    return WritableTable(manifest, table, UnreadableFiles(index, unreadable), file)


def open_all_for_writing(index: Path) -> list[WritableTable]:
    """The table of an index, and that of a rebuild that has not been completed. The caller holds the writer's lock.

    Raises:
        CocaSearchError: No index there.
    """
    present, pending = read_manifest(index), find_rebuild(index)
    tables = [open_for_writing(index, present, rebuild=False)]
    if pending:
        wanted = replace(pending, roots=_beside(present, pending, present))
        tables.append(open_for_writing(index, wanted, rebuild=True))
    return tables


def give_roots(writable: WritableTable, present: Manifest, before: Manifest) -> None:
    """Let a rebuild cover the roots that the index covers now in the place of those that it did before."""
    manifest = replace(writable.manifest, roots=_beside(present, writable.manifest, before))
    write_manifest(manifest, writable.file)


def _beside(present: Manifest, pending: Manifest, before: Manifest) -> tuple[Root, ...]:
    """The roots of an index, and beside them those that a rebuild alone was to cover."""
    keys = {root.key for root in before.roots}
    return (*present.roots, *(root for root in pending.roots if root.key not in keys))


def note_caption_settings(writable: WritableTable, options: CaptionOptions) -> None:
    """Note in the manifest how captions are written, before they are. The caller holds the writer's lock."""
    manifest, settings = writable.manifest, options.to_dict()
    if settings not in manifest.caption_settings:
        manifest = replace(manifest, caption_settings=(*manifest.caption_settings, settings))
        write_manifest(manifest, writable.file)


def swap_in(writable: WritableTable, index: Path) -> None:
    """Make the table what readers find, and remove the one that it replaces."""
    if writable.file.name != MANIFEST_FILE:
        writable.unreadable.rename(UNREADABLE_FILE)
        if complete := find_manifest(writable.file):
            write_manifest(complete, index / MANIFEST_FILE)
        sweep(index)


def end_rebuild(index: Path) -> None:
    """Let the next rebuild begin anew. It is the last act of a run: one that is killed before it counts as done."""
    if find_rebuild(index) is None:
        (index / REBUILD_FILE).unlink(missing_ok=True)


def drop_rebuild(index: Path) -> None:
    """Give up a rebuild that has not been completed. The caller holds the writer's lock."""
    for name in (REBUILD_FILE, REBUILD_UNREADABLE_FILE):
        (index / name).unlink(missing_ok=True)
    sweep(index)


def _new_manifest(wanted: Manifest, *known: Manifest | None) -> Manifest:
    """The wanted manifest for a table of a name that no other has."""
    numbers = [int(manifest.table.removeprefix(_TABLE_PREFIX)) for manifest in known if manifest]
    return replace(wanted, table=f"{_TABLE_PREFIX}{max(numbers, default=0) + 1}", caption_settings=())


def _refuse_to_replace(index: Path, table: str) -> None:
    """Refuse to replace a table with rows, though no manifest names it: it may be the work of days.

    Raises:
        CocaSearchError: There is one, or one that cannot be read.
    """
    if latest_version(index, table) is None:
        return
    try:
        left = IndexTable(index, table)
        has_rows = len(left) + left.count_missing() > 0
    except UnreadableTable:
        has_rows = True
    if has_rows:
        raise CocaSearchError(
            f"the index at {index} has lost its {MANIFEST_FILE}, and a new one would replace its table {table}",
            hint=f"put back a copy of {MANIFEST_FILE}; to index anew, remove {index / table}{TABLE_SUFFIX}",
        )


def unnamed_tables(index: Path) -> set[str]:
    """The tables that no manifest names, as stopped rebuilds leave them, and those of which only a snapshot is left."""
    manifests = [find_manifest(index / name) for name in (MANIFEST_FILE, REBUILD_FILE)]
    there = {table.stem for table in index.glob(f"*{TABLE_SUFFIX}")} | tables_with_snapshots(index)
    ours = set(filter(_OUR_TABLE.fullmatch, there))  # in a folder that others write to as well
    return ours - {manifest.table for manifest in manifests if manifest}


def sweep(index: Path) -> None:
    """Remove tables and snapshots that no manifest names, and what killed writers left half-written."""
    for table in unnamed_tables(index):
        remove_snapshots(index, table)
        shutil.rmtree(index / f"{table}{TABLE_SUFFIX}", ignore_errors=True)
    remove_partial_files(index)
    remove_partial_files(index / SNAPSHOT_FOLDER)
