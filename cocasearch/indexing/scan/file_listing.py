"""Lists the image files in the folders that a run looks through, and those files that were named one by one."""

import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import (
    GIVE_LINKED,
    LINKED_FOLDER,
    ONLY_VIDEOS,
    VIDEO,
    Entry,
    Folder,
    file_stat,
    resolve_start,
    status_of,
    walk_folders,
)
from cocasearch.images.excludes import Excludes


class Target(NamedTuple):
    """What to look through.

    Attributes:
        folder: Absolute.
        names: Paths in it of the files that are wanted; None for whatever it holds.
        whole: Whether the files listed are all that there should be: others that the index knows are gone.
    """

    folder: Path
    names: tuple[str, ...] | None = None
    whole: bool = True

    @property
    def path(self) -> Path:
        """What its user would call it."""
        return self.folder / self.names[0] if self.names and len(self.names) == 1 else self.folder


@dataclass
class PassedOver:
    """What a listing has passed over; called with the path and the reason of each.

    Attributes:
        linked: Links to folders, which are not followed.
        videos: Videos.
        skipped: Path and reason of what else had to be left out. Nothing under them counts as gone.
    """

    linked: list[Path] = field(default_factory=list)
    videos: set[Path] = field(default_factory=set)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, path: Path, reason: str) -> None:
        if reason == LINKED_FOLDER:
            self.linked.append(path)
        elif reason == VIDEO:
            self.videos.add(path)
        else:
            self.skipped.append((str(path), reason))

    @property
    def hint(self) -> str | None:
        """How to go on if that is all that there is."""
        return GIVE_LINKED if self.linked else ONLY_VIDEOS if self.videos else None

    def hides(self, path: Path) -> bool:
        """Whether a path lies in what had to be left out."""
        return any(path.is_relative_to(skipped) for skipped, _ in self.skipped)


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


def list_files(
    target: Target, passed_over: PassedOver, excludes: Excludes, named: Iterable[str] = ()
) -> Iterator[Folder]:
    """The folders of a target with their files, as `walk_folders` gives them; nothing at all if there is no file.

    Args:
        target: What to look through.
        passed_over: Takes what is passed over.
        excludes: What to leave out.
        named: Whole paths of files that are taken, though they would be left out.
    """
    start = target.folder
    if target.names is None:
        inside = [path for path in map(Path, named) if path.is_relative_to(start)]
        extra = _look_up(start, [path.relative_to(start).as_posix() for path in inside], passed_over)
        for folder, files in walk_folders(start, passed_over, excludes):
            yield folder, sorted({*files, *extra.pop(folder, ())}) if extra else files
        yield from ((folder, files) for folder, files in extra.items() if files)
        return
    folders = _look_up(start, target.names, passed_over)
    if not any(folders.values()):
        return
    kept = set(named)
    for folder, files in folders.items():
        if target.whole:  # else its user has named the file just now
            whole_paths = {file: (start / folder / file[0]).as_posix() for file in files}
            files = [file for file, path in whole_paths.items() if path in kept or not excludes.match_within(path)]
        yield folder, files


def _look_up(start: Path, names: Iterable[str], passed_over: PassedOver) -> dict[str, list[Entry]]:
    """Those of some files that are there, by folder; a folder without any is there too."""
    folders: dict[str, list[Entry]] = defaultdict(list)
    for path in names:
        folder, _, name = path.rpartition("/")
        files = folders[folder]
        try:
            status = status_of(start / path)
        except CocaSearchError as error:
            passed_over(start / path, str(error))
            continue
        if status and stat.S_ISREG(status.st_mode):
            files.append((name, *file_stat(status)))
    return folders
