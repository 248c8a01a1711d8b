"""Checks for room on a disk before gigabytes are written, and one clear sentence if it is full."""

import contextlib
import errno
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from cocasearch.errors import CocaSearchError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
ELSEWHERE = "put models elsewhere: COCASEARCH_HOME=FOLDER, and the hub's files: HF_HOME=FOLDER"


def refuse_small_disks(needs: Mapping[Path, int]) -> None:
    """Make sure that the disks of folders, which need not exist yet, have room for the bytes that each will take.

    Raises:
        CocaSearchError: A disk has not.
    """
    disks: dict[int, list[tuple[Path, int]]] = defaultdict(list)
    for folder, size in needs.items():
        existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        disks[existing.stat().st_dev].append((existing, size))
    for wanted in disks.values():
        existing, needed = wanted[0][0], sum(size for _, size in wanted)
        free = shutil.disk_usage(existing).free
        if free < needed:
            raise CocaSearchError(
                f"the disk of {existing} has {gigabytes(free)} free, and {gigabytes(needed)} are needed",
                hint=f"free some, or {ELSEWHERE}",
            )


@contextlib.contextmanager
def writing(what: Path, elsewhere: str = ELSEWHERE) -> Iterator[None]:
    """Report an error of the disk in a block that writes `what`, with a hint how to write elsewhere.

    Raises:
        CocaSearchError: There is no room, no permission, or no working disk.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # no system call's
            raise
        reason = (error.strerror or type(error).__name__).lower()
        raise CocaSearchError(
            f"{what} cannot be written: {reason}",
            hint=f"free some, or {elsewhere}" if error.errno in _FULL else elsewhere,
        ) from error


def gigabytes(size: int) -> str:
    """A number of bytes as people read it: '2.55 GB', '19 MB'."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"
