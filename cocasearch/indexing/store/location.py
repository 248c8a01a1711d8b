"""Where an index lies, and what its parts are called there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Union

MANIFEST_FILE = "manifest.json"
COPY_FILE = "manifest-copy.json"  # of the manifest, in case that is lost
REBUILD_FILE = "rebuild.json"  # the manifest of a table that is being made to take the place of the present one
UNREADABLE_FILE = "unreadable.json"
REBUILD_UNREADABLE_FILE = "rebuild-unreadable.json"  # of the table that is being made
SNAPSHOT_FOLDER = "snapshot"
TABLE_SUFFIX = ".lance"

AnyIndex = Union["IndexLocation", str, Path]
"""An index as its users give it."""


@dataclass(frozen=True, slots=True)
class IndexLocation:
    """Where an index lies: today always a local folder, which need not exist."""

    folder: Path

    @classmethod
    def of(cls, index: AnyIndex) -> "IndexLocation":
        """The location that a user has given."""
        return index if isinstance(index, IndexLocation) else cls(Path(index))

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def manifest(self) -> Path:
        """The file that a reader opens first."""
        return self.folder / MANIFEST_FILE

    @property
    def manifest_copy(self) -> Path:
        """The same once more, for repairs."""
        return self.folder / COPY_FILE

    @property
    def rebuild_manifest(self) -> Path:
        """The manifest of a table that is being made to take the place of the present one."""
        return self.folder / REBUILD_FILE

    @property
    def unreadable_files(self) -> Path:
        """The list of files that could not be read."""
        return self.folder / UNREADABLE_FILE

    @property
    def snapshots(self) -> Path:
        """The folder of what is derived from tables: vectors to search, and known files."""
        return self.folder / SNAPSHOT_FOLDER

    def table(self, name: str) -> Path:
        """The folder of a table."""
        return self.folder / f"{name}{TABLE_SUFFIX}"
