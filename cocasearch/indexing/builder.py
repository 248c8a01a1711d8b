"""Folders in, a searchable index folder out: plans, describes what is new or changed, and stores it batch by batch.

Puts together the plan, decoding, the model's one pass per image, the table and its snapshot. What a run has stored
stays stored however the run ends, and the next run goes on from there. Knows nothing about queries.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch

from cocasearch.errors import CocaSearchError, UnreadableImage, first_line
from cocasearch.images.batching import DecodedBatch, decode_batches
from cocasearch.images.decode_limits import MAX_MEGAPIXELS
from cocasearch.images.metadata import ImageMetadata
from cocasearch.images.refusals import cause_of
from cocasearch.indexing.batch_halving import do_without_faulty
from cocasearch.indexing.compressed_list import CompressedList
from cocasearch.indexing.edit.human_captions import HumanCaptions, captions_to_keep
from cocasearch.indexing.report import BuildReport, report_nothing_to_do
from cocasearch.indexing.scan.hashing import forget_hashes
from cocasearch.indexing.scan.known_files import keep_known_files
from cocasearch.indexing.scan.plan import BuildPlan, Progress, make_plan
from cocasearch.indexing.scan.survey import Candidate, Survey, UpdateOptions
from cocasearch.indexing.scan.surveying import known_to, photos_at_stake, take_survey
from cocasearch.indexing.snapshot.snapshot_files import open_snapshot
from cocasearch.indexing.steady_reading import CarefulReader, Reading
from cocasearch.indexing.store.location import MANIFEST_FILE, AnyIndex, IndexLocation
from cocasearch.indexing.store.manifest import Manifest, check_model, find_manifest
from cocasearch.indexing.store.record_rows import record_schema, records_to_table
from cocasearch.indexing.store.records import ImageRecord, author_of, record_id
from cocasearch.indexing.table_swap import WritableTable, end_rebuild, note_decoding, open_for_writing, swap_in
from cocasearch.indexing.write_queue import WriteQueue
from cocasearch.inference.describer import ImageDescriber, ImageDescription
from cocasearch.inference.device import give_back_freed_memory, giving_back_freed_memory
from cocasearch.inference.generation.caption_options import DEFAULT_OPTIONS, CaptionOptions
from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.lock import writer_lock


class IndexBuilder:
    """Makes and updates one index with one model.

    Args:
        index_folder: Where the index lies or shall lie.
        loaded: The model, or a function that loads it when it is first needed: by an update only for files that the
            index has nothing about.
        caption_options: How captions are written; None for an index without captions.
        batch_size: Images per pass of the model.
        workers: Threads that read and decode files.
        max_megapixels: Larger images count as unreadable.
        commit_seconds: Work is stored at least this often (and always when a run is interrupted).
    """

    def __init__(
        self,
        index_folder: AnyIndex,
        loaded: LoadedModel | Callable[[], LoadedModel],
        *,
        caption_options: CaptionOptions | None = DEFAULT_OPTIONS,
        batch_size: int = 32,
        workers: int = 2,
        max_megapixels: float = MAX_MEGAPIXELS,
        commit_seconds: float = 15.0,
    ) -> None:
        self._index = IndexLocation.of(index_folder).folder
        self._source = loaded
        self._caption_options = caption_options
        self._batch_size = batch_size
        self._workers = workers
        self._max_megapixels = max_megapixels
        self._commit_seconds = commit_seconds

    def build(
        self,
        paths: str | Path | Sequence[str | Path] = (),
        *,
        rebuild: bool = False,
        options: UpdateOptions | None = None,
        progress: Progress | None = None,
    ) -> BuildReport:
        """Bring the index up to date with the files under `paths`.

        New and changed images are described and stored; moved, copied and touched ones keep what is known of them;
        those whose file is gone are hidden until it is back; the others are left alone. Interrupted, the run keeps
        what it has done.

        Args:
            paths: Folders or files, or one of them; none at all for everything that the index covers.
            rebuild: Make the whole index anew, `paths` and everything that it covers, as needed for another model.
                The old one answers queries until the new one is complete; a stopped rebuild is continued.
            options: What to leave out, to try again and to delete.
            progress: Called after each batch.

        Raises:
            CocaSearchError: A path does not exist, another process is writing, the index was made with another model,
                or the disk is full.
            NothingFound: There is no image file under `paths`.
        """
        options = replace(options or UpdateOptions(), max_megapixels=self._max_megapixels)
        if rebuild:
            options = replace(options, rebuild_with=self._model().fingerprint)
        elif present := find_manifest(self._index / MANIFEST_FILE):
            self.check_model(present)
        paths = [paths] if isinstance(paths, str | Path) else paths  # not letter by letter: "/" is all there is
        survey = take_survey(self._index, paths, options)
        if survey.is_current:
            return report_nothing_to_do(survey, captions=self._caption_options is not None)
        return self.carry_out(make_plan(survey, keep_hashes=True), progress=progress)

    def carry_out(
        self, plan: BuildPlan, *, progress: Progress | None = None, on_stop: Callable[[], None] | None = None
    ) -> BuildReport:
        """Do what was planned; the second half of `build`.

        Args:
            plan: Made for this index and, if it rebuilds, this model.
            progress: Called after each batch.
            on_stop: Called when the run has been interrupted, before what it has done is stored.

        Raises:
            CocaSearchError: Another process is writing or has written since, the index was made with another model, or
                the disk is full.
        """
        started = time.perf_counter()
        survey = plan.survey
        if plan.needs_model and survey.present and not survey.options.rebuild_with:
            self.check_model(survey.present)
        self._make_folder()
        with writer_lock(self._index):
            survey.check_unchanged()
            generation = open_for_writing(
                self._index, self._wanted_manifest(survey), rebuild=bool(survey.options.rebuild_with)
            )
            queue = WriteQueue(generation.table, generation.ledger, seconds=self._commit_seconds)
            files = CompressedList(chain(queue.settle(plan), plan.to_describe()))
            if files:
                if self._caption_options:
                    note_decoding(generation, self._model().complete(self._caption_options))
                describer = ImageDescriber(self._model(), self._caption_options)
                kept = captions_to_keep(self._index, generation)
                run = _Run(self._model(), describer, CarefulReader(survey.roots), queue, kept)
                self._describe_and_store(files, run, progress, on_stop)
            with giving_back_freed_memory():
                return self._finish(plan, generation, queue, started)

    def check_model(self, manifest: Manifest) -> None:
        """Refuse to go on with an index that another model has made.

        Raises:
            CocaSearchError: One has; the hint is the command that rebuilds.
        """
        check_model(manifest, self._model().fingerprint, self._model().name, self._index)

    def _model(self) -> LoadedModel:
        if not isinstance(self._source, LoadedModel):
            self._source = self._source()
        return self._source

    def _make_folder(self) -> None:
        try:
            self._index.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CocaSearchError(f"cannot make the index folder {self._index}: {error.strerror}") from error

    def _wanted_manifest(self, survey: Survey) -> Manifest:
        manifest = survey.base or Manifest(
            table="",
            model_name=self._model().name,
            model_fingerprint=self._model().fingerprint,
            dimension=self._model().config.embed_dim,
        )
        manifest = replace(manifest, excludes=survey.excludes, named=survey.named)
        return manifest.with_roots(survey.roots, self._index, survey.partial)

    def _finish(self, plan: BuildPlan, generation: WritableTable, queue: WriteQueue, started: float) -> BuildReport:
        """Derive what is derived from the table, let readers find it, and say what was done."""
        survey, name = plan.survey, generation.manifest.table
        generation.table.compact()
        awaited = photos_at_stake(survey, [*queue.vanished, *queue.refused])
        if survey.present and awaited:
            known = known_to(survey.present, self._index)
        else:
            open_snapshot(self._index, name)
            swap_in(generation, self._index)
            known = keep_known_files(self._index, name, generation.table)
        forget_hashes(self._index)
        end_rebuild(self._index)
        counts = known.counts
        return BuildReport(
            **queue.done,
            unchanged=survey.unchanged,
            failed=(*survey.skipped, *queue.failed),
            known_bad=survey.known_bad,
            empty=tuple(map(str, survey.empty)),
            unmounted=tuple(plan.unmounted_paths()),
            left_behind=tuple(survey.left_behind),
            videos=len(survey.videos),
            total=counts.present,
            missing=counts.missing - known.count_excluded(survey.roots, survey.excludes),
            vanished=len(queue.vanished),
            awaited=awaited,
            captionless=counts.captionless if self._caption_options else 0,
            seconds=time.perf_counter() - started,
        )

    def _describe_and_store(
        self,
        files: CompressedList[Candidate],
        run: "_Run",
        progress: Progress | None,
        on_stop: Callable[[], None] | None,
    ) -> None:
        batches = decode_batches(
            files,
            run.reader.open,
            run.loaded.preprocess,
            batch_size=self._batch_size,
            workers=self._workers,
            max_megapixels=self._max_megapixels,
        )
        done = 0
        try:
            with closing(batches):  # however the loop ends, the threads end with it
                for batch in batches:
                    run.store(batch)
                    if run.queue.commit_if_due():
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
            run.queue.commit()


@dataclass(frozen=True)
class _Run:
    """Describes batches of files and hands the records on."""

    loaded: LoadedModel
    describer: ImageDescriber
    reader: CarefulReader
    queue: WriteQueue
    kept: HumanCaptions

    def store(self, batch: DecodedBatch[Candidate]) -> None:
        for file, error in batch.failures:
            self._note_failure(file, error)
        readings = list(map(self.reader.finish, batch.items))

        def describe(some: range) -> None:
            descriptions = self.describer.describe(batch.pixels[some.start : some.stop])
            records = [
                self.kept.keep(self._record(*readings[at][0], batch.metadata[at], description))
                for at, description in zip(some, descriptions, strict=True)
            ]
            records_to_table(records, record_schema(self.loaded.config.embed_dim))  # as the next commit will
            for at, record in zip(some, records, strict=True):
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
            model_fingerprint=self.loaded.fingerprint,
            embedding=description.embedding,
            caption_confidence=description.caption_confidence,
            caption_by=author_of(description.caption),
            remark=metadata.remark or None,
        )
