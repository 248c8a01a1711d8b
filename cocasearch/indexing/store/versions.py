"""The versions of an image table, told from the names of its files: in no time, and without LanceDB."""

import re
import shlex
from pathlib import Path

from cocasearch.errors import CocaSearchError, first_line
from cocasearch.indexing.store.location import AnyIndex, IndexLocation
from cocasearch.indexing.store.manifest import index_command, index_name

VERSIONS_FOLDER = "_versions"

LANCE_ERRORS = (OSError, RuntimeError, ValueError)
"""What LanceDB raises where files are damaged or not there."""


def is_of_lance(error: Exception) -> bool:
    """Whether LanceDB raised an error of these, or has panicked over a damaged file: that class cannot be imported."""
    return isinstance(error, LANCE_ERRORS) or type(error).__name__ == "RustPanic"


_LARGEST_VERSION = 2**64 - 1
_OF_THE_SYSTEM = re.compile(r"([^:]*) \(os error \d+\)")
_IN_LANCE = re.compile(r"^lance error: (?:LanceError\(\w+\): )?|, \S+\.rs:[\d:]+$")  # and where LanceDB noticed


class VersionGone(Exception):  # noqa: N818  an event, not a fault
    """A writer has compacted or replaced the table meanwhile: the version asked for is not there any more."""


class UnreadableTable(CocaSearchError):  # noqa: N818  a finding about a table
    """A table whose files are damaged, as after a power cut, or are being replaced by a writer at this moment.

    Args:
        index: The index.
        table: Name of the table.
        error: What reading it has raised.
    """

    def __init__(self, index: AnyIndex, table: str, error: Exception) -> None:
        super().__init__(
            f"the table {table} of the index at {index} cannot be read: {_in_short(error)}",
            hint=f"cocasearch verify --index {shlex.quote(index_name(index))}",
        )


def cannot_write(index: AnyIndex, error: Exception) -> CocaSearchError:
    """The error that says why nothing can be written to an index."""
    hint = "see that the disk has room and can be written to, then run again: what was stored is kept"
    return CocaSearchError(f"cannot write to the index at {index}: {_in_short(error)}", hint=hint)


def refuse_if_lost(index: AnyIndex, table: str) -> None:
    """Refuse to go on with a table whose files are not there, or not any more.

    Raises:
        CocaSearchError: They are not.
    """
    if latest_version(index, table) is None:
        hint = index_command(index, "./photos", "--rebuild")
        raise CocaSearchError(f"the index at {index} has lost its table {table}", hint=hint)


def latest_version(index: AnyIndex, table: str) -> int | None:
    """The table's latest version, read from the names of its version files; None if it has none."""
    return max(version_files(index, table), default=None)


def has_version(index: AnyIndex, table: str, version: int) -> bool:
    """Whether there is a version of the table, still."""
    return version in version_files(index, table)


def version_files(index: AnyIndex, table: str) -> dict[int, Path]:
    """The file that makes each version of the table one."""
    files = (IndexLocation.of(index).table(table) / VERSIONS_FOLDER).glob("*.manifest")
    return {version: file for file in files if (version := _version_of(file)) is not None}


def _version_of(file: Path) -> int | None:
    """The version that a file of Lance's stands for: `7.manifest`, or counted down from the largest, 20 digits long."""
    if not file.stem.isdecimal():
        return None
    number = int(file.stem)
    return _LARGEST_VERSION - number if len(file.stem) == len(str(_LARGEST_VERSION)) else number


def _in_short(error: Exception) -> str:
    """Why something failed, in the system's words if it was the system that did."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    message = first_line(error)
    by_system = _OF_THE_SYSTEM.search(message)
    return by_system[1].strip().lower() if by_system else _IN_LANCE.sub("", message)
