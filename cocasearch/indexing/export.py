"""Rows and vectors of an index for other tools: one Parquet file, or a folder laid out as clip-retrieval's.

    one file               every column of the table, but `path` is where the photo lies now, as is `image_path`, and
                           `relative_path` is what the table has, from the indexed folder on
    clip-retrieval folder  img_emb/img_emb_0.npy (N, E) float16 and, row by row alike, metadata/metadata_0.parquet
                           with image_path and caption

Both carry, in the Parquet file's own metadata, the model that made the vectors. What is there already stays until the
new is complete.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cocasearch.atomic_files import TEMPORARY_SUFFIX, replacing
from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.indexing.manifest import Manifest, index_name, read_manifest
from cocasearch.indexing.records import record_schema, unsure_captions
from cocasearch.indexing.row_conditions import JUDGED, UNSURE
from cocasearch.indexing.table import IndexTable

Progress = Callable[[int, int], None]
"""Called with rows done and rows in all."""

EMBEDDINGS_FOLDER, METADATA_FOLDER = "img_emb", "metadata"
MODEL_NAME_KEY, FINGERPRINT_KEY = b"cocasearch.model", b"cocasearch.model_fingerprint"
_CLIP_RETRIEVAL_SCHEMA = pa.schema([("image_path", pa.string()), ("caption", pa.string())])


def export_parquet(index: Path, file: Path, *, only_sure: bool = False, progress: Progress | None = None) -> int:
    """Write every row of an index, those of missing files too, into a Parquet file; the number of rows.

    Args:
        index: The index folder.
        file: Replaced if it is there.
        only_sure: Whether rows with an unsure caption are left out; those without a caption are not.
        progress: Called some thousands of rows at a time.

    Raises:
        CocaSearchError: No index there, the file cannot be written, or the index was changed meanwhile.
        NothingFound: The index holds no rows, or all captions are unsure and these are not wanted.
    """
    manifest, table = _open(index)
    columns = record_schema(table.dimension)
    schema = columns.append(pa.field("relative_path", pa.string())).append(pa.field("image_path", pa.string()))
    at = columns.get_field_index("path")
    folders = manifest.locate_roots(index)
    unsure = table.count(UNSURE, with_missing=True) if only_sure else 0
    done, total = 0, _refuse_nothing(len(table) + table.count_missing(), unsure, index)
    with (
        _writing(file, index),
        replacing(file) as partial,
        partial.open("wb") as sink,
        pq.ParquetWriter(sink, _named(schema, manifest), compression="zstd") as writer,
    ):
        for batch in _wanted(table.batches(columns.names, with_missing=True), only_sure):
            paths = _absolute_paths(batch, folders)
            arrays = [*batch.columns[:at], paths, *batch.columns[at + 1 :], batch.column("path"), paths]
            writer.write_batch(pa.record_batch(arrays, schema=writer.schema))
            done += batch.num_rows
            if progress:
                progress(done, total)
    return done


def export_clip_retrieval(
    index: Path, folder: Path, *, only_sure: bool = False, progress: Progress | None = None
) -> int:
    """Write vectors, paths and captions of the photos in an index as clip-retrieval's `inference` does; their number.

    Args:
        index: The index folder.
        folder: Where `img_emb` and `metadata` go; those that are there are replaced.
        only_sure: Whether photos with an unsure caption are left out; those without a caption are not.
        progress: Called some thousands of rows at a time.

    Raises:
        CocaSearchError: No index there, the folder cannot be written, or the index was changed meanwhile.
        NothingFound: The index holds no photos, or all captions are unsure and these are not wanted.
    """
    manifest, table = _open(index)
    folders = manifest.locate_roots(index)
    done, total = 0, _refuse_nothing(len(table), table.count(UNSURE) if only_sure else 0, index)
    schema = _named(_CLIP_RETRIEVAL_SCHEMA, manifest)
    with _writing(folder, index), _replacing_folders(folder) as partial:
        vectors = partial / EMBEDDINGS_FOLDER / "img_emb_0.npy"
        metadata = partial / METADATA_FOLDER / "metadata_0.parquet"
        with vectors.open("wb") as numbers, pq.ParquetWriter(metadata, schema) as writer:
            header = {"descr": "<f2", "fortran_order": False, "shape": (total, table.dimension)}
            np.lib.format.write_array_header_1_0(numbers, header)
            names = ["root", "path", "caption", "caption_confidence", "embedding"]
            for batch in _wanted(table.batches(names), only_sure):
                numbers.write(batch.column("embedding").flatten().to_numpy().astype("<f2").tobytes())
                arrays = [_absolute_paths(batch, folders), batch.column("caption")]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
                done += batch.num_rows
                if progress:
                    progress(done, total)
    return done


def _open(index: Path) -> tuple[Manifest, IndexTable]:
    manifest = read_manifest(index)
    return manifest, IndexTable(index, manifest.table)


def count_unsure(index: Path, *, with_missing: bool) -> int | None:
    """How many captions of an index are unsure, those of missing files too if wanted; None if none has a confidence.

    Raises:
        CocaSearchError: No index there.
    """
    _, table = _open(index)
    is_judged = table.count(JUDGED, with_missing=with_missing)
    return table.count(UNSURE, with_missing=with_missing) if is_judged else None


def _refuse_nothing(count: int, unsure: int, index: Path) -> int:
    """The number of rows to export: those there are without those left out."""
    if not count:
        raise NothingFound(f"index '{index_name(index)}' holds no photos to export")
    if unsure == count:
        raise NothingFound(f"no photo of index '{index_name(index)}' has a sure caption")
    return count - unsure


def _wanted(batches: Iterator[pa.RecordBatch], only_sure: bool) -> Iterator[pa.RecordBatch]:
    """The rows of some batches, or those of them whose caption is not unsure."""
    for batch in batches:
        yield batch.filter(pc.invert(unsure_captions(batch))) if only_sure else batch


def _named(schema: pa.Schema, manifest: Manifest) -> pa.Schema:
    """The schema with the model that made the vectors."""
    model = {MODEL_NAME_KEY: manifest.model_name.encode(), FINGERPRINT_KEY: manifest.model_fingerprint.encode()}
    return schema.with_metadata(model)


def _absolute_paths(batch: pa.RecordBatch, folders: Mapping[str, Path]) -> pa.Array:
    places = zip(batch.column("root").to_pylist(), batch.column("path").to_pylist(), strict=True)
    return pa.array([str(folders.get(root, Path()) / path) for root, path in places], pa.string())


@contextmanager
def _replacing_folders(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` with the layout's two; they take the place of those in `folder` when the block ends."""
    partial = folder.with_name(f".{folder.name}{TEMPORARY_SUFFIX}")
    shutil.rmtree(partial, ignore_errors=True)  # left by a killed export
    try:
        for name in (EMBEDDINGS_FOLDER, METADATA_FOLDER):
            (partial / name).mkdir(parents=True)
        yield partial
        folder.mkdir(exist_ok=True)
        for name in (EMBEDDINGS_FOLDER, METADATA_FOLDER):
            shutil.rmtree(folder / name, ignore_errors=True)
            (partial / name).replace(folder / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _writing(target: Path, index: Path) -> Iterator[None]:
    """A block that reads the index and writes `target`; what goes wrong there is one sentence."""
    try:
        yield
    except OSError as error:
        raise CocaSearchError(f"cannot write {target}: {str(error.strerror or error).lower()}") from error
    except RuntimeError as error:  # LanceDB's: a writer has compacted the table away under our hands
        message = f"the index at {index} was changed while it was being exported"
        raise CocaSearchError(message, hint="the same command again") from error
