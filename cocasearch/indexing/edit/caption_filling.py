"""Captions for the photos of an index that have none: one image pass each, and nothing else of their rows changes.

Captions from before the model was calibrated get their confidence likewise: they are written once more, as they were.
What a run has stored stays stored however the run ends, and the next one goes on from there.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cocasearch.errors import CocaSearchError
from cocasearch.images.batching import DecodedBatch, decode_batches
from cocasearch.images.decode_limits import MAX_MEGAPIXELS
from cocasearch.images.discovery import file_stat, status_of
from cocasearch.indexing.snapshot.snapshot_files import open_snapshot
from cocasearch.indexing.store.location import AnyIndex, IndexLocation
from cocasearch.indexing.store.manifest import Manifest, check_model, read_manifest
from cocasearch.indexing.store.records import ImageKey, StoredCaption, author_of
from cocasearch.indexing.store.row_filters import UNJUDGED
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.table_swap import WritableTable, note_caption_settings, open_for_writing
from cocasearch.inference.caption_confidence import confidence_model_for
from cocasearch.inference.caption_files.caption_sinks import is_below
from cocasearch.inference.describer import ImageDescriber, ImageDescription
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.interruption import uninterrupted
from cocasearch.lock import writer_lock

Progress = Callable[[int, int], None]
"""Called with the number of photos done and their total."""

_COLUMNS = ("id", "root", "path", "size", "mtime_ns", "caption", "caption_confidence", "caption_by")
_COMMITS_BETWEEN_COMPACTIONS = 256  # a table of very many small fragments slows each commit


@dataclass
class FillReport:
    """What a run did.

    Attributes:
        written: Captions written where there was none, or one that was not sure enough.
        judged: Captions that had no confidence and have one now.
        unjudged: Captions of the model that have none still, though it is calibrated: they were written in another way,
            or their photos have changed, gone or cannot be read.
        outdated: Photos left without a new caption, because they have changed or gone since they were indexed.
        failed: Path and reason of each photo that could not be read.
        captions: Photos with a caption now.
    """

    written: int = 0
    judged: int = 0
    unjudged: int = 0
    outdated: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    captions: int = 0


class _Photo(NamedTuple):
    id: str
    file: Path
    is_captioned: bool


class CaptionFiller:
    """Writes the captions that an index lacks, and the confidence of those that lack only that.

    Args:
        index: The index.
        loaded: The model that made it.
        options: How words are chosen.
        batch_size: Photos in one pass of the model.
        max_megapixels: Larger pictures are refused.
        commit_seconds: Captions are stored at least this often (and always when a run is interrupted).
        below: Captions of the model that are less sure than this, 0 to 1, are written anew.

    Attributes:
        options: How words are chosen, with what was left to the model.
    """

    def __init__(
        self,
        index: AnyIndex,
        loaded: LoadedModel,
        options: CaptionOptions,
        *,
        batch_size: int = 32,
        max_megapixels: float = MAX_MEGAPIXELS,
        commit_seconds: float = 15.0,
        below: float | None = None,
    ) -> None:
        self.options = loaded.complete(options)
        self._index, self._loaded = IndexLocation.of(index), loaded
        self._describer = ImageDescriber(loaded, self.options)
        self._batch_size, self._max_megapixels = batch_size, max_megapixels
        self._commit_seconds, self._below = commit_seconds, below

    def fill(self, *, progress: Progress | None = None) -> FillReport:
        """Caption every photo that has no caption and is as it was when it was indexed.

        A caption that the model wrote before it was calibrated is written once more, for its confidence, if all
        captions of the index were written as these would be.

        Args:
            progress: Called after each batch.

        Raises:
            CocaSearchError: No index there, one of another model, another process is writing, or the disk is full.
        """
        check_model(read_manifest(self._index), self._loaded.fingerprint, self._loaded.name, self._index)
        with writer_lock(self._index.folder):
            manifest = read_manifest(self._index)
            check_model(manifest, self._loaded.fingerprint, self._loaded.name, self._index)
            writable = open_for_writing(self._index.folder, manifest, rebuild=False)
            report = FillReport()
            photos = list(self._to_caption(writable, report))
            if photos:
                note_caption_settings(writable, self.options)
                self._caption(photos, writable.table, report, progress)
                writable.table.compact()
            open_snapshot(self._index, manifest.table)
            report.captions = len(writable.table) - writable.table.count_without_caption()
            report.unjudged = writable.table.count(UNJUDGED) if self._loaded.confidence else 0
            return report

    def _to_caption(self, writable: WritableTable, report: FillReport) -> Iterator[_Photo]:
        roots = writable.manifest.locate_roots(self._index)
        judges = self._judges(writable.manifest)
        for batch in writable.table.batches(_COLUMNS):
            for row in batch.to_pylist():
                is_unsure = row["caption_by"] == "model" and is_below(row["caption_confidence"], self._below)
                is_captioned = row["caption"] is not None and not is_unsure
                if is_captioned:
                    is_wanted = judges and row["caption_by"] == "model" and row["caption_confidence"] is None
                else:
                    is_wanted = is_unsure or row["caption_by"] is None  # else a person has decided for none
                if not is_wanted:
                    continue
                file = ImageKey(row["root"], row["path"]).file(roots)
                if _file_stat(file) == (row["size"], row["mtime_ns"]):
                    yield _Photo(row["id"], file, is_captioned)
                elif not is_captioned:
                    report.outdated += 1

    def _judges(self, manifest: Manifest) -> bool:
        """Whether the captions of an index, written once more, would be the same and have a confidence."""
        can_judge = confidence_model_for(self._loaded.confidence, self.options) is not None
        return can_judge and manifest.caption_settings == (self.options.to_dict(),)

    def _caption(self, photos: list[_Photo], table: IndexTable, report: FillReport, progress: Progress | None) -> None:
        waiting = _Waiting(table, report, self._commit_seconds)
        batches = decode_batches(
            photos,
            lambda photo: photo.file,
            self._loaded.preprocess,
            batch_size=self._batch_size,
            max_megapixels=self._max_megapixels,
        )
        done = 0
        try:
            with closing(batches):  # however the loop ends, the threads end with it
                for batch in batches:
                    report.failed += [(str(photo.file), error.reason) for photo, error in batch.failures]
                    waiting.put(batch, self._describer.describe(batch.pixels) if batch.items else [])
                    done += len(batch.items) + len(batch.failures)
                    if progress:
                        progress(done, len(photos))
        finally:  # an interrupted run keeps what it has done
            waiting.commit()


class _Waiting:
    """Captions that wait for the next commit."""

    def __init__(self, table: IndexTable, report: FillReport, seconds: float) -> None:
        self._table, self._report, self._seconds = table, report, seconds
        self._captions: dict[str, ImageDescription] = {}
        self._judged = 0
        self._last_commit, self._commits = time.monotonic(), 0

    def put(self, batch: DecodedBatch[_Photo], descriptions: list[ImageDescription]) -> None:
        for photo, description in zip(batch.items, descriptions, strict=True):
            self._captions[photo.id] = description
            self._judged += photo.is_captioned
        if time.monotonic() - self._last_commit >= self._seconds:
            self.commit()

    def commit(self) -> None:
        with uninterrupted():
            if self._captions:
                self._table.set_captions({id: _stored(one) for id, one in self._captions.items()})
                self._report.written += len(self._captions) - self._judged
                self._report.judged += self._judged
                self._captions, self._judged = {}, 0
                self._commits += 1
                if self._commits % _COMMITS_BETWEEN_COMPACTIONS == 0:
                    self._table.compact()
        self._last_commit = time.monotonic()


def _stored(description: ImageDescription) -> StoredCaption:
    return StoredCaption(
        description.caption,
        description.caption_score,
        description.caption_logprob,
        description.caption_confidence,
        author_of(description.caption),
    )


def _file_stat(file: Path) -> tuple[int, int] | None:
    try:
        status = status_of(file)
    except CocaSearchError:
        return None
    return file_stat(status) if status else None
