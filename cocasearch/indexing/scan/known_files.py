"""The files that a table knows: size and time of change of each, folder by folder.

They are derived from one version of the table and kept in a file beside its snapshot. Reading that file needs neither
LanceDB nor Arrow, and a folder stays one string until it is asked for: finding that nothing has changed takes hardly
longer than walking through the folders.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cocasearch.atomic_files import replacing
from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import is_excluded
from cocasearch.images.excludes import Excludes
from cocasearch.indexing.store.location import SNAPSHOT_FOLDER
from cocasearch.indexing.store.row_filters import AWAITING_CAPTION
from cocasearch.indexing.store.versions import latest_version
from cocasearch.json_values import shown

if TYPE_CHECKING:
    from cocasearch.indexing.store.table import IndexTable

Place = tuple[str, str]
"""Key of a root and a path under it, with forward slashes."""

FileStat = list[int]
"""Size and time of the last change (ns) of a file; a third number is there if the file has been missing."""

_PREFIX = "files-"  # the names of the snapshot's own files begin with the table's


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of rows of a table: with a file, of these without a caption, and hidden because the file is gone."""

    present: int = 0
    captionless: int = 0
    missing: int = 0


class KnownFiles:
    """The sizes and times of change of the files of a table.

    Args:
        folders: JSON of the stats by name, for each root and folder in it.
        counts: How many rows there are.
    """

    def __init__(self, folders: dict[Place, str] | None = None, counts: Counts = Counts()) -> None:
        self._folders = folders or {}
        self.counts = counts

    def folders(self) -> Iterator[Place]:
        """Every folder with known files."""
        return iter(self._folders)

    def file_stats(self, root: str, folder: str) -> dict[str, FileStat]:
        """The stats of the files in a folder by their names, as a mapping that the caller may change.

        Raises:
            CocaSearchError: They are damaged.
        """
        try:
            stats: dict[str, FileStat] = json.loads(self._folders.get((root, folder), "{}"))
            if set(map(type, stats.values())) <= {list} and set(map(len, stats.values())) <= {2, 3}:
                return stats
        except (ValueError, RecursionError, AttributeError):
            pass
        message = f"what the index keeps in its folder '{SNAPSHOT_FOLDER}' of the files in '{shown(folder)}' is damaged"
        raise CocaSearchError(message, hint="delete that folder: it is made anew from the index")

    def as_dict(self) -> dict[Place, dict[str, FileStat]]:
        """All stats, by folder and name."""
        return {place: self.file_stats(*place) for place in self.folders()}

    def paths_in(self, root: str) -> Iterator[str]:
        """The paths in a root of its files."""
        return (
            join(folder, name) for key, folder in self._folders if key == root for name in self.file_stats(key, folder)
        )

    def count_excluded(self, roots: Mapping[str, Path], patterns: Iterable[str]) -> int:
        """The number of files that are hidden because patterns leave them out, and not because they are missing.

        Args:
            roots: Present folder of each root by its key.
            patterns: See `Excludes`.
        """
        excludes = Excludes(patterns)
        if not (excludes and self.counts.missing):
            return 0
        return sum(
            len(stat) == 3 and is_excluded(roots[root] / folder / name, roots[root], excludes)
            for root, folder in self._folders
            if root in roots
            for name, stat in self.file_stats(root, folder).items()
        )

    def sizes_among(self, sizes: Collection[int]) -> set[int]:
        """Those of the sizes that any known file has."""
        return {stat[0] for place in self._folders for stat in self.file_stats(*place).values() if stat[0] in sizes}


def open_known_files(index: Path, table: str) -> KnownFiles:
    """The files that the latest version of a table knows, read from the table itself if need be.

    Raises:
        CocaSearchError: There is no such table.
    """
    version = latest_version(index, table)
    if version is not None and (known := _read(_file(index, table, version))):
        return known
    from cocasearch.indexing.store.table import IndexTable  # brings LanceDB, which all this is to spare

    return keep_known_files(index, table, IndexTable(index, table))


def recall_known_files(index: Path, table: str) -> KnownFiles:
    """The known files that were last kept of a table that is lost; none if they are lost, too."""
    kept = (index / SNAPSHOT_FOLDER).glob(f"{_PREFIX}{table}-v*.jsonl")
    newest = max(kept, key=lambda file: file.stat().st_mtime_ns, default=None)
    return (newest and _read(newest)) or KnownFiles()


def keep_known_files(index: Path, name: str, table: "IndexTable") -> KnownFiles:
    """Read from a table what it knows of files, and keep that for the next run, in the place of what was kept before.

    A disk that does not take it is no error: it only spares time.
    """
    known, file = _of_table(table), _file(index, name, table.version)
    with suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        _write(known, file)
        for other in file.parent.glob(f"{_PREFIX}*"):
            if other != file:
                other.unlink(missing_ok=True)
    return known


def forget_known_files(index: Path, name: str, *, except_version: int | None = None) -> None:
    """Remove what is kept of any version of a table, as of another that had its name, or of all versions but one."""
    for file in (index / SNAPSHOT_FOLDER).glob(f"{_PREFIX}{name}-v*"):
        if except_version is None or file != _file(index, name, except_version):
            file.unlink(missing_ok=True)


def places_since_changed(index: Path, name: str, table: "IndexTable") -> list[Place]:
    """The places of files that were last kept as known and that a table, gone back to, does not know like this."""
    kept, own = recall_known_files(index, name), _of_table(table).as_dict()
    return [
        (root, join(folder, file))
        for (root, folder), stats in kept.as_dict().items()
        for file, stat in stats.items()
        if own.get((root, folder), {}).get(file) != stat
    ]


def is_sound(index: Path, name: str, table: "IndexTable") -> bool:
    """Whether what is kept of this version of a table, if anything is, is what the table says."""
    file = _file(index, name, table.version)
    if not file.exists():
        return True
    kept, own = _read(file), _of_table(table)
    return kept is not None and kept.counts == own.counts and kept.as_dict() == own.as_dict()


def join(folder: str, name: str) -> str:
    """The path of a file in a folder; the empty folder is the root itself."""
    return f"{folder}/{name}" if folder else name


def _of_table(table: "IndexTable") -> KnownFiles:
    folders: dict[Place, bytearray] = defaultdict(bytearray)  # JSON at once: objects would take ten times the memory
    for batch in table.batches(["root", "path", "size", "mtime_ns", "missing_since"], with_missing=True):
        columns = (column.to_pylist() for column in batch.columns[:4])
        for root, path, size, mtime_ns, is_there in zip(*columns, batch.column(4).is_null().to_pylist(), strict=True):
            folder, _, name = path.rpartition("/")
            mark = "" if is_there else ",1"
            folders[root, folder] += f"{json.dumps(name)}:[{size},{mtime_ns}{mark}],".encode()
    counts = Counts(len(table), table.count(AWAITING_CAPTION), table.count_missing())
    return KnownFiles({place: f"{{{text[:-1].decode()}}}" for place, text in folders.items()}, counts)


def _write(known: KnownFiles, file: Path) -> None:
    with replacing(file) as partial, partial.open("w", encoding="utf-8") as text:
        text.write(json.dumps(asdict(known.counts) | {"folders": len(known._folders)}) + "\n")
        for place in known.folders():
            text.write(f"{json.dumps(place)}\t{known._folders[place]}\n")


def _read(file: Path) -> KnownFiles | None:
    """What was written; None if it was not, or is not whole."""
    try:
        with file.open(encoding="utf-8") as text:
            counts = json.loads(text.readline())
            n_folders = counts.pop("folders")
            lines = (line.split("\t", 1) for line in text)
            folders = {tuple(json.loads(place)): stats for place, stats in lines}
            is_whole = len(folders) == n_folders and all(stats.endswith("}\n") for stats in folders.values())
            return KnownFiles(folders, Counts(**counts)) if is_whole else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _file(index: Path, table: str, version: int) -> Path:
    return index / SNAPSHOT_FOLDER / f"{_PREFIX}{table}-v{version}.jsonl"
