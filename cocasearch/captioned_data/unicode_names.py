"""File names in either form of Unicode: what one system writes as é, another writes as e and an accent."""

import os
import unicodedata
from contextlib import suppress
from functools import cache
from pathlib import Path


def composed(name: str) -> str:
    """The composed form of a name, in which names that look the same are the same."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


class FilesByName:
    """A look-up of files on this disk that lists each folder once."""

    def __init__(self) -> None:
        self._in_folder = cache(_names_in)

    def find(self, path: Path) -> Path:
        """The path as the disk spells it, perhaps in the other form of Unicode; unchanged if there is no such file."""
        if str(path).isascii() or os.path.lexists(path):
            return path
        folder = self.find(path.parent)
        return folder / self._in_folder(folder).get(composed(path.name), path.name)


def _names_in(folder: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        return {composed(name): name for name in os.listdir(folder)}  # noqa: PTH208  names, not paths
    return {}
