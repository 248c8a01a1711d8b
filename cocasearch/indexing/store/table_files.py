"""The files of a Lance table on the disk: whether each new one is whole, and how a change that is not is taken back.

LanceDB never changes a file that it has written, which is what makes taking back possible. But it does not notice when
the last write to a file fails, and it leaves it to the system when files reach the disk.
"""

import contextlib
import errno
import os
import struct
from collections.abc import Set
from pathlib import Path

from cocasearch.atomic_files import flush_to_disk
from cocasearch.indexing.store.versions import VERSIONS_FOLDER

VERSION_HINT = "latest_version_hint.json"  # of the latest number; LanceDB does without
# Where parts of the file begin, and what ends it. Vectors, captions and words are all in files of the first kind, which
# rows are deleted in those of the last. Of many rows that is in a bitmap, without an end of its own.
_FOOTERS = {
    ".lance": (struct.Struct("<3Q12x4s"), b"LANC"),
    ".manifest": (struct.Struct("<Q4x4s"), b"LANC"),
    ".arrow": (struct.Struct("<I6s"), b"ARROW1"),
}
_BITMAP = ".bin"


class TableFiles:
    """The files of one table.

    Args:
        folder: The table's, which need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._flushed: set[Path] = set()

    def there(self) -> set[Path]:
        """All of them."""
        return {Path(folder, name) for folder, _, names in os.walk(self._folder) for name in names}

    def settle(self, before: Set[Path]) -> bool:
        """Read back those that are new since `before`, and have all of them survive a power cut.

        For files that were so before that costs nothing.

        Returns:
            Whether the rows must be read to know that all is whole.

        Raises:
            OSError: One has been cut short, or the disk does not take it.
        """
        there = self.there()
        for file in there - before:
            with contextlib.suppress(FileNotFoundError):  # it has served its purpose
                if not _is_whole(file):
                    raise OSError(errno.EIO, "a file was written only in part", str(file))
        new = there - self._flushed
        folders = {parent for file in new for parent in file.parents if parent.is_relative_to(self._folder.parent)}
        for path in (*new, *folders):
            with contextlib.suppress(FileNotFoundError):
                flush_to_disk(path)
        self._flushed = there
        return any(file.suffix == _BITMAP for file in there - before)

    def take_back(self, before: Set[Path]) -> None:
        """Undo a change: remove the files that are new since `before`, those first that make the versions of it.

        Raises:
            OSError: The version before is not there any more, or a later one cannot be removed.
        """
        there = self.there()
        versions = sorted(file for file in there - before if file.parent.name == VERSIONS_FOLDER)
        if versions and before - there:
            raise OSError("the version before it is gone")
        for file in versions:  # numbers are counted down: the latest first
            file.unlink(missing_ok=True)
        for file in (*(there - before), self._folder / VERSIONS_FOLDER / VERSION_HINT):
            with contextlib.suppress(OSError):  # it is in nobody's way
                file.unlink(missing_ok=True)


def _is_whole(file: Path) -> bool:
    """Whether a file of Lance's has its footer, and all that is to be before it."""
    if file.suffix not in _FOOTERS:
        return True
    footer, wanted = _FOOTERS[file.suffix]
    size = file.stat().st_size
    with file.open("rb") as content:
        content.seek(max(0, size - footer.size))
        end = content.read()
    if len(end) < footer.size:
        return False
    *places, magic = footer.unpack(end)
    return bool(magic == wanted and max(places) + footer.size <= size)
