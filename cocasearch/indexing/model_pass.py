"""The one pass of the model over each file that needs it: decodes, describes, and hands records to the write queue.

What a run has stored stays stored however the run ends, and the next run goes on from there.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import torch

from cocasearch.errors import UnreadableImage, first_line
from cocasearch.images.batching import DecodedBatch, decode_batches
from cocasearch.images.metadata import ImageMetadata
from cocasearch.images.refusals import cause_of
from cocasearch.indexing.batch_halving import do_without_faulty
from cocasearch.indexing.compressed_list import CompressedList
from cocasearch.indexing.edit.human_captions import HumanCaptions
from cocasearch.indexing.scan.file_comparison import Candidate
from cocasearch.indexing.scan.moved_files import Progress
from cocasearch.indexing.steady_reading import CarefulReader, Reading
from cocasearch.indexing.store.records import ImageRecord, author_of, record_id, record_schema, records_to_table
from cocasearch.indexing.write_queue import WriteQueue
from cocasearch.inference.describer import ImageDescriber, ImageDescription
from cocasearch.inference.device import give_back_freed_memory
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.loaded_model import LoadedModel


class ModelPass:
    """Describes files and hands their records on.

    Args:
        loaded: The model.
        caption_options: How captions are written; None for none.
        roots: Present folder of each root by its key.
        queue: Takes the records, and the files that cannot be read.
        human_captions: What people have decided about captions.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        caption_options: CaptionOptions | None,
        roots: Mapping[str, Path],
        queue: WriteQueue,
        human_captions: HumanCaptions,
    ) -> None:
        self._loaded = loaded
        self._describer = ImageDescriber(loaded, caption_options)
        self._reader = CarefulReader(roots)
        self._queue = queue
        self._human_captions = human_captions

    def run(
        self,
        files: CompressedList[Candidate],
        *,
        batch_size: int,
        workers: int,
        max_megapixels: float,
        progress: Progress | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        """Describe and store files, batch by batch.

        Args:
            files: What to describe.
            batch_size: Images per pass of the model.
            workers: Threads that read and decode files.
            max_megapixels: Larger images count as unreadable.
            progress: Called after each batch.
            on_stop: Called when the run has been interrupted, before what it has done is stored.
        """
        batches = decode_batches(
            files,
            self._reader.open,
            self._loaded.preprocess,
            batch_size=batch_size,
            workers=workers,
            max_megapixels=max_megapixels,
        )
        done = 0
        try:
            with closing(batches):  # however the loop ends, the threads end with it
                for batch in batches:
                    self._store(batch)
                    if self._queue.commit_if_due():
                        give_back_freed_memory()
                    done += len(batch.items) + len(batch.failures)
                    del batch  # its pixels go before those of the next one are put together
                    if progress:
                        progress(done, len(files))
        except KeyboardInterrupt:
            if on_stop:
                on_stop()
            raise
        finally:  # an interrupted run keeps what it has done
            self._queue.commit()

    def _store(self, batch: DecodedBatch[Candidate]) -> None:
        for file, error in batch.failures:
            self._note_failure(file, error)
        readings = list(map(self._reader.finish, batch.items))

        def describe(positions: range) -> None:
            descriptions = self._describer.describe(batch.pixels[positions.start : positions.stop])
            records = [
                self._human_captions.keep(self._record(*readings[at][0], batch.metadata[at], description))
                for at, description in zip(positions, descriptions, strict=True)
            ]
            records_to_table(records, record_schema(self._loaded.config.embed_dim))  # as the next commit will
            for at, record in zip(positions, records, strict=True):
                self._put(*readings[at], record)

        for at, fault in do_without_faulty(len(readings), describe):
            path, reason = str(self._reader.path(batch.items[at])), f"cannot be described ({first_line(fault)[:200]})"
            cause = "system" if isinstance(fault, torch.OutOfMemoryError) else cause_of(fault)
            refused = UnreadableImage(path, reason, cause=cause)
            self._queue.put_unreadable(readings[at][0].file, path, refused)

    def _put(self, reading: Reading, is_same: bool, record: ImageRecord) -> None:
        file = reading.file
        if is_same:
            self._queue.put(file, record)
        elif self._reader.is_there(file):  # the next run takes it as it will be then
            self._queue.failed.append((str(self._reader.path(file)), "changed while it was read"))
        else:
            self._queue.vanished.append((file.root, file.path))

    def _note_failure(self, file: Candidate, error: UnreadableImage) -> None:
        reading, _ = self._reader.finish(file)
        if self._reader.is_there(file):  # one that has vanished meanwhile is no bad file
            self._queue.put_unreadable(reading.file, str(self._reader.path(file)), error)
        else:
            self._queue.vanished.append((file.root, file.path))

    def _record(
        self, file: Candidate, content_hash: str, metadata: ImageMetadata, description: ImageDescription
    ) -> ImageRecord:
        return ImageRecord(
            id=record_id(file.root, file.path),
            root=file.root,
            path=file.path,
            content_hash=content_hash,
            size=file.size,
            mtime_ns=file.mtime_ns,
            width=metadata.width,
            height=metadata.height,
            format=metadata.format,
            taken_at=metadata.taken_at,
            latitude=metadata.latitude,
            longitude=metadata.longitude,
            camera=metadata.camera,
            caption=description.caption,
            caption_score=description.caption_score,
            caption_logprob=description.caption_logprob,
            model_fingerprint=self._loaded.fingerprint,
            embedding=description.embedding,
            caption_confidence=description.caption_confidence,
            caption_by=author_of(description.caption),
            remark=metadata.remark or None,
        )
