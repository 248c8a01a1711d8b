"""Files that can be read for some seconds only, so that no broken one holds up a run, and nothing else in their place.

Decoders ask for their input piece by piece; once the time is up they get an error instead of the next piece. Those
that take all of it in one call are bounded before they start, by `effort.py`.
"""

import errno
import io
import os
import stat
import time
from pathlib import Path

from cocasearch.images.limits import SECONDS_PER_FILE


class OutOfTimeError(Exception):
    """A file took too long to read."""


class _Timed:
    """Adds the limit to a binary file."""

    until = 0.0
    most = -1  # bytes that one call gives; unlimited unless a decoder would take long over what it gets

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes, fewer than asked for where `most` says so.

        Raises:
            OutOfTimeError: The time for this file is up.
        """
        if time.monotonic() > self.until:
            raise OutOfTimeError
        if size is not None and size > self.most >= 0:
            size = self.most
        content: bytes = super().read(size)  # type: ignore[misc]
        return content


class _TimedFile(_Timed, io.BufferedReader):
    pass


class _TimedBytes(_Timed, io.BytesIO):
    pass


TimedFile = _TimedFile | _TimedBytes


def open_regular(file: Path) -> io.FileIO:
    """A file to be read; a pipe that has taken its place would be waited for, without an end.

    Raises:
        OSError: It cannot be opened, or is a pipe or a device.
    """
    opened = io.FileIO(file, opener=lambda path, flags: os.open(path, flags | getattr(os, "O_NONBLOCK", 0)))
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise OSError(errno.EINVAL, "a pipe or a device, not a file", str(file))
    return opened


def open_timed(source: Path | bytes, seconds: float | None = None) -> TimedFile:
    """A file, or a file's bytes, to be read within so many seconds from now.

    Raises:
        OSError: The file cannot be opened.
    """
    file = _TimedBytes(source) if isinstance(source, bytes) else _TimedFile(open_regular(source))
    file.until = time.monotonic() + (SECONDS_PER_FILE if seconds is None else seconds)
    return file
