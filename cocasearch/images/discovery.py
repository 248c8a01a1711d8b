"""A path in, the picture files under it out, in a stable order.

Looks at names and sizes only: whether a file really holds a picture is for decoding to find out.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from cocasearch.errors import CocaSearchError

IMAGE_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".jp2",
        ".png",
        ".apng",
        ".gif",
        ".webp",
        ".avif",
        ".heic",
        ".heif",
        ".hif",
    }
    | {".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
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


def discover_images(path: Path) -> Iterator[ImageFile]:
    """The pictures under a folder and its subfolders, sorted by name within each; or the one file that `path` names.

    Hidden files and folders, links to folders and the thumbnail and recycling folders of network drives are left out.
    A file given by its own name is taken whatever its suffix.

    Raises:
        CocaSearchError: `path` does not exist, cannot be entered, or has a name that no index can store.
    """
    if not _is_utf8(path.resolve()):
        raise CocaSearchError(f"the name of {str(path)!r} is not UTF-8", hint="rename it")
    if path.is_dir():
        if not os.access(path, os.R_OK | os.X_OK):
            raise CocaSearchError(f"folder {path} cannot be read: permission denied")
        root = path.resolve()
        return _walk(root, root)
    if path.is_file():
        status = path.stat()
        # The folder is resolved, the file is not: a link to a photo stays where its owner sees it.
        return iter([ImageFile(path.parent.resolve(), path.name, status.st_size, status.st_mtime_ns)])
    raise CocaSearchError(
        f"no such file or folder: {path}", hint="give the path of a folder with photos, or of a photo"
    )


def is_image_name(name: str) -> bool:
    """Whether a file name ends as pictures do."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def _walk(root: Path, folder: Path) -> Iterator[ImageFile]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        _log.warning("skipped folder %s: %s", folder, error.strerror)
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _SKIPPED_FOLDERS:
                yield from _walk(root, Path(entry.path))
        elif is_image_name(entry.name) and (image := _image_file(root, entry)):
            yield image


def _image_file(root: Path, entry: os.DirEntry[str]) -> ImageFile | None:
    """The file of a folder entry; None if it is no regular file, is gone, or has a name that no index can store."""
    path = Path(entry.path).relative_to(root)
    if not _is_utf8(path):
        _log.warning("skipped %r: its name is not UTF-8; rename it", str(path))
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
