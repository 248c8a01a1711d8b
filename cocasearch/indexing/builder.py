"""Folders in, a searchable index folder out: plans, describes what is new or changed, and stores it batch by batch.

Puts together discovery, decoding, the model's one pass per image, the table and its snapshot. What a run has stored
stays stored however the run ends, and the next run goes on from there. Knows nothing about queries.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from cocasearch.errors import CocaSearchError
from cocasearch.images.batching import DecodedBatch, decode_batches
from cocasearch.images.discovery import expand_home
from cocasearch.images.limits import MAX_MEGAPIXELS
from cocasearch.images.metadata import ImageMetadata
from cocasearch.indexing.commits import CommitQueue
from cocasearch.indexing.generations import open_generation, publish
from cocasearch.indexing.ledger import Ledger
from cocasearch.indexing.lock import writer_lock
from cocasearch.indexing.manifest import MANIFEST_FILE, Manifest, check_model, find_manifest, read_manifest
from cocasearch.indexing.plan import (
    BuildPlan,
    PlannedImage,
    Walk,
    check_walks,
    extend_roots,
    look_up,
    make_plan,
    walk_paths,
)
from cocasearch.indexing.records import ImageRecord, hash_file
from cocasearch.indexing.table import IndexTable
from cocasearch.indexing.vectors import open_snapshot
from cocasearch.inference.caption_options import DEFAULT_OPTIONS, CaptionOptions
from cocasearch.inference.description import ImageDescriber, ImageDescription
from cocasearch.inference.loaded_model import LoadedModel

Progress = Callable[[int, int], None]
"""Called with the number of files done and their total."""


@dataclass(frozen=True)
class BuildReport:
    """What a run did.

    Attributes:
        added: Images that are new in the index.
        updated: Images whose file had changed.
        unchanged: Images that needed nothing.
        removed: Images taken out because their file is gone.
        failed: Path and reason of each file found unreadable in this run, and of what the walk had to leave out.
        known_bad: Number of files found unreadable in an earlier run and not changed since; not tried again.
        empty: Paths without any image file, whose images, if the index has some, were kept.
        total: Images in the index now.
        captionless: Those of them without a caption, if this run was to write captions; else 0.
        seconds: From the end of the walk to the complete index.
    """

    added: int
    updated: int
    unchanged: int
    removed: int
    failed: tuple[tuple[str, str], ...]
    known_bad: int
    empty: tuple[str, ...]
    total: int
    captionless: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        """Images read, described and stored per second."""
        return (self.added + self.updated) / self.seconds


class IndexBuilder:
    """Makes and updates one index with one model.

    Args:
        index_folder: Where the index lies or shall lie.
        loaded: The model.
        caption_options: How captions are written; None for an index without captions.
        batch_size: Images per pass of the model.
        workers: Threads that read and decode files.
        max_megapixels: Larger images count as unreadable.
        commit_seconds: Work is stored at least this often (and always when a run is interrupted).
    """

    def __init__(
        self,
        index_folder: str | Path,
        loaded: LoadedModel,
        *,
        caption_options: CaptionOptions | None = DEFAULT_OPTIONS,
        batch_size: int = 32,
        workers: int = 2,
        max_megapixels: float = MAX_MEGAPIXELS,
        commit_seconds: float = 15.0,
    ) -> None:
        self._index = Path(index_folder)
        self._loaded = loaded
        self._captions = caption_options is not None
        self._describer = ImageDescriber(loaded, caption_options)
        self._batch_size = batch_size
        self._workers = workers
        self._max_megapixels = max_megapixels
        self._commit_seconds = commit_seconds

    def build(
        self, paths: Sequence[str | Path] = (), *, rebuild: bool = False, progress: Progress | None = None
    ) -> BuildReport:
        """Bring the index up to date with the files under `paths`.

        New and changed images are described and stored; those whose file is gone are taken out; the others are left
        alone. Interrupted, the run keeps what it has done.

        Args:
            paths: Folders or files; none at all for everything that the index covers.
            rebuild: Make the whole index anew, `paths` and everything that it covers, as needed for another model.
                The old one answers queries until the new one is complete; a stopped rebuild is continued.
            progress: Called after each batch.

        Raises:
            CocaSearchError: A path does not exist, another process is writing, the index was made with another model,
                or the disk is full.
            NothingFound: There is no image file under `paths`.
        """
        present = find_manifest(self._index / MANIFEST_FILE)
        if present and not rebuild:
            check_model(present, self._loaded.fingerprint, self._loaded.name, self._index)
        walks = self._walk(paths, present, rebuild)
        self._make_folder()
        with writer_lock(self._index):
            if find_manifest(self._index / MANIFEST_FILE) != present:
                raise CocaSearchError(
                    f"the index at {self._index} has just been changed by another run", hint="try again"
                )
            return self._update(walks, present, rebuild, progress)

    def _walk(self, paths: Sequence[str | Path], present: Manifest | None, rebuild: bool) -> list[Walk]:
        if not paths:
            present = read_manifest(self._index)  # or say what is missing
        walks = list(walk_paths([expand_home(Path(path)) for path in paths]))
        if present and (rebuild or not paths):
            partial, roots = present.partial_roots, present.locate_roots(self._index)
            walks += walk_paths([folder for key, folder in roots.items() if key not in partial])
            walks += [look_up(roots[key], self._paths_taken_from(key, present)) for key in partial]
        check_walks(walks)
        return walks

    def _paths_taken_from(self, root: str, present: Manifest) -> set[str]:
        """The paths in a root of its indexed and its unreadable files."""
        indexed = IndexTable(self._index, present.table).known_files()
        places = [*indexed, *((entry.root, entry.path) for entry in Ledger(self._index))]
        return {path for key, path in places if key == root}

    def _make_folder(self) -> None:
        try:
            self._index.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CocaSearchError(f"cannot make the index folder {self._index}: {error.strerror}") from error

    def _update(
        self, walks: Sequence[Walk], present: Manifest | None, rebuild: bool, progress: Progress | None
    ) -> BuildReport:
        started = time.perf_counter()
        known = present.locate_roots(self._index) if present else {}
        roots, partial = extend_roots(known, walks, present.partial_roots if present else frozenset())
        wanted = self._wanted_manifest().with_roots(roots, self._index, partial)
        generation = open_generation(self._index, wanted, rebuild=rebuild)
        plan = make_plan(walks, roots, generation.table.known_files(), generation.ledger)
        queue = CommitQueue(generation.table, generation.ledger, seconds=self._commit_seconds)
        queue.remove_gone(plan)
        self._describe_and_store(plan, queue, progress)
        generation.table.compact()
        open_snapshot(self._index, generation.manifest.table)
        publish(generation, self._index)
        return BuildReport(
            added=queue.added,
            updated=queue.updated,
            unchanged=plan.unchanged,
            removed=queue.removed,
            failed=(*(skipped for walk in walks for skipped in walk.skipped), *queue.failed),
            known_bad=plan.known_bad,
            empty=tuple(map(str, plan.empty)),
            total=len(generation.table),
            captionless=generation.table.count_without_caption() if self._captions else 0,
            seconds=time.perf_counter() - started,
        )

    def _wanted_manifest(self) -> Manifest:
        return Manifest(
            table="",
            model_name=self._loaded.name,
            model_fingerprint=self._loaded.fingerprint,
            dimension=self._loaded.config.embed_dim,
        )

    def _describe_and_store(self, plan: BuildPlan, queue: CommitQueue, progress: Progress | None) -> None:
        reader = _HashingReader()
        images = [*plan.changed, *plan.new]
        done = 0
        batches = decode_batches(
            images,
            reader.source,
            self._loaded.preprocess,
            batch_size=self._batch_size,
            workers=self._workers,
            max_megapixels=self._max_megapixels,
        )
        try:
            with closing(batches):  # however the loop ends, the threads end with it
                for batch in batches:
                    self._store_batch(batch, reader, queue)
                    queue.commit_if_due()
                    done += len(batch.items) + len(batch.failures)
                    if progress:
                        progress(done, len(images))
        finally:  # an interrupted run keeps what it has done
            queue.commit()

    def _store_batch(self, batch: DecodedBatch[PlannedImage], reader: "_HashingReader", queue: CommitQueue) -> None:
        for image, error in batch.failures:
            reader.take_hash(image)
            queue.put_unreadable(image, error)
        if not batch.items:
            return
        descriptions = self._describer.describe(batch.pixels)
        for image, metadata, description in zip(batch.items, batch.metadata, descriptions, strict=True):
            queue.put(image, self._record(image, reader.take_hash(image), metadata, description))

    def _record(
        self, image: PlannedImage, content_hash: str, metadata: ImageMetadata, description: ImageDescription
    ) -> ImageRecord:
        return ImageRecord(
            id=image.id,
            root=image.root,
            path=image.path,
            content_hash=content_hash,
            size=image.file.size,
            mtime_ns=image.file.mtime_ns,
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
        )


class _HashingReader:
    """Hashes files in the decoding threads, so that decoding finds them in the system's file cache."""

    def __init__(self) -> None:
        self._hashes: dict[str, str] = {}

    def source(self, image: PlannedImage) -> Path:
        """The file to decode, hashed."""
        with suppress(OSError):  # decoding will say what is wrong with it
            self._hashes[image.id] = hash_file(image.file.absolute)
        return image.file.absolute

    def take_hash(self, image: PlannedImage) -> str:
        """The hash of a file's content, which is then forgotten; empty if the file could not be opened."""
        return self._hashes.pop(image.id, "")
