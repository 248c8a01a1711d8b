"""One writer at a time. The operating system holds the lock, so a killed writer's is gone with it."""

import contextlib
import errno
import getpass
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cocasearch.errors import CocaSearchError
from cocasearch.json_values import parse_json, shown

LOCK_FILE = "writer.lock"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}  # by another process, as systems say it
_HINT = "wait for it to end, or stop it, and run again"


@contextlib.contextmanager
def writer_lock(folder: Path, what: str = "index", *, is_optional: bool = False) -> Iterator[None]:
    """Hold the right to write to the index in `folder`, which must exist.

    Args:
        folder: Where the lock lies.
        what: What else than an index is there.
        is_optional: Go on without a lock on a drive that knows none.

    Raises:
        CocaSearchError: Another process holds it; the message says which, where and since when. Or the folder cannot be
            written to, its drive knows no locks, or the disk fills or fails or the folder goes while the lock is held.
    """
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CocaSearchError(f"cannot write to the {what} at {folder}: {str(error.strerror).lower()}") from error
    # Closing the file gives the lock back; it has no buffer, or closing it on a full disk would fail once more.
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        _lock_or_refuse(file, folder, what, is_optional=is_optional)
        with _explaining_failure(folder, what):
            _write_owner(file)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # the next writer's note takes its place
                    file.truncate(0)


def refuse_if_locked(folder: Path) -> None:
    """Say at once that another process is writing, before any work is done that would be in vain.

    Raises:
        CocaSearchError: One is; the message says which, where and since when. Or the drive knows no locks.
    """
    try:
        file = (folder / LOCK_FILE).open("r+b")
    except OSError:  # nobody ever wrote, or this process may not: the lock itself will tell
        return
    with file:
        _lock_or_refuse(file, folder)


def _lock_or_refuse(file: BinaryIO, folder: Path, what: str = "index", *, is_optional: bool = False) -> None:
    try:
        _lock(file)
    except OSError as error:
        if error.errno in _HELD:
            raise CocaSearchError(_held_message(folder, file, what), hint=_HINT) from error
        if is_optional:
            return
        raise CocaSearchError(
            f"files on the drive of {folder} cannot be locked ({str(error.strerror).lower()}), and without a lock two "
            "runs could spoil the index",
            hint="keep the index on another drive: --index FOLDER; the photos may stay where they are",
        ) from error


@contextlib.contextmanager
def _explaining_failure(folder: Path, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not folder.exists():
            message = f"the {what} at {folder} has been removed while it was written, or its drive has gone"
            raise CocaSearchError(message, hint="run again: what is gone is made anew") from error
        if not isinstance(error, OSError) or error.errno is None:
            raise
        message = f"cannot write to the {what} at {folder}: {str(error.strerror).lower()}"
        mend = "free some room" if error.errno in _FULL else "see that its disk works and can be written to"
        raise CocaSearchError(message, hint=f"{mend}, and run again: what was stored is kept") from error


def _write_owner(file: BinaryIO) -> None:
    owner = {"pid": os.getpid(), "user": _user(), "host": platform.node(), "since": time.time()}
    file.truncate(0)
    file.seek(0)
    file.write(json.dumps(owner).encode())


def _held_message(folder: Path, file: BinaryIO, what: str) -> str:
    try:
        file.seek(0)
        owner = parse_json(file.read())
        user = f" (user {shown(owner['user'])})" if owner.get("user") else ""
        who = f"process {shown(owner['pid'])} on {shown(owner['host'])}{user}, for {_age(time.time() - owner['since'])}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        who = "another process"
    return f"the {what} at {folder} is being written by {who}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's process need have no name
        return ""


def _age(seconds: float) -> str:
    """A time as a person would say it."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        file.seek(1 << 30)  # far behind the owner's note, which others must be able to read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
