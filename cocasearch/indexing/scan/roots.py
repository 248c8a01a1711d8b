"""The roots of an index: which one each folder belongs to, and which of them a run has looked through."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from cocasearch.images.discovery import Entry, Folder, is_walked
from cocasearch.images.excludes import Excludes
from cocasearch.indexing.scan.file_listing import Target
from cocasearch.indexing.scan.known_files import Place, join


@dataclass(frozen=True)
class Coverage:
    """The folders that an index covers from a run on.

    Attributes:
        roots: Every root with its present folder by its key.
        partial: Keys of the roots that only single files were taken from.
        empty: Paths without any image file, or that are not there. Nothing under them counts as gone: a drive may not
            be mounted.
    """

    roots: dict[str, Path]
    partial: frozenset[str]
    empty: tuple[Path, ...]

    def without_emptied(self, is_known: Callable[[str], bool]) -> "Coverage":
        """The same without the roots that hold no photo and of which, by their keys, the index knows none either."""
        roots = self.roots.items()
        emptied = {key: folder for key, folder in roots if folder in self.empty and not is_known(key)}
        kept = {key: folder for key, folder in roots if key not in emptied}
        empty = tuple(folder for folder in self.empty if folder not in emptied.values())
        return Coverage(kept, self.partial - emptied.keys(), empty)


def extend_roots(
    roots: Mapping[str, Path],
    targets: Sequence[Target],
    partial: Set[str] = frozenset(),
    taken: Set[str] = frozenset(),
) -> dict[str, Path]:
    """The roots (absolute folders by key) with a new one for each target that needs it.

    A file needs a root around it; a folder one that is not partial, so that it is walked again with all it holds.
    New keys are none of those of `roots` or `taken`.
    """
    extended = dict(roots)
    folders = {(target.names is not None, target.folder) for target in targets}
    for is_part, folder in sorted(folders):  # an outer folder before the inner
        homes = (root for key, root in extended.items() if is_part or key not in partial or root == folder)
        if not any(map(folder.is_relative_to, homes)):
            extended[new_key({*extended, *taken})] = folder
    return extended


def new_key(taken: Iterable[str]) -> str:
    """The key of one more root."""
    return str(max(map(int, taken), default=0) + 1)


def assign_roots(
    listed: Iterable[Folder], start: Path, roots: Mapping[str, Path]
) -> Iterator[tuple[str, str, list[Entry]]]:
    """Each folder listed from `start` on, with the innermost root around it and its path there."""
    around = max((key for key in roots if start.is_relative_to(roots[key])), key=lambda key: len(roots[key].parts))
    within = start.relative_to(roots[around]).as_posix()
    prefix = "" if within == "." else within
    below = (key for key, root in roots.items() if root != start and root.is_relative_to(start))
    paths = ((roots[key].relative_to(start).as_posix(), key) for key in below)
    inner = sorted(paths, key=lambda path_and_key: -len(path_and_key[0]))  # the innermost first
    for folder, files in listed:
        for path, key in inner:
            if f"{folder}/".startswith(f"{path}/"):
                yield key, folder[len(path) + 1 :], files
                break
        else:
            yield around, join(prefix, folder) if folder else prefix, files


def partial_roots(
    roots: Mapping[str, Path], may_be: Iterable[str], walked: Iterable[Path], excludes: Excludes
) -> frozenset[str]:
    """The keys of the roots that only single files were taken from.

    Args:
        roots: Every root with its present folder by its key.
        may_be: Keys of those that are new, or were partial before.
        walked: Folders that have been looked through with all they hold.
        excludes: What was left out.
    """
    walked = list(walked)
    return frozenset(key for key in may_be if key in roots and not _is_walked(roots[key], walked, excludes))


def looked_through(
    filled: Iterable[Target], roots: Mapping[str, Path], met_roots: Set[str]
) -> tuple[list[Place], list[Path]]:
    """The parts of roots that have been looked through, and the roots among them without any file.

    Of a root within a walked folder, as of any other, something must have been met: where there is nothing, its drive
    may not be mounted.
    """
    covered, without_files = list[Place](), list[Path]()
    for target in filled:
        for key, part in _parts_of(target, roots):
            if part or roots[key] == target.folder or key in met_roots:
                covered.append((key, part))
            else:
                without_files.append(roots[key])
    return covered, without_files


def _parts_of(target: Target, roots: Mapping[str, Path]) -> Iterator[Place]:
    """The parts of roots that a target covers: a root and a path in it, empty for all of it."""
    if not target.whole:
        return
    for key, root in roots.items():
        if target.names is not None:
            if root == target.folder:
                yield key, ""
        elif root.is_relative_to(target.folder):
            yield key, ""
        elif target.folder.is_relative_to(root):
            yield key, target.folder.relative_to(root).as_posix()


def _is_walked(folder: Path, starts: Iterable[Path], excludes: Excludes) -> bool:
    """Whether a walk from one of the folders `starts` has come to a folder."""
    around = filter(folder.is_relative_to, starts)
    return any(folder == start or is_walked(folder / "x", start, excludes) for start in around)
