"""Patterns of files and folders that a walk leaves out."""

import glob
import os
import posixpath
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

# Folders that cameras, network drives and package managers fill with pictures nobody took.
SKIPPED_FOLDERS = frozenset(
    {"@eaDir", "@tmp", "@Recycle", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
    | {"__MACOSX", "node_modules", "site-packages"}
    | {"@Recently-Snapshot", "$Recycle.Bin", "RECYCLER", "Network Trash Folder", "Temporary Items"}
)


def as_written(pattern: str) -> str:
    """A pattern without the detours that paths on a command line may take; the same wherever a later run is started."""
    plain = posixpath.normpath(os.path.expanduser(pattern)) if pattern else ""  # noqa: PTH111  a pattern, not a path
    if plain.split("/")[0] == "..":
        plain = posixpath.normpath(f"{glob.escape(Path.cwd().as_posix())}/{plain}")
    return "" if plain in (".", "/") else plain


class Excludes:
    """Patterns such as `*.gif`, `thumbs` or `2019/raw`, each for files and folders alike; false if there are none.

    Patterns may be written as shells complete them, `./raw/`; one that begins with `~` or `../` is of a whole path.
    A pattern of one name fits that name anywhere. One with slashes fits the last parts of a path, and one that begins
    with a slash the whole of it. `*`, `?` and `[…]` are as in a shell, within one name. Case makes a difference in
    whole paths alone, of which there may be two that differ in nothing else.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        plain = map(as_written, patterns)
        cased = (pattern if pattern.startswith("/") else pattern.lower() for pattern in plain)
        split = (pattern.split("/") for pattern in cased)
        self._patterns = [(parts, len(parts)) for parts in split if any(parts)]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def match(self, path: str) -> bool:
        """Whether a pattern fits an absolute path with forward slashes."""
        whole, lower = path.split("/"), path.lower().split("/")
        return any(
            length <= len(whole) and all(map(fnmatchcase, (lower if pattern[0] else whole)[-length:], pattern))
            for pattern, length in self._patterns
        )

    def match_within(self, path: str) -> bool:
        """Whether a pattern fits an absolute path or a folder around it."""
        parts = path.split("/")
        return bool(self) and any(self.match("/".join(parts[:end])) for end in range(2, len(parts) + 1))


NO_EXCLUDES = Excludes()
