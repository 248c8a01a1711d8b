"""The one pass of the model over each file that needs it: describes it and hands its record to the write queue.

What a run has stored stays stored however the run ends, and the next run goes on from there.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

import torch

from cocasearch.errors import UnreadableImage, first_line
from cocasearch.images.batching import DecodedBatch
from cocasearch.images.metadata import ImageMetadata
from cocasearch.images.refusals import cause_of
from cocasearch.indexing.batch_halving import do_without_faulty
from cocasearch.indexing.edit.human_captions import HumanCaptions
from cocasearch.indexing.scan.file_comparison import Candidate
from cocasearch.indexing.scan.moved_files import Progress
from cocasearch.indexing.steady_reading import CarefulReader, Reading
from cocasearch.indexing.store.record_rows import record_schema, records_to_table
from cocasearch.indexing.store.records import ImageRecord, author_of, record_id
from cocasearch.indexing.write_queue import WriteQueue
from cocasearch.inference.describer import ImageDescriber, ImageDescription
from cocasearch.inference.device import give_back_freed_memory
from cocasearch.inference.loaded_model import LoadedModel


@dataclass(frozen=True)
class ModelPass:
    """Describes files and hands their records on.

    Args:
        loaded: The model.
        describer: What the model describes images with.
        reader: Opens the files, and notices which of them change meanwhile.
        queue: Takes the records, and the files that cannot be read.
        human_captions: What people have decided about captions.
    """

    loaded: LoadedModel
    describer: ImageDescriber
    reader: CarefulReader
    queue: WriteQueue
    human_captions: HumanCaptions

    def run(
        self,
        batches: Generator[DecodedBatch[Candidate], None, None],
        total: int,
        progress: Progress | None,
        on_stop: Callable[[], None] | None,
    ) -> None:
        """Describe and store files, batch by batch.

        Args:
            batches: The files, opened by the reader.
            total: The number of files.
            progress: Called after each batch with the number of files done and their total.
            on_stop: Called when the run has been interrupted, before what it has done is stored.
        """
        done = 0
        try:
            with closing(batches):  # however the loop ends, the threads end with it
                for batch in batches:
                    self._store(batch)
                    if self.queue.commit_if_due():
                        give_back_freed_memory()
                    done += len(batch.items) + len(batch.failures)
                    del batch  # its pixels go before those of the next one are put together
                    if progress:
                        progress(done, total)
        except KeyboardInterrupt:
            if on_stop:
                on_stop()
            raise
        finally:  # an interrupted run keeps what it has done
            self.queue.commit()

    def _store(self, batch: DecodedBatch[Candidate]) -> None:
        for file, error in batch.failures:
            self._note_failure(file, error)
        readings = list(map(self.reader.finish, batch.items))

        def describe(positions: range) -> None:
            descriptions = self.describer.describe(batch.pixels[positions.start : positions.stop])
            records = [
                self.human_captions.keep(self._record(*readings[at][0], batch.metadata[at], description))
                for at, description in zip(positions, descriptions, strict=True)
            ]
            records_to_table(records, record_schema(self.loaded.config.embed_dim))  # as the next commit will
            for at, record in zip(positions, records, strict=True):
                self._put(*readings[at], record)

        for at, fault in do_without_faulty(len(readings), describe):
            path, reason = str(self.reader.path(batch.items[at])), f"cannot be described ({first_line(fault)[:200]})"
            cause = "system" if isinstance(fault, torch.OutOfMemoryError) else cause_of(fault)
            refused = UnreadableImage(path, reason, cause=cause)
            self.queue.put_unreadable(readings[at][0].file, path, refused)

    def _put(self, reading: Reading, is_same: bool, record: ImageRecord) -> None:
        file = reading.file
        if is_same:
            self.queue.put(file, record)
        elif self.reader.is_there(file):  # the next run takes it as it will be then
            self.queue.failed.append((str(self.reader.path(file)), "changed while it was read"))
        else:
            self.queue.vanished.append((file.root, file.path))

    def _note_failure(self, file: Candidate, error: UnreadableImage) -> None:
        reading, _ = self.reader.finish(file)
        if self.reader.is_there(file):  # one that has vanished meanwhile is no bad file
            self.queue.put_unreadable(reading.file, str(self.reader.path(file)), error)
        else:
            self.queue.vanished.append((file.root, file.path))

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
            model_fingerprint=self.loaded.fingerprint,
            caption_by=author_of(description.caption),
            **(vars(metadata) | vars(description) | {"remark": metadata.remark or None}),
        )
