"""Folder against table: which files are new, changed, unchanged, known to be unreadable, or gone.

Compares path, size and time of change, and reads no file. Hands the builder a list of work.
"""

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from cocasearch.errors import NothingFound
from cocasearch.images.discovery import ImageFile, discover_images, status_of
from cocasearch.indexing.ledger import Ledger
from cocasearch.indexing.records import record_id

Place = tuple[str, str]  # root key, path under that root
Stamp = tuple[int, int]  # size, mtime_ns


@dataclass(frozen=True, slots=True)
class Walk:
    """A path that the user named, absolute, and the image files found there; unless `whole`, others there may be."""

    path: Path
    files: tuple[ImageFile, ...]
    whole: bool = True
    skipped: tuple[tuple[str, str], ...] = ()  # path and reason

    @property
    def folder(self) -> Path:
        """The folder walked; of a single file the one it lies in."""
        return self.files[0].root if self.files else self.path


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An image file with its place in the index; `is_update` if the table holds an older record of it."""

    root: str
    path: str
    file: ImageFile
    is_update: bool

    @property
    def id(self) -> str:
        """The id of its record."""
        return record_id(self.root, self.path)


@dataclass(frozen=True)
class BuildPlan:
    """What a run has to do.

    Attributes:
        new: Files that the table does not hold.
        changed: Files whose size or time of change differs from the table's.
        unchanged: Number of files that need nothing.
        known_bad: Number of files that could not be read before and have not changed since.
        gone: Rows of the table whose file is not there any more, though the folder it was in has been walked.
        gone_bad: Unreadable files that are not there any more.
        empty: Paths without any image file. Nothing under them counts as gone: a drive may not be mounted.
    """

    new: tuple[PlannedImage, ...]
    changed: tuple[PlannedImage, ...]
    unchanged: int
    known_bad: int
    gone: tuple[Place, ...]
    gone_bad: tuple[Place, ...]
    empty: tuple[Path, ...]


def walk_paths(paths: Sequence[Path]) -> tuple[Walk, ...]:
    """The image files under each path.

    Raises:
        CocaSearchError: A path does not exist.
    """
    return tuple(map(_walk, dict.fromkeys(map(_start, paths))))


def look_up(root: Path, paths: Iterable[str]) -> Walk:
    """Those files of a root that are still there, of the ones named by their paths in it.

    Raises:
        CocaSearchError: The root itself is gone, as on a drive that is not mounted.
    """
    discover_images(root)
    found = (image for path in sorted(paths) if (file := root / path).is_file() for image in discover_images(file))
    files = tuple(replace(image, root=root, path=image.absolute.relative_to(root).as_posix()) for image in found)
    return Walk(root, files, whole=False)


def check_walks(walks: Sequence[Walk]) -> None:
    """Refuse walks that found nothing.

    Raises:
        NothingFound: There is no image file at all.
    """
    if not any(walk.files for walk in walks):
        raise NothingFound(f"no pictures found in {', '.join(str(walk.path) for walk in walks)}")


def extend_roots(
    roots: Mapping[str, Path], walks: Sequence[Walk], partial: Set[str] = frozenset()
) -> tuple[dict[str, Path], frozenset[str]]:
    """The roots (absolute folders by key) with a new one for each walk that needs it, and the keys of the partial ones.

    A file needs a root around it; a folder one that is not partial, so that it is walked again with all it holds.
    """
    extended = dict(roots)
    folders = {(not walk.whole, walk.folder) for walk in walks if walk.files}
    for is_part, folder in sorted(folders):  # an outer folder before the inner
        homes = (root for key, root in extended.items() if is_part or key not in partial or root == folder)
        if not any(map(folder.is_relative_to, homes)):
            extended[str(max(map(int, extended), default=0) + 1)] = folder
    walked = [walk.path for walk in walks if walk.whole and walk.files]
    parts = {key for key in extended if key in partial or key not in roots}
    return extended, frozenset(key for key in parts if not any(map(extended[key].is_relative_to, walked)))


def make_plan(
    walks: Sequence[Walk], roots: Mapping[str, Path], known: Mapping[Place, Stamp], ledger: Ledger
) -> BuildPlan:
    """Compare what was walked with what is known.

    Args:
        walks: What was found on disk; each walk with files lies in a root.
        roots: Present folder of each root by its key.
        known: Size and time of change of the table's files.
        ledger: The files that could not be read.
    """
    found = {(root, path): file for walk in walks for root, path, file in _placed(walk, roots)}
    new: list[PlannedImage] = []
    changed: list[PlannedImage] = []
    unchanged = known_bad = 0
    for (root, path), file in found.items():
        stamp = (file.size, file.mtime_ns)
        if ledger.stamp(root, path) == stamp:
            known_bad += 1
        elif (before := known.get((root, path))) == stamp:
            unchanged += 1
        else:
            planned = PlannedImage(root, path, file, is_update=before is not None)
            (changed if planned.is_update else new).append(planned)
    is_gone = _absence_test(found, [scope for walk in walks if walk.files for scope in _scopes(walk.path, roots)])
    return BuildPlan(
        new=tuple(new),
        changed=tuple(changed),
        unchanged=unchanged,
        known_bad=known_bad,
        gone=tuple(filter(is_gone, known)),
        gone_bad=tuple(filter(is_gone, ((entry.root, entry.path) for entry in ledger))),
        empty=tuple(walk.path for walk in walks if not walk.files),
    )


def _start(path: Path) -> Path:
    """The absolute path without links to its folder, so that a folder has one name; a linked file stays the link."""
    status = status_of(path)
    is_file = status is not None and stat.S_ISREG(status.st_mode)
    return path.parent.resolve() / path.name if is_file else path.resolve()


def _walk(start: Path) -> Walk:
    skipped: list[tuple[str, str]] = []
    files = tuple(discover_images(start, lambda path, reason: skipped.append((str(path), reason))))
    return Walk(start, files, whole=start.is_dir(), skipped=tuple(skipped))


def _placed(walk: Walk, roots: Mapping[str, Path]) -> Iterator[tuple[str, str, ImageFile]]:
    """Each file of a walk with the innermost root around it and its path there."""
    if not walk.files:
        return
    around = max(
        (key for key in roots if walk.folder.is_relative_to(roots[key])), key=lambda key: len(roots[key].parts)
    )
    within = walk.folder.relative_to(roots[around]).as_posix()
    prefix = "" if within == "." else f"{within}/"
    inner = _inner_roots(walk.folder, roots)
    for file in walk.files:
        for inner_prefix, key in inner:
            if file.path.startswith(inner_prefix):
                yield key, file.path.removeprefix(inner_prefix), file
                break
        else:
            yield around, prefix + file.path, file


def _inner_roots(folder: Path, roots: Mapping[str, Path]) -> list[tuple[str, str]]:
    """Path prefix and key of the roots below a folder, the innermost first."""
    inner = [
        (f"{root.relative_to(folder).as_posix()}/", key)
        for key, root in roots.items()
        if root != folder and root.is_relative_to(folder)
    ]
    return sorted(inner, key=lambda prefix_and_key: -len(prefix_and_key[0]))


def _scopes(walked: Path, roots: Mapping[str, Path]) -> Iterator[Place]:
    """The parts of roots that a walk has covered: a root and a path in it, empty for all of it."""
    for key, root in roots.items():
        if root.is_relative_to(walked):
            yield key, ""
        elif walked.is_relative_to(root):
            yield key, walked.relative_to(root).as_posix()


def _absence_test(found: Mapping[Place, ImageFile], scopes: Sequence[Place]) -> Callable[[Place], bool]:
    """A test whether a place has been walked without finding its file."""

    def is_gone(place: Place) -> bool:
        return place not in found and any(
            place[0] == root and (not folder or f"{place[1]}/".startswith(f"{folder}/")) for root, folder in scopes
        )

    return is_gone
