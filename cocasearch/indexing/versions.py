"""The version of an image table, told from the names of its files: in no time, and without LanceDB."""

from pathlib import Path

_LARGEST_VERSION = 2**64 - 1


def latest_version(index: Path, table: str) -> int | None:
    """The table's latest version, read from the names of its version files; None if it has none."""
    versions = [_version_of(file) for file in (index / f"{table}.lance" / "_versions").glob("*.manifest")]
    return max((version for version in versions if version is not None), default=None)


def _version_of(file: Path) -> int | None:
    """The version that a file of Lance's stands for: `7.manifest`, or counted down from the largest, 20 digits long."""
    if not file.stem.isdecimal():
        return None
    number = int(file.stem)
    return _LARGEST_VERSION - number if len(file.stem) == len(str(_LARGEST_VERSION)) else number
