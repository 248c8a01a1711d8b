"""Photos have moved, and the index follows without reading them: what lay below one folder lies below another now.

Whole roots get a new folder. Where only a part of a root has moved, its rows go to the root around the new folder, or
to a new one: new places, the same vectors and captions.
"""

import os
import stat
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pyarrow as pa

from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.images.discovery import status_of
from cocasearch.indexing.edit.index_editing import RootPart, editing
from cocasearch.indexing.scan.roots import new_key
from cocasearch.indexing.store.location import AnyIndex, IndexLocation
from cocasearch.indexing.store.manifest import index_name, read_manifest, write_manifest
from cocasearch.indexing.store.record_rows import with_values
from cocasearch.indexing.store.records import ImageKey
from cocasearch.indexing.table_swap import WritableTable, give_roots

_LOOKED_FOR = 1_000  # photos


@dataclass(frozen=True)
class _Move(RootPart):
    """Rows below `path` in one root go below `new_path` in another."""

    new_root: str
    new_path: str

    def follow(self, path: str) -> str:
        """Where a path of the old root is in the new one."""
        inside = path[len(self.path) :].lstrip("/")
        return "/".join(filter(None, (self.new_path, inside)))


def reroot(index: AnyIndex, old: Path, new: Path) -> int:
    """Say that what lay below `old` lies below `new` now; the number of photos, missing ones too, that follow.

    Args:
        index: The index.
        old: A folder in, at or around roots of the index; it need not exist any more.
        new: An existing folder, with the same files below.

    Raises:
        CocaSearchError: No index there, `new` is no folder that can be looked at, none of the photos lies below it, or
            another process is writing. Nothing has changed then.
        NothingFound: The index holds nothing below `old`.
    """
    index = IndexLocation.of(index)
    read_manifest(index)
    status = status_of(new)
    if status is None or not stat.S_ISDIR(status.st_mode):
        raise CocaSearchError(f"there is no folder {new}", hint="give the folder in which the photos are now")
    with editing(index) as tables:
        present, *rebuilds = tables
        before = present.manifest.locate_roots(index)
        old, new = _as_indexed(old, before), new.resolve()
        taken = {root.key for writable in tables for root in writable.manifest.roots}
        roots, moves = _plan(old, new, before, taken)
        count = _check(present, before, roots, moves, index, old, new)
        doomed = {move.root for move in moves if not move.path}
        partial = present.manifest.partial_roots | {
            move.new_root
            for move in moves
            if move.root in present.manifest.partial_roots and move.new_root not in before
        }
        manifest = present.manifest.located(index).following(old, new).with_roots(roots, index, partial)
        write_manifest(manifest, index.manifest)  # first: a row's root must be known at any moment
        kept = manifest.with_roots({key: roots[key] for key in roots if key not in doomed}, index, partial)
        for writable in rebuilds:
            give_roots(writable, manifest, present.manifest)
        for writable in tables:
            _follow(writable, moves, roots)
        write_manifest(kept, index.manifest)
        for writable in rebuilds:
            give_roots(writable, kept, manifest)
        return count


def _as_indexed(old: Path, roots: Mapping[str, Path]) -> Path:
    """The old folder as the index knows it: as it is written or, where links lead there, as it is resolved."""
    written = Path(os.path.normpath(old.absolute()))
    known = any(root.is_relative_to(written) or written.is_relative_to(root) for root in roots.values())
    return written if known else old.resolve()


def _plan(old: Path, new: Path, roots: Mapping[str, Path], taken: Set[str]) -> tuple[dict[str, Path], list[_Move]]:
    """The folders of the roots then, a new root if need be, of none of the keys `taken`, and what changes its root."""
    moved = {key: new / folder.relative_to(old) for key, folder in roots.items() if folder.is_relative_to(old)}
    then, moves = {**roots, **moved}, []
    for key, folder in moved.items():
        twin = next((other for other in roots if other not in moved and roots[other] == folder), None)
        if twin is not None:  # two roots become one
            moves.append(_Move(key, "", twin, ""))
    for key, folder in roots.items():
        if key not in moved and old.is_relative_to(folder):
            home = _around(new, then, taken)
            moves.append(_Move(key, old.relative_to(folder).as_posix(), home, _inside(new, then[home])))
    return then, moves


def _around(folder: Path, roots: dict[str, Path], taken: Set[str]) -> str:
    """The innermost root around a folder; without one it becomes a root itself."""
    around = [key for key in roots if folder.is_relative_to(roots[key])]
    if not around:
        around = [new_key({*roots, *taken})]
        roots[around[0]] = folder
    return max(around, key=lambda key: len(roots[key].parts))


def _inside(folder: Path, root: Path) -> str:
    return "" if folder == root else folder.relative_to(root).as_posix()


def _check(
    present: WritableTable,
    before: Mapping[str, Path],
    roots: Mapping[str, Path],
    moves: list[_Move],
    index: IndexLocation,
    old: Path,
    new: Path,
) -> int:
    """The number of rows that follow.

    Raises:
        CocaSearchError: None of the first of them is a file in its new place.
        NothingFound: There is none.
    """
    merged = {move.root for move in moves}
    whole = [key for key in before if roots[key] != before[key] and key not in merged]
    followers = [*moves, *(_Move(key, "", key, "") for key in whole)]
    count = sum(present.table.count_below(move.root, move.path) for move in followers)
    if not count and old == new:
        raise NothingFound(f"{old} is where index '{index_name(index)}' looks for its photos already")
    if not count:
        raise NothingFound(f"index '{index_name(index)}' holds nothing below {old}", hint="cocasearch status")
    files = [
        roots[move.new_root] / move.follow(path)
        for move in followers
        for batch in islice(present.table.batches_below(move.root, move.path), 1)
        for path in batch.column("path").to_pylist()[:_LOOKED_FOR]
    ]
    if not any(file.is_file() for file in files):
        raise CocaSearchError(
            f"none of the photos below {old} is below {new}: there is no {files[0]}",
            hint="give the folder that took the place of the old one",
        )
    return count


def _follow(writable: WritableTable, moves: list[_Move], roots: Mapping[str, Path]) -> None:
    for move in moves:
        for batch in writable.table.batches_below(move.root, move.path):
            old_ids = batch.column("id").to_pylist()
            rows = _moved(batch, move)
            writable.table.put(rows)
            stay = set(rows["id"].to_pylist())
            writable.table.remove([id for id in old_ids if id not in stay])
        for entry in [entry for entry in writable.unreadable if move.holds(entry.root, entry.path)]:
            writable.unreadable.discard(entry.root, entry.path)
            writable.unreadable.add(replace(entry, root=move.new_root, path=move.follow(entry.path)))
    writable.unreadable.save()
    writable.table.mark_found(_found_again(writable, roots))
    writable.table.compact()


def _moved(batch: pa.RecordBatch, move: _Move) -> pa.Table:
    """The same rows in their new place."""
    places = zip(batch.column("path").to_pylist(), batch.column("part").to_pylist(), strict=True)
    keys = [ImageKey(move.new_root, move.follow(path), part) for path, part in places]
    changed = {"id": [key.id for key in keys], "root": [key.root for key in keys], "path": [key.path for key in keys]}
    return with_values(pa.table(batch), changed)


def _found_again(writable: WritableTable, roots: Mapping[str, Path]) -> list[str]:
    """The ids of missing rows whose file, by its size, is where they say now."""
    columns = ["id", "root", "path", "size", "missing_since"]
    rows = (row for batch in writable.table.batches(columns, with_missing=True) for row in batch.to_pylist())
    missing = [row for row in rows if row["missing_since"] and row["root"] in roots]
    sizes = {row["id"]: status_of(roots[row["root"]] / row["path"]) for row in missing}
    return [row["id"] for row in missing if (status := sizes[row["id"]]) and status.st_size == row["size"]]
