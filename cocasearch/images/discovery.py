"""A path in, the picture files under it out, in a stable order.

Looks at names and sizes only: whether a file really holds a picture is for decoding to find out.
"""

import logging
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from cocasearch.errors import CocaSearchError

# What cameras store before they make a picture of it; read by the extra `raw`.
RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".kdc", ".mef"}
    | {".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
IMAGE_SUFFIXES = RAW_SUFFIXES | frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".j2c", ".png", ".apng"}
    | {".gif", ".webp", ".avif", ".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif", ".bmp"}
    | {".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"}
)

# Folders that cameras, network drives and package managers fill with pictures nobody took.
_SKIPPED_FOLDERS = frozenset({"@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", "node_modules"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageFile:
    """A file that should hold a picture.

    Args:
        root: Absolute folder that the search started from.
        path: The file relative to `root`, with forward slashes on every system.
        size: Bytes.
        mtime_ns: Last change, nanoseconds since the epoch.
    """

    root: Path
    path: str
    size: int
    mtime_ns: int

    @property
    def absolute(self) -> Path:
        """Where the file lies."""
        return self.root / self.path


Skip = Callable[[Path, str], None]
"""Told the path of a file or folder that is left out though it may hold pictures, and why."""


def _warn(path: Path, reason: str) -> None:
    _log.warning("skipped %r: %s", str(path), reason)


def discover_images(path: Path, on_skip: Skip = _warn) -> Iterator[ImageFile]:
    """The pictures under a folder and its subfolders, sorted by name within each; or the one file that `path` names.

    Hidden files and folders, links to folders and the thumbnail and recycling folders of network drives are left out.
    A file given by its own name is taken whatever its suffix.

    Args:
        path: The folder or file.
        on_skip: Told of folders that cannot be read and names that no index can store; unless given, they are logged.

    Raises:
        CocaSearchError: `path` does not exist, cannot be entered, or has a name that no index can store.
    """
    status = status_of(path)
    if not _is_utf8(path.resolve()):
        raise CocaSearchError(f"the name of {str(path)!r} is not UTF-8", hint="rename it")
    if status and stat.S_ISDIR(status.st_mode):
        if not os.access(path, os.R_OK | os.X_OK):
            raise CocaSearchError(f"folder {path} cannot be read: permission denied")
        root = path.resolve()
        return _walk(root, root, on_skip)
    if status and stat.S_ISREG(status.st_mode):
        # The folder is resolved, the file is not: a link to a photo stays where its owner sees it.
        return iter([ImageFile(path.parent.resolve(), path.name, status.st_size, status.st_mtime_ns)])
    raise CocaSearchError(
        f"no such file or folder: {path}", hint="give the path of a folder with photos, or of a photo"
    )


def expand_home(path: Path) -> Path:
    """The path with a leading `~` or `~user` put in full.

    Raises:
        CocaSearchError: There is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise CocaSearchError(
            f"no home folder is known for {path.parts[0]}", hint=f"if it is a name: ./{path}"
        ) from error


def status_of(path: Path) -> os.stat_result | None:
    """The status of what lies at a path; None if nothing does.

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


def is_image_name(name: str) -> bool:
    """Whether a file name ends as pictures do."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def _walk(root: Path, folder: Path, on_skip: Skip) -> Iterator[ImageFile]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        on_skip(folder, f"folder cannot be read: {str(error.strerror).lower()}")
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _SKIPPED_FOLDERS:
                yield from _walk(root, Path(entry.path), on_skip)
        elif is_image_name(entry.name) and (image := _image_file(root, entry, on_skip)):
            yield image


def _image_file(root: Path, entry: os.DirEntry[str], on_skip: Skip) -> ImageFile | None:
    """The file of a folder entry; None if it is no regular file, is gone, or has a name that no index can store."""
    path = Path(entry.path).relative_to(root)
    if not _is_utf8(path):
        on_skip(root / path, "its name is not UTF-8; rename it")
        return None
    try:
        status = entry.stat()
        return ImageFile(root, path.as_posix(), status.st_size, status.st_mtime_ns) if entry.is_file() else None
    except OSError:  # deleted since the folder was listed, or a link to nothing
        return None


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
