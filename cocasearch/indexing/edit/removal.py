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
from cocasearch.indexing.scan.known_files import keep_known_files
from cocasearch.indexing.snapshot.snapshot_files import open_snapshot
from cocasearch.indexing.store.location import AnyIndex, IndexLocation
from cocasearch.indexing.store.manifest import (
    Manifest,
    exclude_of,
    index_name,
    read_manifest,
    write_manifest,
)
from cocasearch.indexing.table_swap import WritableTable, give_roots, open_all_for_writing
from cocasearch.interruption import uninterrupted
from cocasearch.lock import writer_lock


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


@dataclass(frozen=True)
class _Place:
    """A part of a root: the file or folder at `path` there; all of it if that is empty."""

    root: str
    path: str

    def holds(self, root: str, path: str) -> bool:
        return root == self.root and (not self.path or f"{path}/".startswith(f"{self.path}/"))


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
    read_manifest(index)
    with writer_lock(index.folder), uninterrupted():
        present, *others = generations = open_all_for_writing(index.folder)
        covering = generations[-1].manifest  # a rebuild covers all that the index does, and maybe more
        roots = covering.locate_roots(index)
        places = {path: _places(path, roots) for path in paths}
        for path, inside in places.items():
            if not (is_utf8(str(path)) and any(_holds_anything(place, generations) for place in inside)):
                raise NothingFound(f"index '{index_name(index)}' holds nothing at {path}")
        wanted = [place for inside in places.values() for place in inside]
        dropped = [place.root for place in wanted if not place.path]
        kept = _without(covering, dropped, index)
        taken = dict.fromkeys(roots[place.root] / place.path for place in wanted)
        excluded = [path for path in taken if _is_walked(path, kept, index)]
        manifest = _leaving_out(present.manifest.located(index), list(taken), excluded)
        write_manifest(manifest, index.manifest)  # first, so that a killed run is taken up by the same command
        rows, n_unreadable = _rows(present), len(present.ledger)
        for generation in generations:
            _clear(generation, wanted)
        left = _without(manifest, dropped, index)
        write_manifest(left, index.manifest)
        for generation in others:
            give_roots(replace(generation, manifest=kept), left, manifest)
        open_snapshot(index, manifest.table)
        keep_known_files(index.folder, manifest.table, present.table)
        return RemovalReport(
            removed=rows - _rows(present),
            forgotten=n_unreadable - len(present.ledger),
            roots=tuple(str(roots[key]) for key in dropped),
            excluded=tuple(map(str, excluded)),
            total=len(present.table),
        )


def _places(path: Path, roots: Mapping[str, Path]) -> list[_Place]:
    """The parts of roots that a path covers, as it is written or, where links lead there, as it is resolved."""
    places: dict[_Place, None] = {}
    for place in dict.fromkeys((_absolute(path), path.resolve())):
        for key, root in roots.items():
            if root.is_relative_to(place):
                places[_Place(key, "")] = None
            elif place.is_relative_to(root):
                places[_Place(key, place.relative_to(root).as_posix())] = None
    return list(places)


def _holds_anything(place: _Place, generations: Iterable[WritableTable]) -> bool:
    return not place.path or any(
        generation.table.count_below(place.root, place.path)
        or any(place.holds(entry.root, entry.path) for entry in generation.ledger)
        for generation in generations
    )


def _rows(generation: WritableTable) -> int:
    return len(generation.table) + generation.table.count_missing()


def _clear(generation: WritableTable, places: Iterable[_Place]) -> None:
    for place in places:
        generation.table.remove_below(place.root, place.path)
        for entry in list(generation.ledger):
            if place.holds(entry.root, entry.path):
                generation.ledger.discard(entry.root, entry.path)
    generation.ledger.save()
    generation.table.compact()


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
