"""A queue of what a run has finished: records wait in it for the next commit to the table, and unreadable files too.

Every commit is atomic, and little work is lost if a run is killed between two of them. The queue also counts what has
become of the files.
"""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from cocasearch.errors import UnreadableImage
from cocasearch.indexing.scan.changes import Change
from cocasearch.indexing.scan.file_comparison import Candidate
from cocasearch.indexing.scan.known_files import Place
from cocasearch.indexing.scan.moved_files import Reuse
from cocasearch.indexing.scan.plan import BuildPlan
from cocasearch.indexing.store.record_rows import rows_in_new_places
from cocasearch.indexing.store.records import ImageRecord, record_id
from cocasearch.indexing.store.row_filters import ROWS_PER_CHANGE
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.unreadable_files import UnreadableFile, UnreadableFiles
from cocasearch.interruption import uninterrupted

_MOST_ROWS = 1_024  # waiting at once
_COMMITS_BETWEEN_COMPACTIONS = 256  # a table of very many small fragments slows each commit


class WriteQueue:
    """Collects the results of one run and stores them in batches.

    Args:
        table: Where records go.
        unreadable: Where unreadable files go.
        seconds: Longest time that a record waits, as long as records keep coming.

    Attributes:
        done: The number of records stored, hidden or deleted, by what had become of their files.
        failed: Path and reason of each file that could not be read.
        vanished: Places of files that were gone when their turn came.
        refused: Places of files that the system did not let read, and which may be fine.
    """

    def __init__(self, table: IndexTable, unreadable: UnreadableFiles, *, seconds: float) -> None:
        self.done = Counter[Change]()
        self.failed: list[tuple[str, str]] = []
        self.vanished: list[Place] = []
        self.refused: list[Place] = []
        self._table = table
        self._unreadable = unreadable
        self._seconds = seconds
        self._new: list[ImageRecord] = []
        self._replacing: list[ImageRecord] = []
        self._outdated: list[str] = []
        self._last_commit = time.monotonic()
        self._commits = 0

    def settle(self, plan: BuildPlan) -> list[Candidate]:
        """Store at once all that needs no model.

        Returns:
            Files that need it after all: their source rows were overwritten, as when files have changed places.
        """
        left: list[Candidate] = []
        for change in (Change.COPIED, Change.TOUCHED, Change.MOVED):  # a row is copied before it is taken over
            reuses = plan.reuses[change]
            for start in range(0, len(reuses), ROWS_PER_CHANGE):
                left += self._reuse(change, reuses[start : start + ROWS_PER_CHANGE])
        ids = {change: [record_id(*place) for place in places] for change, places in plan.places.items()}
        self._table.mark_found(ids[Change.BACK])
        if plan.scan.options.prune:
            absent = ids.pop(Change.GONE) + ids[Change.MISSING]
            self._table.remove(absent + ids[Change.EXCLUDED])
            self.done[Change.REMOVED] += len(absent)
        else:
            self._table.mark_missing(ids[Change.GONE] + ids[Change.EXCLUDED], datetime.now(UTC))
        del ids[Change.MISSING]  # nothing is new about them
        self.done.update({change: len(rows) for change, rows in ids.items()})
        for place in plan.scan.files.gone_bad:
            self._unreadable.discard(*place)
        self._unreadable.save()
        return left

    def _reuse(self, change: Change, reuses: Sequence[Reuse]) -> list[Candidate]:
        """Store files by rows of the same content, in one step. Returns those whose row has other content by now."""
        ids = [record_id(*reuse.source_row) for reuse in reuses]
        rows = self._table.rows(sorted(set(ids)))
        hashes = dict(zip(rows["id"].to_pylist(), rows["content_hash"].to_pylist(), strict=True))
        positions = {id: position for position, id in enumerate(hashes)}
        fit = [
            (file, id)
            for (file, content_hash, _), id in zip(reuses, ids, strict=True)
            if hashes.get(id) == content_hash
        ]
        if fit:
            files = [(record_id(*file[:2]), file.root, file.path, file.mtime_ns, hashes[id]) for file, id in fit]
            without = [id for _, id in fit] if change is Change.MOVED else []
            self._table.put(rows_in_new_places(rows, files, [positions[id] for _, id in fit]), without)
            self.done[change] += len(fit)
        for file, _ in fit:
            self._unreadable.discard(file.root, file.path)
        stored = {file for file, _ in fit}
        return [reuse.file for reuse in reuses if reuse.file not in stored]

    def put(self, file: Candidate, record: ImageRecord) -> None:
        """Queue a record for the next commit."""
        (self._replacing if file.known else self._new).append(record)
        self._unreadable.discard(file.root, file.path)

    def put_unreadable(self, file: Candidate, path: str, error: UnreadableImage) -> None:
        """Queue a file that could not be read for the next commit.

        Its older record, if any, goes with it, unless the file may be fine and something else stood in the way.
        """
        self.failed.append((path, error.reason))
        as_read = (file.root, file.path, error.reason, file.size, file.mtime_ns)
        self._unreadable.add(UnreadableFile(*as_read, error.cause, error.extra, error.pixels))
        if error.cause == "system":
            self.refused.append((file.root, file.path))
        if file.known and error.cause == "file":
            self._outdated.append(record_id(file.root, file.path))

    def commit_if_due(self) -> bool:
        """Commit if many records wait, or if they wait for long. Returns whether that was so."""
        waiting = len(self._new) + len(self._replacing)
        is_due = waiting >= _MOST_ROWS or time.monotonic() - self._last_commit >= self._seconds
        if is_due:
            self.commit()
        return is_due

    def commit(self) -> None:
        """Store everything that waits. A Ctrl-C takes effect after that, so that nothing is stored twice."""
        with uninterrupted():
            self._store()
        self._last_commit = time.monotonic()

    def _store(self) -> None:
        # Nothing is tried again by the next commit: it might be stored twice.
        new, self._new = self._new, []
        replacing, self._replacing = self._replacing, []
        outdated, self._outdated = self._outdated, []
        if new:
            self._table.add(new)
            self.done[Change.ADDED] += len(new)
        if replacing:
            self._table.replace(replacing)
            self.done[Change.UPDATED] += len(replacing)
        self._table.remove(outdated)
        self.done[Change.REMOVED] += len(outdated)
        self._unreadable.save()
        self._commits += 1
        if self._commits % _COMMITS_BETWEEN_COMPACTIONS == 0:
            self._table.compact()
