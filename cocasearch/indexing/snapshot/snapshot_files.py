"""Derives the searchable snapshot of an image table and keeps it beside the table: quick to open, safe to delete.

Derived from one version of the table and named by it; that it is stale shows in the file names of the table's folder,
so that neither opening nor searching imports LanceDB. Knows nothing about models and queries.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cocasearch.atomic_files import replacing
from cocasearch.errors import CocaSearchError
from cocasearch.indexing.snapshot.exact_search import ExactSearch
from cocasearch.indexing.snapshot.faiss_file import VectorFileWriter, map_vectors, no_rough_vectors, no_vectors
from cocasearch.indexing.snapshot.vector_snapshot import VectorSnapshot
from cocasearch.indexing.store.location import AnyIndex, IndexLocation
from cocasearch.indexing.store.record_rows import SNAPSHOT_SCHEMA
from cocasearch.indexing.store.versions import UnreadableTable, latest_version

_SUFFIXES = (".faiss", ".sq8", ".arrow")  # of vectors, of the same in eight bits and of rows
_ATTEMPTS = 3


def open_snapshot(index: AnyIndex, table: str) -> VectorSnapshot:
    """The snapshot of the table's latest version, derived anew if it is missing, stale or not whole.

    Where the folder cannot be written to, it is derived in memory.

    Raises:
        CocaSearchError: There is no such table, or it cannot be read.
    """
    version = latest_version(index, table)
    snapshot = find_snapshot(index, table, version) if version is not None else None
    return _derive(index, table) if snapshot is None else snapshot


def find_snapshot(index: AnyIndex, table: str, version: int) -> VectorSnapshot | None:
    """The snapshot of that version of the table, memory-mapped; None if it is missing or not whole."""
    vectors_file, rough_file, rows_file = _files(index, table, version)
    try:
        vectors, rough = map_vectors(vectors_file), map_vectors(rough_file)
        rows = pa.ipc.open_file(pa.memory_map(str(rows_file))).read_all()
        rows.validate(full=True)  # 0.07 s for a million; else a damaged byte ends the process when a row is taken
    except (RuntimeError, OSError, pa.ArrowException):
        return None
    is_whole = vectors.ntotal == rough.ntotal == rows.num_rows and vectors.d == rough.d
    is_whole &= rows.schema.equals(SNAPSHOT_SCHEMA)
    return VectorSnapshot(ExactSearch(vectors, rough), rows, version) if is_whole else None


def is_complete(index: AnyIndex, table: str, version: int) -> bool:
    """Whether all files of a snapshot are there. A kill between renames leaves some; the next query derives all."""
    return all(file.exists() for file in _files(index, table, version))


def write_snapshot(
    index: AnyIndex, table: str, version: int, dimension: int, batches: Iterable[pa.RecordBatch]
) -> None:
    """Derive the snapshot of one version of a table and remove those of its other versions.

    Args:
        index: The index.
        table: Name of the table.
        version: Its version.
        dimension: Numbers per vector, E.
        batches: All rows of that version, with the columns of `SNAPSHOT_SCHEMA` and `embedding` (E,) float32.

    Raises:
        CocaSearchError: The disk is full or may not be written to, or FAISS does not read what was written.
    """
    files, folder = _files(index, table, version), IndexLocation.of(index).snapshots
    try:
        folder.mkdir(exist_ok=True)
        with ExitStack() as partial:
            _write_batches([partial.enter_context(replacing(file)) for file in files], dimension, batches)
    except (OSError, RuntimeError) as error:
        remove_snapshots(index, table)  # some of its files may have got their names
        reason = error.strerror if isinstance(error, OSError) else error
        raise CocaSearchError(f"cannot write the search snapshot in {folder}: {reason}") from error
    remove_snapshots(index, table, except_version=version)


def remove_snapshots(index: AnyIndex, table: str, *, except_version: int | None = None) -> None:
    """Remove the snapshots of a table, or of all its versions but one."""
    kept = {file.name for file in _files(index, table, except_version)} if except_version is not None else set()
    for file in IndexLocation.of(index).snapshots.glob(f"{table}-v*"):
        if file.name not in kept:
            with suppress(OSError):  # Windows keeps a file that a reader has mapped; the next run removes it
                file.unlink()


def tables_with_snapshots(index: AnyIndex) -> set[str]:
    """The names of the tables that a snapshot of any version is there of."""
    files = [file for suffix in _SUFFIXES for file in IndexLocation.of(index).snapshots.glob(f"*-v*{suffix}")]
    return {file.stem.rpartition("-v")[0] for file in files}


def _write_batches(files: Sequence[Path], dimension: int, batches: Iterable[pa.RecordBatch]) -> None:
    """Write batch by batch, so that no more than one is held in memory."""
    vectors_file, rough_file, rows_file = files
    lowest = highest = np.float32(0)
    with (
        VectorFileWriter(vectors_file, no_vectors(dimension)) as vectors,
        pa.OSFile(str(rows_file), "wb") as sink,
        pa.ipc.new_file(sink, SNAPSHOT_SCHEMA) as rows,
    ):
        for batch in batches:
            embeddings = _embeddings(batch, dimension)
            lowest, highest = embeddings.min(initial=lowest), embeddings.max(initial=highest)
            vectors.add(embeddings)
            rows.write_batch(_rows(batch))
        ends = no_vectors(2)
        (ends_as_kept,) = ends.sa_decode(ends.sa_encode(np.array([[lowest, highest]])))
        with VectorFileWriter(rough_file, no_rough_vectors(dimension, *ends_as_kept)) as rough:
            for written in vectors.written():
                rough.add(written)


def _embeddings(batch: pa.RecordBatch, dimension: int) -> NDArray[np.float32]:
    embeddings: NDArray[np.float32] = batch.column("embedding").flatten().to_numpy()
    return embeddings.reshape(-1, dimension)


def _rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.select(SNAPSHOT_SCHEMA.names).cast(SNAPSHOT_SCHEMA)


def _derive(index: AnyIndex, table: str) -> VectorSnapshot:
    for _ in range(_ATTEMPTS - 1):  # a writer may compact the table under our hands
        with suppress(UnreadableTable):
            return _derive_once(index, table)
    return _derive_once(index, table)


def _derive_once(index: AnyIndex, table: str) -> VectorSnapshot:
    from cocasearch.indexing.store.table import IndexTable  # brings LanceDB, which a fresh snapshot does without

    source, columns = IndexTable(index, table), [*SNAPSHOT_SCHEMA.names, "embedding"]
    with suppress(CocaSearchError):  # a medium that can only be read, or a full one
        write_snapshot(index, table, source.version, source.dimension, source.batches(columns))
    snapshot = find_snapshot(index, table, source.version)
    if snapshot is None:  # not written, or already removed by one who saw a later version
        snapshot = _in_memory(source.version, source.dimension, source.batches(columns))
    return snapshot


def _in_memory(version: int, dimension: int, batches: Iterable[pa.RecordBatch]) -> VectorSnapshot:
    vectors, rows = no_vectors(dimension), []
    for batch in batches:
        vectors.add(_embeddings(batch, dimension))
        rows.append(_rows(batch))
    return VectorSnapshot(ExactSearch(vectors), pa.Table.from_batches(rows, SNAPSHOT_SCHEMA), version)


def _files(index: AnyIndex, table: str, version: int) -> tuple[Path, Path, Path]:
    vectors, rough, rows = (IndexLocation.of(index).snapshots / f"{table}-v{version}{suffix}" for suffix in _SUFFIXES)
    return vectors, rough, rows
