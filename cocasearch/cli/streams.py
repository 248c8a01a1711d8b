"""The standard streams when they are closed or lead to a full disk: no command fails because of its messages."""

import io
import os
import sys
from typing import Any


class _Dropping(io.FileIO):
    """A file that forgets what it cannot write."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def guard_streams() -> None:
    """Drop messages that cannot be printed, and let results that cannot be printed fail, even on closed streams.

    To be called before any file is opened: one would take the number of a closed stream, and its content.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):  # what nobody can write to fails
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # which takes the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    encoding = sys.stderr.encoding if sys.stderr else "utf-8"
    messages = io.BufferedWriter(_Dropping(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(messages, encoding, errors="backslashreplace", line_buffering=True)


def give_up_stdout() -> None:
    """Drop what stdout has not accepted, which would fail again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
