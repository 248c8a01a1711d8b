"""Rows and vectors of an index for other tools: one file, or a folder laid out as clip-retrieval's.

    one file               every column of the table, but `path` is where the photo lies now, as is `image_path`, and
                           `relative_path` is what the table has, from the indexed folder on
    clip-retrieval folder  img_emb/img_emb_0.npy (N, E) float16 and, row by row alike, metadata/metadata_0.parquet
                           with image_path and caption

Parquet files carry, in their own metadata, the model that made the vectors: by that an export is known as one, a CSV
or JSON lines by their columns, and nothing else is ever replaced. What is there stays until the new is complete.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cocasearch.atomic_files import flush_to_disk, remove_partial_files, replacing
from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.indexing.exchange.row_files import check_ending, writing_rows
from cocasearch.indexing.store.location import AnyIndex
from cocasearch.indexing.store.manifest import Manifest, index_name, read_manifest
from cocasearch.indexing.store.record_rows import record_schema, unsure_captions
from cocasearch.indexing.store.records import COLUMNS, ImageKey
from cocasearch.indexing.store.row_filters import JUDGED, UNSURE
from cocasearch.indexing.store.table import IndexTable

Progress = Callable[[int, int], None]
"""Called with rows done and rows in all."""

EMBEDDINGS_FOLDER, METADATA_FOLDER = "img_emb", "metadata"
MODEL_NAME_KEY, FINGERPRINT_KEY = b"cocasearch.model", b"cocasearch.model_fingerprint"
_VECTORS_FILE, _METADATA_FILE = "img_emb_0.npy", "metadata_0.parquet"
_LONGEST_LINE = 2**20  # characters, of a row as text
_CLIP_RETRIEVAL_SCHEMA = pa.schema([("image_path", pa.string()), ("caption", pa.string())])


def export_file(
    index: AnyIndex, file: Path, *, only_sure: bool = False, overwrite: bool = False, progress: Progress | None = None
) -> int:
    """Write every row of an index, those of missing files too, into a file of the kind of its ending; their number.

    Args:
        index: The index.
        file: Where to write.
        only_sure: Whether rows with an unsure caption are left out; those without a caption are not.
        overwrite: Whether an earlier export is replaced.
        progress: Called some thousands of rows at a time.

    Raises:
        CocaSearchError: No index there, the file cannot be written, ends otherwise than `row_files.ENDINGS` or is there
            already, and no export or not to be replaced, or the index was changed meanwhile.
        NothingFound: The index holds no rows, or all captions are unsure and these are not wanted.
    """
    _check_file(file, overwrite=overwrite)
    check_ending(file)
    manifest, table = _open(index)
    columns = record_schema(table.dimension)
    columns_there = columns.append(pa.field("relative_path", pa.string())).append(pa.field("image_path", pa.string()))
    schema, at = _named(columns_there, manifest), columns.get_field_index("path")
    roots = manifest.locate_roots(index)
    unsure = table.count(UNSURE, with_missing=True) if only_sure else 0
    total = _refuse_nothing(len(table) + table.count_missing(), unsure, index)
    with _writing(file, index), writing_rows(file, schema) as write:
        rows = table.batches(columns.names, with_missing=True)
        for batch in _wanted(rows, only_sure=only_sure, total=total, progress=progress):
            paths = _absolute_paths(batch, roots)
            arrays = [*batch.columns[:at], paths, *batch.columns[at + 1 :], batch.column("path"), paths]
            write(pa.record_batch(arrays, schema=schema))
    return total


def export_clip_retrieval(
    index: AnyIndex, folder: Path, *, only_sure: bool = False, overwrite: bool = False, progress: Progress | None = None
) -> int:
    """Write vectors, paths and captions of the photos in an index as clip-retrieval's `inference` does; their number.

    Args:
        index: The index.
        folder: Where `img_emb` and `metadata` go; what else it holds stays.
        only_sure: Whether photos with an unsure caption are left out; those without a caption are not.
        overwrite: Whether an earlier export is replaced.
        progress: Called some thousands of rows at a time.

    Raises:
        CocaSearchError: No index there, the folder cannot be written or holds such folders already, that are no
            export or not to be replaced, or the index was changed meanwhile.
        NothingFound: The index holds no photos, or all captions are unsure and these are not wanted.
    """
    _check_folder(folder, overwrite=overwrite)
    manifest, table = _open(index)
    roots = manifest.locate_roots(index)
    total = _refuse_nothing(len(table), table.count(UNSURE) if only_sure else 0, index)
    schema = _named(_CLIP_RETRIEVAL_SCHEMA, manifest)
    embeddings_folder, metadata_folder = folder / EMBEDDINGS_FOLDER, folder / METADATA_FOLDER
    with _writing(folder, index):
        for part in (embeddings_folder, metadata_folder):
            part.mkdir(parents=True, exist_ok=True)
            remove_partial_files(part)
        with (
            replacing(embeddings_folder / _VECTORS_FILE) as vectors,
            replacing(metadata_folder / _METADATA_FILE) as metadata,  # the first in its place: by it both are known
            vectors.open("wb") as numbers,
            pq.ParquetWriter(metadata, schema) as writer,
        ):
            header = {"descr": "<f2", "fortran_order": False, "shape": (total, table.dimension)}
            np.lib.format.write_array_header_1_0(numbers, header)
            rows = table.batches(["root", "path", "caption", "caption_confidence", "embedding"])
            for batch in _wanted(rows, only_sure=only_sure, total=total, progress=progress):
                numbers.write(batch.column("embedding").flatten().to_numpy().astype("<f2").tobytes())
                arrays = [_absolute_paths(batch, roots), batch.column("caption")]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
            numbers.flush()
            flush_to_disk(vectors)  # so that both get their names at nearly one moment
    return total


def _check_file(file: Path, *, overwrite: bool) -> None:
    """Refuse a place where something else than an export lies, or an export that is not to be replaced."""
    if file.is_dir():
        raise CocaSearchError(f"{file} is a folder", hint=f"cocasearch export {file / 'index.parquet'}")
    if file.exists():
        _refuse(file, is_ours=_is_export(file), overwrite=overwrite)


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    """The same for a folder laid out as clip-retrieval's, of which only the two folders of the layout are looked at."""
    parts = [folder / EMBEDDINGS_FOLDER, folder / METADATA_FOLDER]
    if folder.exists() and not folder.is_dir():
        raise CocaSearchError(f"{folder} is a file, and no folder to export to", hint="give another name")
    there = {path for part in parts if part.exists() for path in (part.iterdir() if part.is_dir() else [part])}
    if visible := {path for path in there if not path.name.startswith(".")}:
        ours = {parts[0] / _VECTORS_FILE, parts[1] / _METADATA_FILE}
        _refuse(folder, is_ours=visible <= ours and _is_export(parts[1] / _METADATA_FILE), overwrite=overwrite)


def _refuse(target: Path, *, is_ours: bool, overwrite: bool) -> None:
    if not is_ours:
        what = f"{target} holds an {EMBEDDINGS_FOLDER} or {METADATA_FOLDER} that" if target.is_dir() else f"{target}"
        raise CocaSearchError(f"{what} is no export of cocasearch's and stays as it is", hint="give another name")
    if not overwrite:
        raise CocaSearchError(f"{target} exists already", hint="another name, or the same command with --overwrite")


def _is_export(file: Path) -> bool:
    if not file.is_file():  # a pipe would be waited for
        return False
    if file.suffix.lower() == ".parquet":
        with suppress(OSError, pa.ArrowException):
            return MODEL_NAME_KEY in (pq.read_schema(file).metadata or {})
        return False
    with suppress(OSError, ValueError), file.open(encoding="utf-8") as lines:
        first = lines.readline(_LONGEST_LINE)
        names = json.loads(first) if first.startswith("{") else first.rstrip().split(",")
        return COLUMNS.keys() <= set(names)
    return False


def _open(index: AnyIndex) -> tuple[Manifest, IndexTable]:
    manifest = read_manifest(index)
    return manifest, IndexTable(index, manifest.table)


def count_unsure(index: AnyIndex, *, with_missing: bool) -> int | None:
    """How many captions of an index are unsure, those of missing files too if wanted; None if none has a confidence.

    Raises:
        CocaSearchError: No index there.
    """
    _, table = _open(index)
    is_judged = table.count(JUDGED, with_missing=with_missing)
    return table.count(UNSURE, with_missing=with_missing) if is_judged else None


def _refuse_nothing(count: int, unsure: int, index: AnyIndex) -> int:
    """The number of rows to export: those there are without those left out."""
    if not count:
        raise NothingFound(f"index '{index_name(index)}' holds no photos to export")
    if unsure == count:
        raise NothingFound(f"no photo of index '{index_name(index)}' has a sure caption")
    return count - unsure


def _wanted(
    batches: Iterator[pa.RecordBatch], *, only_sure: bool, total: int, progress: Progress | None
) -> Iterator[pa.RecordBatch]:
    """Batches, or their rows whose caption is not unsure; each counts as done when the next one is asked for."""
    done = 0
    for batch in batches:
        wanted = batch.filter(pc.invert(unsure_captions(batch))) if only_sure else batch
        yield wanted
        done += wanted.num_rows
        if progress:
            progress(done, total)


def _named(schema: pa.Schema, manifest: Manifest) -> pa.Schema:
    """The schema with the model that made the vectors."""
    model = {MODEL_NAME_KEY: manifest.model_name.encode(), FINGERPRINT_KEY: manifest.model_fingerprint.encode()}
    return schema.with_metadata(model)


def _absolute_paths(batch: pa.RecordBatch, roots: Mapping[str, Path]) -> pa.Array:
    keys = map(ImageKey, batch.column("root").to_pylist(), batch.column("path").to_pylist())
    return pa.array([str(key.file(roots)) for key in keys], pa.string())


@contextmanager
def _writing(target: Path, index: AnyIndex) -> Iterator[None]:
    """A block that reads the index and writes `target`; what goes wrong there is one sentence."""
    try:
        yield
    except OSError as error:
        raise CocaSearchError(f"cannot write {target}: {str(error.strerror or error).lower()}") from error
    except RuntimeError as error:  # LanceDB's: a writer has compacted the table away under our hands
        message = f"the index at {index} was changed while it was being exported"
        raise CocaSearchError(message, hint="the same command again") from error
