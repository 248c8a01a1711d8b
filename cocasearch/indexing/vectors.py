"""The vectors of an index in memory-mapped form, with what a plain query prints: fast to search, safe to delete.

Derived from one version of the image table and named by it; that it is stale shows in the file names of the table's
folder, so that neither opening nor searching imports LanceDB. Knows nothing about models and queries.
"""

import errno
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cocasearch.atomic_files import replacing
from cocasearch.errors import CocaSearchError
from cocasearch.indexing.versions import latest_version

SNAPSHOT_FOLDER = "snapshot"
ROW_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("root", pa.string()),
        ("path", pa.string()),
        ("caption", pa.string()),
        ("caption_score", pa.float32()),
    ]
)
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class SnapshotHit:
    """One row found: its cosine with the query, and what the snapshot carries of it."""

    score: float
    id: str
    root: str
    path: str
    caption: str | None
    caption_score: float | None


class VectorSnapshot:
    """Half-precision vectors of a whole table with their rows, searched exactly.

    Args:
        vectors: Flat inner-product index of N unit vectors.
        rows: Their N rows, of `ROW_SCHEMA`.
    """

    def __init__(self, vectors: faiss.Index, rows: pa.Table) -> None:
        self._vectors = vectors
        self._rows = rows

    @classmethod
    def open(cls, index: Path, table: str, version: int) -> "VectorSnapshot | None":
        """The snapshot of that version of the table, memory-mapped; None if it is missing or not whole."""
        vectors_file, rows_file = _files(index, table, version)
        try:
            vectors = faiss.read_index(str(vectors_file), faiss.IO_FLAG_MMAP_IFC)
            rows = pa.ipc.open_file(pa.memory_map(str(rows_file))).read_all()
        except (RuntimeError, OSError, pa.ArrowInvalid):
            return None
        whole = vectors.ntotal == rows.num_rows and rows.schema.equals(ROW_SCHEMA)
        return cls(vectors, rows) if whole else None

    def __len__(self) -> int:
        return int(self._vectors.ntotal)

    @property
    def rows(self) -> pa.Table:
        """The N rows, of `ROW_SCHEMA`."""
        return self._rows

    def vector(self, position: int) -> NDArray[np.float32]:
        """The unit vector (E,) of the row at a position, as exact as half precision is."""
        found: NDArray[np.float32] = np.asarray(self._vectors.reconstruct(position))
        return found

    def find(self, root: str, path: str) -> int | None:
        """The position of the row of a file; None if there is none."""
        is_it = pc.and_(pc.equal(self._rows["path"], path), pc.equal(self._rows["root"], root))
        position: int = pc.index(is_it, True).as_py()
        return None if position < 0 else position

    def search(self, vector: NDArray[np.float32], top_k: int) -> list[SnapshotHit]:
        """The `top_k` rows (or all, if fewer) of highest cosine with the unit `vector` (E,), highest first."""
        top_k = min(top_k, len(self))
        if top_k == 0:
            return []
        scores, positions = self._vectors.search(np.ascontiguousarray(vector[None], dtype=np.float32), top_k)
        return [self._hit(float(score), int(at)) for score, at in zip(scores[0], positions[0], strict=True)]

    def _hit(self, score: float, position: int) -> SnapshotHit:
        (row,) = self._rows.slice(position, 1).to_pylist()
        return SnapshotHit(score=max(-1.0, min(1.0, score)), **row)  # rounding to half precision may lengthen a vector


def open_snapshot(index: Path, table: str) -> VectorSnapshot:
    """The snapshot of the table's latest version, derived anew if it is missing, stale or not whole.

    Where the folder cannot be written to, it is derived in memory.

    Raises:
        CocaSearchError: There is no such table.
    """
    snapshot = _present_snapshot(index, table)
    return _derive(index, table) if snapshot is None else snapshot


def count_rows(index: Path, table: str) -> int:
    """The rows of the table's latest version: of its snapshot if there is one, which is fast, else of the table.

    Raises:
        CocaSearchError: There is no such table.
    """
    snapshot = _present_snapshot(index, table)
    if snapshot is not None:
        return len(snapshot)
    from cocasearch.indexing.table import IndexTable  # brings LanceDB, which a fresh snapshot does without

    return len(IndexTable(index, table))


def write_snapshot(index: Path, table: str, version: int, dimension: int, batches: Iterable[pa.RecordBatch]) -> None:
    """Derive the snapshot of one version of a table and remove those of its other versions.

    Args:
        index: The index folder.
        table: Name of the table.
        version: Its version.
        dimension: Numbers per vector, E.
        batches: All rows of that version, with the columns of `ROW_SCHEMA` and `embedding` (E,) float32.

    Raises:
        CocaSearchError: The disk is full or may not be written to.
    """
    vectors_file, rows_file = _files(index, table, version)
    vectors = _no_vectors(dimension)
    try:
        vectors_file.parent.mkdir(exist_ok=True)
        with replacing(vectors_file) as partial_vectors, replacing(rows_file) as partial_rows:
            with pa.OSFile(str(partial_rows), "wb") as sink, pa.ipc.new_file(sink, ROW_SCHEMA) as writer:
                for batch in batches:
                    writer.write_batch(_take(batch, vectors))
            _write_vectors(vectors, partial_vectors)
    except OSError as error:
        raise CocaSearchError(f"cannot write the search snapshot in {vectors_file.parent}: {error.strerror}") from error
    remove_snapshots(index, table, except_version=version)


def remove_snapshots(index: Path, table: str, *, except_version: int | None = None) -> None:
    """Remove the snapshots of a table, or of all its versions but one."""
    kept = {file.name for file in _files(index, table, except_version)} if except_version is not None else set()
    for file in (index / SNAPSHOT_FOLDER).glob(f"{table}-v*"):
        if file.name not in kept:
            with suppress(OSError):  # Windows keeps a file that a reader has mapped; the next run removes it
                file.unlink()


def _no_vectors(dimension: int) -> faiss.Index:
    return faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def _take(batch: pa.RecordBatch, vectors: faiss.Index) -> pa.RecordBatch:
    """Add a batch's embeddings to `vectors`; the rest of it, of `ROW_SCHEMA`."""
    vectors.add(batch.column("embedding").flatten().to_numpy().reshape(-1, vectors.d))
    return batch.select(ROW_SCHEMA.names).cast(ROW_SCHEMA)


def _present_snapshot(index: Path, table: str) -> VectorSnapshot | None:
    version = latest_version(index, table)
    return VectorSnapshot.open(index, table, version) if version is not None else None


def _derive(index: Path, table: str) -> VectorSnapshot:
    from cocasearch.indexing.table import IndexTable  # brings LanceDB, which a fresh snapshot does without

    for _ in range(_ATTEMPTS):  # a writer may compact the table, or remove our snapshot, under our hands
        source = IndexTable(index, table)
        with suppress(RuntimeError, OSError):
            columns = [*ROW_SCHEMA.names, "embedding"]
            try:
                write_snapshot(index, table, source.version, source.dimension, source.batches(columns))
            except CocaSearchError:  # a medium that can only be read, or a full one
                return _in_memory(source.dimension, source.batches(columns))
            if (snapshot := VectorSnapshot.open(index, table, source.version)) is not None:
                return snapshot
    raise CocaSearchError(f"cannot derive the search snapshot of the index at {index}: its table keeps changing")


def _in_memory(dimension: int, batches: Iterable[pa.RecordBatch]) -> VectorSnapshot:
    vectors = _no_vectors(dimension)
    return VectorSnapshot(vectors, pa.Table.from_batches([_take(batch, vectors) for batch in batches], ROW_SCHEMA))


def _write_vectors(vectors: faiss.Index, file: Path) -> None:
    try:
        faiss.write_index(vectors, str(file))
    except RuntimeError as error:  # FAISS's only kind
        raise OSError(errno.EIO, f"writing {file.name} failed, is the disk full?") from error


def _files(index: Path, table: str, version: int) -> tuple[Path, Path]:
    stem = index / SNAPSHOT_FOLDER / f"{table}-v{version}"
    return stem.with_name(f"{stem.name}.faiss"), stem.with_name(f"{stem.name}.arrow")
