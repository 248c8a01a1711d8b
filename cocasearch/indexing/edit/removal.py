"""Photos and folders out of an index, and out of what later runs look through. Photos themselves are never touched.

A removed folder that was indexed by its own name is a root no more. What lies inside a folder that stays a root becomes
one of its excludes, so that the next run does not bring it back; to index it again, it must be named itself.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cocasearch.errors import NothingFound
from cocasearch.images.discovery import is_utf8
from cocasearch.indexing.edit.index_editing import RootPart, editing
from cocasearch.indexing.store.location import AnyIndex, IndexLocation
from cocasearch.indexing.store.manifest import (
    Manifest,
    exclude_of,
    index_name,
    write_manifest,
)
from cocasearch.indexing.table_swap import WritableTable, give_roots


@dataclass(frozen=True)
class RemovalReport:
    """What was taken out.

    Attributes:
        removed: Rows, of missing files too.
        forgotten: Entries of unreadable files.
        roots: Folders that are not walked any more.
        excluded: Folders and files left out of the roots that stay, from now on.
        total: Images in the index now.
    """

    removed: int
    forgotten: int
    roots: tuple[str, ...]
    excluded: tuple[str, ...]
    total: int


def remove_paths(index: AnyIndex, paths: Sequence[Path]) -> RemovalReport:
    """Take files, and all files below folders, out of an index. They need not exist any more.

    Args:
        index: The index.
        paths: At least one.

    Raises:
        CocaSearchError: No index there, or another process is writing.
        NothingFound: Neither index nor stopped rebuild holds anything at one of the paths; nothing is removed then.
    """
    index = IndexLocation.of(index)
    with editing(index) as tables:
        present, *rebuilds = tables
        covering = tables[-1].manifest  # a rebuild covers all that the index does, and maybe more
        roots = covering.locate_roots(index)
        parts = {path: _parts_at(path, roots) for path in paths}
        for path, at_path in parts.items():
            if not (is_utf8(str(path)) and any(_holds_anything(part, tables) for part in at_path)):
                raise NothingFound(f"index '{index_name(index)}' holds nothing at {path}")
        wanted = [part for at_path in parts.values() for part in at_path]
        dropped = [part.root for part in wanted if not part.path]
        kept = _without(covering, dropped, index)
        taken = dict.fromkeys(roots[part.root] / part.path for part in wanted)
        excluded = [path for path in taken if _is_walked(path, kept, index)]
        manifest = _leaving_out(present.manifest.located(index), list(taken), excluded)
        write_manifest(manifest, index.manifest)  # first, so that a killed run is taken up by the same command
        n_rows, n_unreadable = _rows(present), len(present.unreadable)
        for writable in tables:
            _clear(writable, wanted)
        left = _without(manifest, dropped, index)
        write_manifest(left, index.manifest)
        for writable in rebuilds:
            give_roots(replace(writable, manifest=kept), left, manifest)
        return RemovalReport(
            removed=n_rows - _rows(present),
            forgotten=n_unreadable - len(present.unreadable),
            roots=tuple(str(roots[key]) for key in dropped),
            excluded=tuple(map(str, excluded)),
            total=len(present.table),
        )


def _parts_at(path: Path, roots: Mapping[str, Path]) -> list[RootPart]:
    """The parts of roots that a path covers, as it is written or, where links lead there, as it is resolved."""
    parts: dict[RootPart, None] = {}
    for folder in dict.fromkeys((_absolute(path), path.resolve())):
        for key, root in roots.items():
            if root.is_relative_to(folder):
                parts[RootPart(key, "")] = None
            elif folder.is_relative_to(root):
                parts[RootPart(key, folder.relative_to(root).as_posix())] = None
    return list(parts)


def _holds_anything(part: RootPart, tables: Iterable[WritableTable]) -> bool:
    return not part.path or any(
        writable.table.count_below(part.root, part.path)
        or any(part.holds(entry.root, entry.path) for entry in writable.unreadable)
        for writable in tables
    )


def _rows(writable: WritableTable) -> int:
    return len(writable.table) + writable.table.count_missing()


def _clear(writable: WritableTable, parts: Iterable[RootPart]) -> None:
    for part in parts:
        writable.table.remove_below(part.root, part.path)
        for entry in list(writable.unreadable):
            if part.holds(entry.root, entry.path):
                writable.unreadable.discard(entry.root, entry.path)
    writable.unreadable.save()
    writable.table.compact()


def _without(manifest: Manifest, dropped: Iterable[str], index: IndexLocation) -> Manifest:
    kept = {key: folder for key, folder in manifest.locate_roots(index).items() if key not in set(dropped)}
    return manifest.with_roots(kept, index, manifest.partial_roots)


def _is_walked(path: Path, manifest: Manifest, index: IndexLocation) -> bool:
    """Whether a later run would come across a path."""
    roots = manifest.locate_roots(index).items()
    return any(path.is_relative_to(root) for key, root in roots if key not in manifest.partial_roots)


def _leaving_out(manifest: Manifest, taken: Sequence[Path], excluded: Iterable[Path]) -> Manifest:
    """The manifest that names no file in what was taken out, and excludes some more paths."""
    excludes = tuple(dict.fromkeys((*manifest.excludes, *map(exclude_of, excluded))))
    named = tuple(path for path in manifest.named if not any(map(Path(path).is_relative_to, taken)))
    return replace(manifest, excludes=excludes, named=named)


def _absolute(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))
