"""Which root each folder belongs to: the innermost one around it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path

from cocasearch.images.discovery import Entry, Folder
from cocasearch.indexing.scan.file_listing import Target
from cocasearch.indexing.scan.known_files import Place, join


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


def covered_parts(target: Target, roots: Mapping[str, Path]) -> Iterator[Place]:
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
