"""Names of files in either form of Unicode: what one system writes as é, another writes as e and an accent."""

import os
import unicodedata
from contextlib import suppress
from functools import cache
from pathlib import Path


def composed(name: str) -> str:
    """The one form in which names that look alike are alike."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


class FilesByName:
    """The files on this disk, each folder looked at once."""

    def __init__(self) -> None:
        self._in_folder = cache(_names_in)

    def find(self, path: Path) -> Path:
        """The path as the disk spells it, which may be in the other form of Unicode; itself if it is not there."""
        if str(path).isascii() or os.path.lexists(path):
            return path
        folder = self.find(path.parent)
        return folder / self._in_folder(folder).get(composed(path.name), path.name)


def _names_in(folder: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        return {composed(name): name for name in os.listdir(folder)}  # noqa: PTH208  names, not paths
    return {}
