"""Back to the newest version of a table that can be read, where later ones cannot be, as after a power cut.

LanceDB writes each version into files of its own, so that older ones are as they were. What is derived from the later
ones goes with them: their numbers will be given anew. For the holder of the writer's lock.
"""

from collections.abc import Iterable
from pathlib import Path

import lancedb
from lancedb.table import Table

from cocasearch.indexing.scan.known_files import Place, forget_known_files, places_since_changed
from cocasearch.indexing.snapshot.snapshot_files import remove_snapshots
from cocasearch.indexing.store.location import AnyIndex, IndexLocation
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.table_files import VERSION_HINT
from cocasearch.indexing.store.versions import LANCE_ERRORS, latest_version, version_files

_SET_ASIDE = ".damaged"
_OF_CREATION = 2  # the first versions, without a row


def can_go_back(index: IndexLocation, table: str) -> bool:
    """Whether there is an older version with rows that can be read, as far as that can be told without writing."""
    *older, latest = sorted(version_files(index, table)) or [0]
    try:
        lancedb.connect(index.folder).open_table(table)
    except LANCE_ERRORS:  # the older ones do not open beside it
        return any(_OF_CREATION < version < latest for version in older)
    return any(_count_readable(index, table, version) for version in reversed(older))


def is_lost(index: AnyIndex, table: str) -> bool:
    """Whether no version of a table can be read that has rows, as far as that can be told without writing."""
    location, latest = IndexLocation.of(index), latest_version(index, table)
    return latest is None or not (_count_readable(location, table, latest) or can_go_back(location, table))


def go_back(index: IndexLocation, table: str) -> list[Place] | None:
    """Set damaged versions aside.

    Returns:
        The places of photos that have to be indexed again, as far as they are known; None, and nothing is changed, if
        no older version with rows can be read.
    """
    files, aside = version_files(index, table), list[Path]()
    for version in sorted(files, reverse=True):
        if _count_readable(index, table, version):
            break
        aside.append(files[version])
        files[version].replace(_beside(files[version]))
    else:
        for file in reversed(aside):
            _beside(file).replace(file)
        return None
    (files[version].parent / VERSION_HINT).unlink(missing_ok=True)
    lost = places_since_changed(index.folder, table, IndexTable(index, table))
    remove_snapshots(index, table)
    forget_known_files(index.folder, table)
    return lost


def damaged_versions(index: IndexLocation, table: str) -> list[Path]:
    """The files of older versions that cannot be read, where the latest can: only compacting fails then."""
    files = version_files(index, table)
    try:
        opened = lancedb.connect(index.folder).open_table(table)
    except LANCE_ERRORS:
        return []
    return [files[version] for version in sorted(files)[:-1] if not _has_columns(opened, version)]


def set_damaged_versions_aside(index: IndexLocation, tables: Iterable[str]) -> None:
    """Let tables go on without them. For the holder of the writer's lock."""
    for table in tables:
        for file in damaged_versions(index, table):
            file.replace(_beside(file))


def _has_columns(table: Table, version: int) -> bool:
    """Whether a version can be read: one of zeros, as a power cut may leave, seems to be an empty table's."""
    try:
        table.checkout(version)
        return bool(table.schema.names)
    except LANCE_ERRORS:
        return False


def _count_readable(index: IndexLocation, table: str, version: int) -> int:
    """The number of rows of a version; 0 if any of them cannot be read."""
    try:
        opened = lancedb.connect(index.folder).open_table(table)
        opened.checkout(version)
        return sum(batch.num_rows for batch in opened.search().to_batches())
    except LANCE_ERRORS:
        return 0


def _beside(file: Path) -> Path:
    return file.with_name(f"{file.name}{_SET_ASIDE}")
