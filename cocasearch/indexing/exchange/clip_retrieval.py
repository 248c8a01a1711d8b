"""Folders of embeddings as clip-retrieval's `inference` writes them: vectors beside the paths of their pictures.

img_emb/img_emb_*.npy (N, E) and metadata/metadata_*.parquet with a column image_path, and maybe caption, row by row
alike. Reads and checks them; knows nothing about indexes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cocasearch.counting import counted
from cocasearch.errors import CocaSearchError, first_line
from cocasearch.indexing.exchange.index_export import (
    EMBEDDINGS_FOLDER,
    FINGERPRINT_KEY,
    METADATA_FOLDER,
    MODEL_NAME_KEY,
)
from cocasearch.indexing.store.manifest import UNKNOWN_MODEL

_COLUMNS = ("image_path", "caption")
_ROWS_PER_READ = 16_384


@dataclass(frozen=True)
class VectorModel:
    """Which model made vectors: what finds it by name, and its fingerprint."""

    name: str = UNKNOWN_MODEL
    fingerprint: str = UNKNOWN_MODEL

    @property
    def is_known(self) -> bool:
        """Whether anybody has said so."""
        return self.fingerprint != UNKNOWN_MODEL


@dataclass(frozen=True)
class EmbeddingBatch:
    """Some rows: the paths of N pictures as they were written, captions if there are, and vectors (N, E) float32."""

    paths: list[str]
    captions: list[str | None]
    vectors: NDArray[np.float32]


class EmbeddingsFolder:
    """A whole folder of embeddings.

    Args:
        folder: Holds `img_emb` and `metadata`.

    Attributes:
        dimension: Numbers per vector, E.
        model: What made the vectors; known where the folder was exported from an index.

    Raises:
        CocaSearchError: A file is missing or damaged, or vectors and paths do not fit each other.
    """

    def __init__(self, folder: Path) -> None:
        self._pairs = _pairs(folder)
        checked = [_check(vectors, metadata) for vectors, metadata in self._pairs]
        self._rows = sum(rows for rows, _, _ in checked)
        dimensions = {dimension for _, dimension, _ in checked}
        if len(dimensions) > 1:
            sizes = " and ".join(map(str, sorted(dimensions)))
            raise CocaSearchError(f"the vectors in {folder} are not of one model: they have {sizes} numbers")
        self.dimension = dimensions.pop()
        self.model = checked[0][2]

    def __len__(self) -> int:
        return self._rows

    def batches(self) -> Iterator[EmbeddingBatch]:
        """All rows in order, some thousands at a time."""
        for vectors_file, metadata_file in self._pairs:
            vectors = np.load(vectors_file, mmap_mode="r")
            start = 0
            with pq.ParquetFile(metadata_file) as metadata:
                columns = [name for name in _COLUMNS if name in metadata.schema_arrow.names]
                batches = metadata.iter_batches(_ROWS_PER_READ, columns=columns)
                while (batch := _next(batches, vectors_file, metadata_file)) is not None:
                    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is left out for that
                        rows = vectors[start : start + batch.num_rows].astype(np.float32)
                    start += batch.num_rows
                    captions = batch.column("caption").to_pylist() if "caption" in columns else [None] * len(rows)
                    yield EmbeddingBatch(batch.column("image_path").to_pylist(), captions, rows)


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Each file of vectors with the one of their paths: the endings of their names agree."""
    vectors = sorted((folder / EMBEDDINGS_FOLDER).glob("img_emb_*.npy"))
    if not vectors:
        raise CocaSearchError(
            f"there are no embeddings in {folder}: it has no {EMBEDDINGS_FOLDER}/img_emb_0.npy",
            hint="clip-retrieval inference --input_dataset PHOTOS --output_folder FOLDER --enable_text False",
        )
    pairs = [
        (file, folder / METADATA_FOLDER / f"metadata_{file.stem.removeprefix('img_emb_')}.parquet") for file in vectors
    ]
    for file, metadata in pairs:
        if not metadata.is_file():
            raise CocaSearchError(f"the paths of {file} are missing: there is no {metadata}")
    return pairs


def _check(vectors_file: Path, metadata_file: Path) -> tuple[int, int, VectorModel]:
    """Rows and dimension of a pair of files, and the model that one of our exports names."""
    with _damage_told(vectors_file, metadata_file):
        vectors = np.load(vectors_file, mmap_mode="r")
        metadata = pq.read_schema(metadata_file)
        rows = pq.read_metadata(metadata_file).num_rows
    if not isinstance(vectors, np.ndarray):
        raise CocaSearchError(f"{vectors_file} holds several arrays, not one of vectors")
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.shape[1]:
        raise CocaSearchError(f"{vectors_file} holds no rows of vectors but {vectors.dtype} {vectors.shape}")
    if "image_path" not in metadata.names:
        raise CocaSearchError(f"{metadata_file} has no column image_path; it has {', '.join(metadata.names)}")
    for name in _COLUMNS:
        if name in metadata.names and not _is_text(kind := metadata.field(name).type):
            raise CocaSearchError(f"{name} of {metadata_file} holds no text but {kind}")
    if rows != len(vectors):
        raise CocaSearchError(f"{vectors_file} has {counted(len(vectors), 'row')} and {metadata_file} {rows}")
    named = metadata.metadata or {}
    unknown = UNKNOWN_MODEL.encode()
    model = (named.get(key, unknown).decode(errors="replace") for key in (MODEL_NAME_KEY, FINGERPRINT_KEY))
    return rows, vectors.shape[1], VectorModel(*model)


def _next(batches: Iterator[pa.RecordBatch], vectors_file: Path, metadata_file: Path) -> pa.RecordBatch | None:
    with _damage_told(vectors_file, metadata_file):
        return next(batches, None)


@contextmanager
def _damage_told(vectors_file: Path, metadata_file: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # numpy and Arrow raise whatever a damaged byte leads to
        reason = first_line(error)[:150]
        raise CocaSearchError(f"{vectors_file} or {metadata_file.name} is damaged: {reason}") from error


def _is_text(kind: pa.DataType) -> bool:
    """Whether a column can be read as words, or holds nothing at all."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_null(plain))
