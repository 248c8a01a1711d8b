"""Folders that are there and hold nothing at all: drives are mounted on such, and what they held may be back."""

import os
from collections.abc import Mapping
from pathlib import Path

from cocasearch.images.discovery import is_walked
from cocasearch.images.excludes import Excludes
from cocasearch.indexing.scan.known_files import Place


class UnmountedFolders:
    """Finds empty folders inside roots, looking at each folder once.

    Args:
        roots: Folders by key.
        excludes: What is left out of walks. Nothing is said about that.
    """

    def __init__(self, roots: Mapping[str, Path], excludes: Excludes) -> None:
        self._roots, self._excludes = roots, excludes
        self._around: dict[Place, Place | None] = {}

    def around(self, root: str, folder: str) -> Place | None:
        """The empty folder at or around a place, below its root; None if the innermost one there is not empty."""
        if not folder:
            return None
        place = root, folder
        if place not in self._around:
            self._around[place] = self._look(root, folder)
        return self._around[place]

    def _look(self, root: str, folder: str) -> Place | None:
        start = self._roots[root]
        if not os.path.isdir(start / folder):  # noqa: PTH112  no error where the system does not say
            return self.around(root, folder.rpartition("/")[0])
        is_unmounted = is_empty_folder(start / folder) and is_walked(start / folder / "x", start, self._excludes)
        return (root, folder) if is_unmounted else None


def is_empty_folder(folder: Path) -> bool:
    """Whether a folder is there, may be listed and holds nothing at all, hidden files included."""
    try:
        with os.scandir(folder) as listing:
            return not any(listing)
    except OSError:
        return False
