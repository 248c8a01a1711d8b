"""Files that can be read for a limited time, so that no broken one holds up a run; pipes and devices are refused.

Decoders ask for their input piece by piece; once the time is up they get an error instead of the next piece. Those
that take a whole file in one call are checked before they start, by `decode_scale`. The time is the reading thread's
processor time: a machine that is busy, stopped or asleep costs no image.
"""

import errno
import io
import os
import stat
import time
from pathlib import Path
from typing import Any

from cocasearch.images.decode_limits import MAX_BYTES_AHEAD, MAX_FILE_BYTES, SECONDS_PER_FILE


class OutOfTimeError(Exception):
    """A file has taken too long to read."""


class TooLargeError(Exception):
    """The image has more pixels or bytes, or would take more time, than the limits allow.

    Args:
        message: Which limit it exceeds, in a few words.
        pixels: Number of pixels, if a caller may raise that limit.
    """

    def __init__(self, message: str, pixels: int = 0) -> None:
        super().__init__(message)
        self.pixels = pixels


class _Timed:
    """The limits, added to a binary file, which must be read in the thread that opened it."""

    until = 0.0  # of the thread's own time, in seconds
    most = -1  # bytes that one call gives; unlimited unless a decoder would take long over what it gets
    ahead = float(MAX_BYTES_AHEAD)  # bytes that may still be read

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes, fewer than asked for where `most` says so.

        Raises:
            OutOfTimeError: The time for this file is up.
            TooLargeError: They are more than may be read.
        """
        if time.thread_time() > self.until:
            raise OutOfTimeError
        if size is not None and size > self.most >= 0:
            size = self.most
        if size is None or size < 0 or size > self.ahead:
            self._check_rest(size)
        content: bytes = super().read(size)  # type: ignore[misc]
        self.ahead -= len(content)
        return content

    def _check_rest(self: Any, size: int | None) -> None:
        position = self.tell()
        rest = self.seek(0, io.SEEK_END) - position
        self.seek(position)
        if min(rest, size if size is not None and size >= 0 else rest) > self.ahead:
            raise TooLargeError(f"has more than {MAX_BYTES_AHEAD >> 20} MB around its pixels")


class _TimedFile(_Timed, io.BufferedReader):
    pass


class _TimedBytes(_Timed, io.BytesIO):
    pass


TimedFile = _TimedFile | _TimedBytes


class _RegularFile(io.FileIO):
    """A file read up to the size that it had when it was opened: the kernel's own files have none and may never end."""

    size = 0

    def read(self, size: int | None = -1, /) -> bytes | Any:
        rest = max(0, self.size - self.tell())
        return super().read(rest if size is None or size < 0 else min(size, rest))

    def readinto(self, buffer: Any, /) -> int | Any:
        return super().readinto(memoryview(buffer).cast("B")[: max(0, self.size - self.tell())])

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self.read(1 << 24), b""))


def open_regular(file: Path) -> io.FileIO:
    """A regular file, open for reading. A pipe is refused, since opening one could wait for ever.

    Raises:
        OSError: It cannot be opened, is a pipe or a device, or is larger than any image file.
    """
    _check_kind(Path(file).stat(), file, may_be_folder=True)  # some devices do something when they are opened
    opened = _RegularFile(file, opener=lambda path, flags: os.open(path, flags | getattr(os, "O_NONBLOCK", 0)))
    try:
        status = os.fstat(opened.fileno())
        _check_kind(status, file)
        if status.st_size > MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, f"more than {MAX_FILE_BYTES >> 30} GB, larger than any image", str(file))
    except OSError:
        opened.close()
        raise
    opened.size = status.st_size
    return opened


def _check_kind(status: os.stat_result, file: Path, *, may_be_folder: bool = False) -> None:
    if not stat.S_ISREG(status.st_mode) and not (may_be_folder and stat.S_ISDIR(status.st_mode)):
        raise OSError(errno.EINVAL, "a pipe or a device, not a file", str(file))


def open_timed(source: Path | bytes, until: float | None = None) -> TimedFile:
    """A file, or a file's bytes, open for reading by this thread for a limited time.

    Args:
        source: The file or the bytes.
        until: Processor time of the thread, in seconds, at which reading ends; by default some seconds from now.

    Raises:
        OSError: The file cannot be opened.
    """
    file = _TimedBytes(source) if isinstance(source, bytes) else _TimedFile(open_regular(source))
    file.until = time.thread_time() + SECONDS_PER_FILE if until is None else until
    return file
