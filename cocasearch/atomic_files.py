"""Files that are replaced in one step: whatever happens, the old one or the new one is there."""

import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

TEMPORARY_SUFFIX = ".partial"
_OF_OURS = re.compile(rf"\..+\.[0-9a-f]{{8}}{re.escape(TEMPORARY_SUFFIX)}")
_SURELY_LEFT_BEHIND_SECONDS = 3600.0


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path beside `file` to write to. It replaces `file` when the block ends well, and is removed otherwise.

    Raises:
        FileExistsError: A device or a pipe has that name, which must not be replaced.
    """
    if file.exists() and not (file.is_file() or file.is_dir()):  # the system itself refuses a folder
        raise FileExistsError(errno.EEXIST, "it is a device or a pipe, not a file", str(file))
    partial = file.with_name(f".{file.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        yield partial
        flush_to_disk(partial)
        partial.replace(file)
        flush_to_disk(file.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_text(file: Path, text: str) -> None:
    """Put `text` into `file` in one step."""
    with replacing(file) as partial:
        partial.write_text(text, encoding="utf-8")


def remove_partial_files(folder: Path) -> None:
    """Remove the unfinished files of killed writers in `folder`, but none that may still be written or is not ours."""
    for partial in filter(lambda file: _OF_OURS.fullmatch(file.name), folder.glob(f".*{TEMPORARY_SUFFIX}")):
        with contextlib.suppress(OSError):  # its writer may finish at this moment
            if time.time() - partial.stat().st_mtime > _SURELY_LEFT_BEHIND_SECONDS:
                partial.unlink()


def flush_to_disk(path: Path) -> None:
    """Write a file, or the names of the files in a folder, to the disk, so that a power cut does not lose them."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folders and needs none flushed
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
