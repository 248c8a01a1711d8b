"""The search for image files below a path, in a stable order.

Only names and sizes are looked at: whether a file really holds an image shows when it is decoded.
"""

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cocasearch.errors import CocaSearchError
from cocasearch.images.excludes import NO_EXCLUDES, SKIPPED_FOLDERS, Excludes
from cocasearch.images.formats import IMAGE_SUFFIXES

VIDEO_SUFFIXES = frozenset(
    {".3g2", ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv"}
)

VIDEO = "a video, of which no image is taken"
"""The reason that is given for skipping a video."""

ONLY_VIDEOS = "videos are passed over; give folders with photos"
"""The hint where nothing but videos is found."""

_LARGEST = 2**63 - 1  # what a column of whole numbers holds
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})

LINKED_FOLDER = "a link to a folder, which is not followed"
"""The reason that is given for skipping a link to a folder."""

GIVE_LINKED = "links to folders are not followed; give the folders themselves"
"""The hint where nothing but such links is found."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageFile:
    """A file that should hold an image.

    Args:
        root: Absolute folder that the search started from.
        path: The file relative to `root`, with forward slashes on every system.
        size: Its size in bytes.
        mtime_ns: The time of its last change in nanoseconds since the epoch.
    """

    root: Path
    path: str
    size: int
    mtime_ns: int

    @property
    def absolute(self) -> Path:
        """The absolute path of the file."""
        return self.root / self.path


Entry = tuple[str, int, int]
"""A file in a folder: its name, its size in bytes and the time of its last change in nanoseconds."""

Folder = tuple[str, list[Entry]]
"""A folder: its path from the start of the walk (empty for the start itself), with forward slashes, and its files."""

Skip = Callable[[Path, str], None]
"""A function that is called with each file or folder that is skipped though it may hold images, and the reason."""


def _warn(path: Path, reason: str) -> None:
    if reason == VIDEO:  # an album may hold thousands
        return
    _log.warning("skipped %r: %s", str(path), reason)


def discover_images(path: Path, on_skip: Skip = _warn) -> Iterator[ImageFile]:
    """The images in a folder and its subfolders, each folder before its subfolders, by name; or the one at `path`.

    Hidden files and folders, links to folders (which may lead in circles), and the thumbnail and recycling folders of
    network drives are skipped. A file given by its own name is taken whatever its suffix.

    Args:
        path: The folder or file.
        on_skip: Function that is called with folders that cannot be read, names that no index can store, links to
            folders, and videos, each with the reason. By default all but videos are logged.

    Raises:
        CocaSearchError: `path` does not exist, cannot be entered, or has a name that no index can store.
    """
    start, status = resolve_start(path)
    if not stat.S_ISDIR(status.st_mode):
        return iter([ImageFile(start.parent, start.name, *file_stat(status))])
    return (
        ImageFile(start, f"{folder}/{name}" if folder else name, size, mtime_ns)
        for folder, files in walk_folders(start, on_skip)
        for name, size, mtime_ns in files
    )


def resolve_start(path: Path) -> tuple[Path, os.stat_result]:
    """The absolute path of a folder or file to start from, and its status.

    Links are resolved in the folder's path, so that a folder has one name, but not in a file's own name: a linked photo
    stays where its owner sees it.

    Raises:
        CocaSearchError: `path` does not exist, cannot be entered, or has a name that no index can store.
    """
    status = status_of(path)
    if not is_utf8(str(path.resolve())):
        raise CocaSearchError(f"the name of {str(path)!r} is not UTF-8", hint="rename it")
    if status and stat.S_ISDIR(status.st_mode):
        if not os.access(path, os.R_OK | os.X_OK):
            raise CocaSearchError(f"folder {path} cannot be read: permission denied")
        return path.resolve(), status
    if status and stat.S_ISREG(status.st_mode):
        return path.parent.resolve() / path.name, status
    raise CocaSearchError(
        f"no such file or folder: {path}", hint="give the path of a folder with photos, or of a photo"
    )


def walk_folders(
    start: Path,
    on_skip: Skip = _warn,
    excludes: Excludes = NO_EXCLUDES,
    is_wanted: Callable[[str], bool] | None = None,
) -> Iterator[Folder]:
    """The folders at and below `start` (absolute) that hold images, each before its subfolders, in order of name.

    Each file is looked at once and costs no object beyond a tuple, since this is all that an unchanged library takes.

    Args:
        start: The folder to start from; it is walked whatever its name.
        on_skip: As for `discover_images`.
        excludes: Patterns of files and folders to leave out.
        is_wanted: Function that says by its name whether a file is looked for; None for images.
    """
    top = str(start)
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        where = os.path.join(top, folder)  # noqa: PTH118  many times faster
        files, subfolders = _list_folder(where, on_skip, excludes, is_wanted or is_image_name)
        if files:
            yield folder, files
        waiting += [f"{folder}/{name}" if folder else name for name in sorted(subfolders, reverse=True)]


def status_of(path: Path) -> os.stat_result | None:
    """The status of the file or folder at a path; None if there is none.

    Raises:
        CocaSearchError: The system does not say, as for a folder that may not be entered or a name that is too long.
    """
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise CocaSearchError(f"cannot look at {path}: {str(reason).lower()}") from error


def file_stat(status: os.stat_result) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds since 1970, as an index can hold and compare them.

    Times before 1677 and after 2262, which file systems can hold, are cut to these years.
    """
    return min(status.st_size, _LARGEST), max(-_LARGEST, min(status.st_mtime_ns, _LARGEST))


def is_image_name(name: str) -> bool:
    """Whether a file name has the suffix of an image format."""
    return name[name.rfind(".") :].lower() in IMAGE_SUFFIXES


def is_passed_over(path: str) -> bool:
    """Whether a walk skips this path (relative to its start) because it is hidden or in a system's folder."""
    *folders, last = path.split("/")
    is_hidden = any(name.startswith(".") and name not in (".", "..") for name in (*folders, last))
    return is_hidden or not SKIPPED_FOLDERS.isdisjoint(folders)


def is_walked(path: Path, start: Path, excludes: Excludes = NO_EXCLUDES) -> bool:
    """Whether a walk from `start` reaches a file or folder below it (both absolute), judging by names alone."""
    if is_passed_over(path.relative_to(start).as_posix()):  # `start` is walked whatever its name
        return False
    return not is_excluded(path, start, excludes)


def is_excluded(path: Path, start: Path, excludes: Excludes) -> bool:
    """Whether a pattern matches a file or folder, or a folder between it and `start` (both absolute)."""
    on_the_way = [path, *path.parents][: len(path.parts) - len(start.parts)]
    return bool(excludes) and any(excludes.match(step.as_posix()) for step in on_the_way)


def _list_folder(
    folder: str, on_skip: Skip, excludes: Excludes, is_wanted: Callable[[str], bool]
) -> tuple[list[Entry], list[str]]:
    """The wanted files in a folder, sorted, and the names of the subfolders to walk next."""
    files: list[Entry] = []
    subfolders: list[str] = []
    has_excludes = bool(excludes)
    try:
        with os.scandir(folder) as listing:
            for entry in listing:
                name = entry.name
                if name.startswith(".") or (has_excludes and excludes.match(_with_slashes(entry.path))):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if name not in SKIPPED_FOLDERS and _is_storable(entry, on_skip):
                        subfolders.append(name)
                elif entry.is_symlink() and _is_to_folder(entry):
                    on_skip(Path(entry.path), LINKED_FOLDER)
                elif is_wanted(name) and _is_storable(entry, on_skip) and (file := _look_at(entry)):
                    files.append(file)
                elif name[name.rfind(".") :].lower() in VIDEO_SUFFIXES:
                    on_skip(Path(entry.path), VIDEO)
    except OSError as error:  # it may not be listed, or none of its files be looked at
        on_skip(Path(folder), f"folder cannot be read: {str(error.strerror).lower()}")
        return [], []
    return sorted(files), subfolders


def _is_to_folder(link: os.DirEntry[str]) -> bool:
    try:
        return link.is_dir()
    except OSError:  # it leads to itself, or the system does not say
        return False


def _look_at(entry: os.DirEntry[str]) -> Entry | None:
    """Name, size and time of change of a file; None if it is not a regular file, has gone, or is a broken link.

    Raises:
        OSError: The system does not say.
    """
    try:
        status = entry.stat()
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    return (entry.name, *file_stat(status)) if stat.S_ISREG(status.st_mode) else None


def _is_storable(entry: os.DirEntry[str], on_skip: Skip) -> bool:
    if entry.name.isascii() or is_utf8(entry.name):
        return True
    on_skip(Path(entry.path), "its name is not UTF-8; rename it")
    return False


def _with_slashes(path: str) -> str:
    return path if os.sep == "/" else path.replace(os.sep, "/")


def is_utf8(text: str) -> bool:
    """Whether a path, or text that was read with `surrogateescape`, was UTF-8, so that it can be stored as text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
