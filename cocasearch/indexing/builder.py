"""Folders in, a searchable index folder out: makes the plan of a run and carries it out.

Puts together the scan of the folders, the model's one pass over each image, the table and its snapshot. Knows nothing
about queries. What needs PyTorch or LanceDB is imported only where there is something to do: most runs find nothing.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from cocasearch.errors import CocaSearchError
from cocasearch.images.decode_limits import MAX_MEGAPIXELS
from cocasearch.indexing.compressed_list import CompressedList
from cocasearch.indexing.report import BuildReport, report_on
from cocasearch.indexing.scan.changes import Change
from cocasearch.indexing.scan.folder_scan import scan_folders
from cocasearch.indexing.scan.known_files import keep_known_files
from cocasearch.indexing.scan.moved_files import Progress
from cocasearch.indexing.scan.plan import BuildPlan, make_plan
from cocasearch.indexing.scan.update_options import UpdateOptions
from cocasearch.indexing.store.location import MANIFEST_FILE, AnyIndex, IndexLocation
from cocasearch.indexing.store.manifest import Manifest, check_model, find_manifest
from cocasearch.inference.generation.caption_options import DEFAULT_OPTIONS, CaptionOptions
from cocasearch.lock import writer_lock

if TYPE_CHECKING:
    from cocasearch.indexing.scan.file_comparison import Candidate
    from cocasearch.indexing.table_swap import WritableTable
    from cocasearch.indexing.write_queue import WriteQueue
    from cocasearch.inference.loaded_model import LoadedModel


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
        loaded: "LoadedModel | Callable[[], LoadedModel]",
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
        """Bring the index up to date with the files under `paths`: make a plan and carry it out.

        New and changed images are described and stored; moved, copied and touched ones keep what is known of them;
        those whose file is gone are hidden until it is back; the others are left alone. Interrupted, the run keeps
        what it has done.

        Args:
            paths: Folders or files, or one of them; none at all for everything that the index covers.
            rebuild: Make the whole index anew, `paths` and everything that it covers, as needed for another model.
                The old one answers queries until the new one is complete; a stopped rebuild is continued.
            options: What to leave out, to try again and to delete.
            progress: Called after each batch of images.

        Raises:
            CocaSearchError: A path does not exist, another process is writing, the index was made with another model,
                or the disk is full.
            NothingFound: There is no image file under `paths`.
        """
        return self.carry_out(self.plan(paths, rebuild=rebuild, options=options), progress=progress)

    def plan(
        self,
        paths: str | Path | Sequence[str | Path] = (),
        *,
        rebuild: bool = False,
        options: UpdateOptions | None = None,
        progress: Progress | None = None,
        keep_hashes: bool = True,
    ) -> BuildPlan:
        """Find out what there is to do to bring the index up to date; `carry_out` does it.

        Args:
            paths: See `build`, as for `rebuild` and `options`.
            rebuild: Make the whole index anew.
            options: What to leave out, to try again and to delete.
            progress: Called with the number of files looked into, as they may have been moved, and their total.
            keep_hashes: Note in the index folder what these files hold, for the next plan if this run is stopped;
                nothing else is written.

        Raises:
            CocaSearchError: A path does not exist, or the index was made with another model.
            NothingFound: There is no image file under `paths`.
        """
        options = replace(options or UpdateOptions(), max_megapixels=self._max_megapixels)
        if rebuild:
            options = replace(options, rebuild_with=self._model().fingerprint)
        elif not callable(self._source) and (present := find_manifest(self._index / MANIFEST_FILE)):
            self._check_model(present)
        paths = [paths] if isinstance(paths, str | Path) else paths  # not letter by letter: "/" is all there is
        return make_plan(scan_folders(self._index, paths, options), progress, keep_hashes=keep_hashes)

    def carry_out(
        self, plan: BuildPlan, *, progress: Progress | None = None, on_stop: Callable[[], None] | None = None
    ) -> BuildReport:
        """Do what was planned.

        Args:
            plan: Made for this index and, if it rebuilds, this model.
            progress: Called after each batch of images.
            on_stop: Called when the run has been interrupted, before what it has done is stored.

        Raises:
            CocaSearchError: Another process is writing or has written since, the index was made with another model, or
                the disk is full.
        """
        started, state = time.perf_counter(), plan.scan.state
        if plan.scan.is_current:
            return report_on(plan, state.known, captions=self._caption_options is not None)
        if plan.needs_model and state.present and not plan.scan.options.rebuild_with:
            self._check_model(state.present)
        self._make_folder()
        from cocasearch.indexing.table_swap import open_for_writing
        from cocasearch.indexing.write_queue import WriteQueue
        from cocasearch.inference.device import giving_back_freed_memory

        with writer_lock(self._index):
            state.check_unchanged()
            wanted, rebuild = self._wanted_manifest(plan), bool(plan.scan.options.rebuild_with)
            target = open_for_writing(self._index, wanted, rebuild=rebuild)
            queue = WriteQueue(target.table, target.unreadable, seconds=self._commit_seconds)
            files = chain(queue.settle(plan), plan.to_describe[Change.UPDATED], plan.to_describe[Change.ADDED])
            self._describe(CompressedList(files), plan, target, queue, progress, on_stop)
            with giving_back_freed_memory():
                report = self._finish(plan, target, queue)
        return replace(report, seconds=time.perf_counter() - started)

    def _check_model(self, manifest: Manifest) -> None:
        check_model(manifest, self._model().fingerprint, self._model().name, self._index)

    def _model(self) -> "LoadedModel":
        if callable(self._source):
            self._source = self._source()
        return self._source

    def _make_folder(self) -> None:
        try:
            self._index.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CocaSearchError(f"cannot make the index folder {self._index}: {error.strerror}") from error

    def _wanted_manifest(self, plan: BuildPlan) -> Manifest:
        """What the manifest is to say from now on, the table's name aside."""
        manifest = plan.scan.state.base or Manifest(
            table="",
            model_name=self._model().name,
            model_fingerprint=self._model().fingerprint,
            dimension=self._model().config.embed_dim,
        )
        manifest = replace(manifest, excludes=plan.scan.rules.excludes, named=plan.scan.rules.named)
        return manifest.with_roots(plan.coverage.roots, self._index, plan.coverage.partial)

    def _describe(
        self,
        files: "CompressedList[Candidate]",
        plan: BuildPlan,
        target: "WritableTable",
        queue: "WriteQueue",
        progress: Progress | None,
        on_stop: Callable[[], None] | None,
    ) -> None:
        """Let the model see files, if there are any, and store what it says."""
        if not files:
            return
        from cocasearch.images.batching import decode_batches
        from cocasearch.indexing.edit.human_captions import captions_to_keep
        from cocasearch.indexing.model_pass import ModelPass
        from cocasearch.indexing.steady_reading import CarefulReader
        from cocasearch.indexing.table_swap import note_caption_settings
        from cocasearch.inference.describer import ImageDescriber

        if self._caption_options:
            note_caption_settings(target, self._model().complete(self._caption_options))
        describer = ImageDescriber(self._model(), self._caption_options)
        reader = CarefulReader(plan.coverage.roots)
        model_pass = ModelPass(self._model(), describer, reader, queue, captions_to_keep(self._index, target))
        batches = decode_batches(
            files,
            reader.open,
            self._model().preprocess,
            batch_size=self._batch_size,
            workers=self._workers,
            max_megapixels=self._max_megapixels,
        )
        model_pass.run(batches, len(files), progress, on_stop)

    def _finish(self, plan: BuildPlan, target: "WritableTable", queue: "WriteQueue") -> BuildReport:
        """Derive what is derived from the table, let readers find it, and say what was done."""
        from cocasearch.indexing.scan.hashing import forget_hashes
        from cocasearch.indexing.snapshot.snapshot_files import open_snapshot
        from cocasearch.indexing.table_swap import end_rebuild, swap_in

        name = target.manifest.table
        target.table.compact()
        awaited = plan.scan.photos_at_stake([*queue.vanished, *queue.refused])
        if awaited:
            known = plan.scan.state.present_files()
        else:
            open_snapshot(self._index, name)
            swap_in(target, self._index)
            known = keep_known_files(self._index, name, target.table)
        forget_hashes(self._index)
        end_rebuild(self._index)
        report = report_on(plan, known, captions=self._caption_options is not None)
        counts = report.counts + queue.done
        counts[Change.UNREADABLE] += len(queue.failed)
        failed = (*report.failed, *queue.failed)
        return replace(report, counts=counts, failed=failed, vanished=len(queue.vanished), awaited=awaited)
