"""A clip-retrieval embeddings folder in, a new index of the pictures it names out. Nothing is encoded.

Vectors are only worth something with the model that made them. Where it is named, or written into the folder by our
own export, the index is like any other; where it is not, it answers examples that it holds, and no words.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from cocasearch.errors import CocaSearchError, NothingFound, UnreadableImage
from cocasearch.images.discovery import stamp_of, status_of
from cocasearch.indexing.exchange.clip_retrieval import EmbeddingBatch, EmbeddingsFolder, VectorModel
from cocasearch.indexing.snapshot.snapshots import open_snapshot, remove_snapshots
from cocasearch.indexing.store.manifest import MANIFEST_FILE, Manifest, find_manifest, index_name, write_manifest
from cocasearch.indexing.store.records import ImageRecord, record_id
from cocasearch.indexing.store.table import IndexTable
from cocasearch.inference.embedder import Embedder, Vectors
from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.lock import writer_lock

Progress = Callable[[int, int], None]
"""Called with rows done and rows in all."""

_TABLE, _ROOT = "images-1", "1"
_COMPARED = 4  # pictures
_SAME_MODEL = 0.9  # cosine: decoding, resizing and number formats differ a little, models far more


@dataclass(frozen=True)
class ImportReport:
    """What became of the rows.

    Attributes:
        imported: Pictures in the new index.
        repeated: Rows left out because an earlier one is of the same picture.
        unusable: Rows left out because their vector is zero or no numbers, or they have no path.
        refused: Sentences about rows left out because the system does not look at their paths.
        absent: Imported pictures that do not lie where their path says.
        model: Who made the vectors.
    """

    imported: int
    repeated: int
    unusable: int
    refused: tuple[str, ...]
    absent: int
    model: VectorModel


def import_embeddings(
    index: Path,
    folder: Path,
    *,
    photos: Path,
    loaded: LoadedModel | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Make an index of a clip-retrieval folder.

    Args:
        index: The folder of the new index; it must not be one yet.
        folder: Holds `img_emb` and `metadata`.
        photos: Where relative paths of pictures start.
        loaded: The model that made the vectors, which is checked; None where the folder names it or nobody knows.
        progress: Called some thousands of rows at a time.

    Raises:
        CocaSearchError: There is an index already, the folder is damaged, or its vectors are not the model's.
        NothingFound: It has no rows, or none that can be used.
    """
    source = EmbeddingsFolder(folder)
    if not len(source):
        raise NothingFound(f"there are no rows in {folder}")
    if loaded:
        _check_model(source, loaded, folder, photos)
    model = VectorModel(loaded.name, loaded.fingerprint) if loaded else source.model
    _make_folder(index)
    with writer_lock(index):
        if find_manifest(index / MANIFEST_FILE):
            raise CocaSearchError(
                f"index '{index_name(index)}' exists already, and an import makes a new one",
                hint="the same command with --index and another name",
            )
        rows = _Rows(_common_folder(source, photos), photos, model.fingerprint)
        table = IndexTable.create(index, _TABLE, source.dimension)
        remove_snapshots(index, _TABLE)  # a stopped import's: version numbers begin anew
        _store(rows, source, table, progress)
        report = rows.report(model)
        if not report.imported:
            raise NothingFound(f"not one row of {folder} can be used", hint=next(iter(report.refused), None))
        open_snapshot(index, _TABLE)
        manifest = Manifest(_TABLE, model.name, model.fingerprint, source.dimension)
        manifest = manifest.with_roots({_ROOT: rows.root}, index, {_ROOT})
        write_manifest(manifest, index / MANIFEST_FILE)  # from here on it is an index
    return report


def _store(rows: "_Rows", source: EmbeddingsFolder, table: IndexTable, progress: Progress | None) -> None:
    done = 0
    for batch in source.batches():
        if records := rows.take(batch):
            table.add(records)
        done += len(batch.paths)
        if progress:
            progress(done, len(source))


class _Rows:
    """Turns rows of the folder into records, each picture once, and counts what it leaves out."""

    def __init__(self, root: Path, photos: Path, fingerprint: str) -> None:
        self.root, self._photos, self._fingerprint = root, photos, fingerprint
        self._ids: set[str] = set()
        self._repeated = self._unusable = self._absent = 0
        self._refused: list[str] = []

    def take(self, batch: EmbeddingBatch) -> list[ImageRecord]:
        lengths = np.linalg.norm(batch.vectors, axis=1)
        records: list[ImageRecord] = []
        for path, caption, vector, length in zip(batch.paths, batch.captions, batch.vectors, lengths, strict=True):
            if not path or not np.isfinite(length) or length == 0:
                self._unusable += 1
                continue
            try:
                record = self._record(_absolute(path, self._photos), caption, vector / length)
            except CocaSearchError as error:
                self._refused.append(str(error))
                continue
            if record.id in self._ids:
                self._repeated += 1
                continue
            self._ids.add(record.id)
            self._absent += (record.size, record.mtime_ns) == (0, 0)
            records.append(record)
        return records

    def _record(self, file: Path, caption: str | None, vector: Vectors) -> ImageRecord:
        path = file.relative_to(self.root).as_posix()
        status = status_of(file)
        size, mtime_ns = stamp_of(status) if status else (0, 0)
        return ImageRecord(
            id=record_id(_ROOT, path),
            root=_ROOT,
            path=path,
            content_hash="",  # nothing has been read
            size=size,
            mtime_ns=mtime_ns,
            width=0,
            height=0,
            format="",
            taken_at=None,
            latitude=None,
            longitude=None,
            camera=None,
            caption=caption,
            caption_score=None,
            caption_logprob=None,
            model_fingerprint=self._fingerprint,
            embedding=vector,
        )

    def report(self, model: VectorModel) -> ImportReport:
        return ImportReport(len(self._ids), self._repeated, self._unusable, tuple(self._refused), self._absent, model)


def _check_model(source: EmbeddingsFolder, loaded: LoadedModel, folder: Path, photos: Path) -> None:
    """Refuse a model that did not make the vectors, as far as that shows.

    Raises:
        CocaSearchError: Their dimension is another, the folder names another, or a picture's own vector is another.
    """
    if loaded.config.embed_dim != source.dimension:
        raise CocaSearchError(
            f"{loaded.name} did not make the vectors in {folder}: they have {source.dimension} numbers, "
            f"its own {loaded.config.embed_dim}"
        )
    if source.model.is_known and source.model.fingerprint != loaded.fingerprint:
        made_by = f"{source.model.name}@{source.model.fingerprint}"
        raise CocaSearchError(
            f"the vectors in {folder} were made by {made_by}, not by {loaded.name}@{loaded.fingerprint}"
        )
    for file, vector in islice(_present_pictures(source, photos), _COMPARED):
        with suppress(UnreadableImage):
            own = Embedder(loaded).embed_image_file(file)
            cosine = float(own @ vector / np.linalg.norm(vector))
            if not cosine > _SAME_MODEL:
                compared = f"its own of {file} has a cosine of {cosine:.2f} with the one there"
                raise CocaSearchError(f"{loaded.name} did not make the vectors in {folder}: {compared}")


def _present_pictures(source: EmbeddingsFolder, photos: Path) -> Iterator[tuple[Path, Vectors]]:
    for batch in source.batches():
        for path, vector in zip(batch.paths, batch.vectors, strict=True):
            if path and np.isfinite(vector).all() and vector.any() and _is_there(file := _absolute(path, photos)):
                yield file, vector


def _is_there(file: Path) -> bool:
    try:
        return status_of(file) is not None
    except CocaSearchError:
        return False


def _make_folder(index: Path) -> None:
    try:
        index.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CocaSearchError(f"cannot make the index folder {index}: {error.strerror}") from error


def _common_folder(source: EmbeddingsFolder, photos: Path) -> Path:
    """The innermost folder around all pictures."""
    common: str | None = None
    for batch in source.batches():
        folders = [str(_absolute(path, photos).parent) for path in batch.paths if path]
        if folders:
            common = os.path.commonpath([*folders, common] if common else folders)
    if common is None:
        raise NothingFound("not one row has the path of a picture")
    return Path(common)


def _absolute(path: str, photos: Path) -> Path:
    return Path(os.path.normpath(photos / path))
