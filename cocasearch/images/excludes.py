"""Patterns of files and folders that a walk skips."""

import glob
import os
import posixpath
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

# Folders that cameras, network drives and package managers fill with images nobody took.
SKIPPED_FOLDERS = frozenset(
    {"@eaDir", "@tmp", "@Recycle", "#recycle", "#snapshot", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
    | {"__MACOSX", "node_modules", "site-packages"}
    | {"@Recently-Snapshot", "$Recycle.Bin", "RECYCLER", "Network Trash Folder", "Temporary Items"}
)


def as_written(pattern: str) -> str:
    """A pattern in its plain form, without `./` and `..`, which means the same wherever a later run is started."""
    plain = posixpath.normpath(os.path.expanduser(pattern)) if pattern else ""  # noqa: PTH111  a pattern, not a path
    if plain.split("/")[0] == "..":
        plain = posixpath.normpath(f"{glob.escape(Path.cwd().as_posix())}/{plain}")
    return "" if plain in (".", "/") else plain


def as_meant(pattern: str, folders: Iterable[Path]) -> str:
    """The pattern that a user means: if a file or folder of exactly that name exists, it alone; else all that match.

    Args:
        pattern: As the user has written it, with or without `*`, `?` and `[…]`.
        folders: The folders that are walked.
    """
    plain = as_written(pattern)
    if plain == glob.escape(plain):
        return plain
    literal = posixpath.normpath(os.path.expanduser(pattern))  # noqa: PTH111  a pattern, not a path
    if os.path.lexists(literal):
        return glob.escape(os.path.abspath(literal) if literal.startswith("..") else literal)  # noqa: PTH100
    # A star or a question mark is in hardly any name, and a walk takes its time.
    return glob.escape(literal) if "[" in literal and any(_holds(folder, literal) for folder in folders) else plain


def as_shown(pattern: str) -> str:
    """A pattern as people read it: a name that stands for itself alone is shown without escapes."""
    name = re.sub(r"\[([*?[])\]", r"\1", pattern)
    return name if glob.escape(name) == pattern else pattern


def _holds(folder: Path, name: str) -> bool:
    """Whether a folder, or something below it, has a path that ends in `name`, which may have several parts."""
    ending = f"/{name}".lower()
    return any(
        f"{around}/{inside}".lower().endswith(ending)
        for around, folders, files in os.walk(folder)
        for inside in (*folders, *files)
    )


class Excludes:
    """Patterns such as `*.gif`, `thumbs` or `2019/raw`, for files and folders alike; false if there are none.

    A pattern of one name matches that name anywhere. One with slashes matches the last parts of a path, and one that
    begins with a slash, `~` or `../` the whole path. Patterns may be written as shells complete them: `./raw/`. `*`,
    `?` and `[…]` work as in a shell, within one name. Case matters in whole paths alone, since two of them may differ
    in nothing else.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        plain = self._plain = [plain for plain in map(as_written, patterns) if plain]
        cased = (pattern if pattern.startswith("/") else pattern.lower() for pattern in plain)
        split = (pattern.split("/") for pattern in cased)
        self._patterns = [(parts, len(parts)) for parts in split if any(parts)]
        self._have_fitted: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def match(self, path: str) -> bool:
        """Whether a pattern matches an absolute path with forward slashes."""
        whole, lower = path.split("/"), path.lower().split("/")
        fit = {
            at
            for at, (pattern, length) in enumerate(self._patterns)
            if length <= len(whole) and all(map(fnmatchcase, (lower if pattern[0] else whole)[-length:], pattern))
        }
        self._have_fitted |= fit
        return bool(fit)

    @property
    def unfitting(self) -> list[str]:
        """The patterns that have matched nothing so far."""
        return [pattern for at, pattern in enumerate(self._plain) if at not in self._have_fitted]

    def match_within(self, path: str) -> bool:
        """Whether a pattern matches an absolute path or a folder above it."""
        parts = path.split("/")
        return bool(self) and any(self.match("/".join(parts[:end])) for end in range(2, len(parts) + 1))


NO_EXCLUDES = Excludes()
