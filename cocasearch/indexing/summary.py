"""What an index holds, in a few numbers.

Reads the manifest, the snapshot and the ledger; opens no photo and writes nothing.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.ledger import Ledger
from cocasearch.indexing.manifest import MANIFEST_FILE, index_command, index_name, read_manifest
from cocasearch.indexing.vectors import count_rows
from cocasearch.paths import default_indexes_home


@dataclass(frozen=True)
class IndexSummary:
    """One index.

    Attributes:
        photos: Images that a query can find.
        unreadable: Path and reason of each file that could not be read.
        model: Name and fingerprint of the model that made the vectors.
        roots: The folders covered, where they are now.
        created: ISO 8601 time in UTC, as is `updated`.
        bytes: Size on disk.
    """

    name: str
    folder: str
    photos: int
    unreadable: tuple[tuple[str, str], ...]
    model: str
    dimension: int
    roots: tuple[str, ...]
    created: str
    updated: str
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON types."""
        unreadable = [{"path": path, "reason": reason} for path, reason in self.unreadable]
        return {**asdict(self), "unreadable": unreadable, "roots": list(self.roots)}


def summarise_index(index: Path) -> IndexSummary:
    """The summary of the index in folder `index`.

    Raises:
        CocaSearchError: No index there, or a damaged one.
    """
    manifest = read_manifest(index)
    roots = manifest.locate_roots(index)
    return IndexSummary(
        name=index_name(index),
        folder=str(index.absolute()),
        photos=count_rows(index, manifest.table),
        unreadable=tuple((str(roots[entry.root] / entry.path), entry.reason) for entry in Ledger(index)),
        model=f"{manifest.model_name}@{manifest.model_fingerprint}",
        dimension=manifest.dimension,
        roots=tuple(map(str, roots.values())),
        created=manifest.created,
        updated=manifest.updated,
        bytes=sum(file.stat().st_size for file in index.rglob("*") if file.is_file()),
    )


def list_indexes() -> list[Path]:
    """The folders of all indexes that have a name.

    Raises:
        CocaSearchError: There is none.
    """
    home = default_indexes_home()
    folders = [file.parent for file in sorted(home.glob(f"*/{MANIFEST_FILE}"))]
    if not folders:
        raise CocaSearchError(f"no index in {home} yet", hint=index_command(home / "default", "~/Pictures"))
    return folders
