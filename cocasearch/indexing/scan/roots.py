"""What is walked, and which root each folder belongs to: the innermost one around it."""

import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import Entry, Folder, Skip, file_stat, resolve_start, status_of, walk_folders
from cocasearch.images.excludes import Excludes
from cocasearch.indexing.scan.known_files import Place, join


class Target(NamedTuple):
    """What to walk.

    Attributes:
        folder: Absolute.
        names: Paths in it of the files that are wanted; None for whatever it holds.
        whole: Whether the files found are all that there should be: others that the index knows are gone.
    """

    folder: Path
    names: tuple[str, ...] | None = None
    whole: bool = True

    @property
    def path(self) -> Path:
        """What its user would call it."""
        return self.folder / self.names[0] if self.names and len(self.names) == 1 else self.folder


def targets_of(paths: Iterable[Path]) -> list[Target]:
    """The targets that paths of folders and files stand for.

    Raises:
        CocaSearchError: A path does not exist.
    """
    targets = []
    for path in paths:
        start, status = resolve_start(path)
        targets.append(Target(start) if stat.S_ISDIR(status.st_mode) else Target(start.parent, (start.name,), False))
    return targets


def list_target(target: Target, on_skip: Skip, excludes: Excludes, named: Iterable[str] = ()) -> Iterator[Folder]:
    """The folders of a target with their files, as `walk_folders` gives them; nothing at all if there is no file.

    Args:
        target: What to walk.
        on_skip: As for `walk_folders`.
        excludes: Likewise.
        named: Whole paths of files that are taken, though they would be left out.
    """
    if target.names is None:
        inside = (Path(path) for path in named if Path(path).is_relative_to(target.folder))
        odd = _look_up(target.folder, [path.relative_to(target.folder).as_posix() for path in inside], on_skip)
        return _with_others(walk_folders(target.folder, on_skip, excludes), odd)
    folders = _look_up(target.folder, target.names, on_skip)
    if not any(folders.values()):
        return iter(())
    is_given = not target.whole  # by its user, just now
    return iter(folders.items()) if is_given else _without(folders, target.folder, excludes, set(named))


def _with_others(walked: Iterable[Folder], others: dict[str, list[Entry]]) -> Iterator[Folder]:
    """The folders of a walk with some files more, and those that it has left out with such files."""
    for folder, files in walked:
        yield folder, sorted({*files, *others.pop(folder, ())}) if others else files
    yield from ((folder, files) for folder, files in others.items() if files)


def _without(folders: Mapping[str, list[Entry]], start: Path, excludes: Excludes, named: Set[str]) -> Iterator[Folder]:
    """Folders without those of their files that patterns fit."""
    for folder, files in folders.items():
        paths = {file: (start / folder / file[0]).as_posix() for file in files}
        yield folder, [file for file, path in paths.items() if path in named or not excludes.match_within(path)]


def _look_up(start: Path, names: Iterable[str], on_skip: Skip) -> dict[str, list[Entry]]:
    """Those of some files that are there, by folder; a folder without any is there too."""
    folders: dict[str, list[Entry]] = defaultdict(list)
    for path in names:
        folder, _, name = path.rpartition("/")
        files = folders[folder]
        try:
            status = status_of(start / path)
        except CocaSearchError as error:
            on_skip(start / path, str(error))
            continue
        if status and stat.S_ISREG(status.st_mode):
            files.append((name, *file_stat(status)))
    return folders


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


def place_folders(
    listed: Iterable[Folder], start: Path, roots: Mapping[str, Path]
) -> Iterator[tuple[str, str, list[Entry]]]:
    """Each folder listed from `start` on, with the innermost root around it and its path there."""
    around = max((key for key in roots if start.is_relative_to(roots[key])), key=lambda key: len(roots[key].parts))
    within = start.relative_to(roots[around]).as_posix()
    prefix = "" if within == "." else within
    inner = _inner_roots(start, roots)
    for folder, files in listed:
        for path, key in inner:
            if f"{folder}/".startswith(f"{path}/"):
                yield key, folder[len(path) + 1 :], files
                break
        else:
            yield around, join(prefix, folder) if folder else prefix, files


def scopes(target: Target, roots: Mapping[str, Path]) -> Iterator[Place]:
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


def _inner_roots(start: Path, roots: Mapping[str, Path]) -> list[tuple[str, str]]:
    """Path and key of the roots below a folder, the innermost first."""
    inner = [
        (root.relative_to(start).as_posix(), key)
        for key, root in roots.items()
        if root != start and root.is_relative_to(start)
    ]
    return sorted(inner, key=lambda path_and_key: -len(path_and_key[0]))
