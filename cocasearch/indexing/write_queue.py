"""Finished records wait here for the next commit to the table; unreadable files for the ledger.

Every commit is atomic, and between two of them little work is at stake. Counts what happened to each file.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from cocasearch.errors import UnreadableImage
from cocasearch.indexing.scan.known_files import Place
from cocasearch.indexing.scan.plan import BuildPlan, Reuse
from cocasearch.indexing.scan.survey import Candidate
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
        ledger: Where unreadable files go.
        seconds: Longest time that a record waits, as long as records keep coming.

    Attributes:
        done: The number of records of each kind stored or deleted, by the name of its field in a `BuildReport`.
        failed: Path and reason of each file that could not be read.
        vanished: Places of files that were gone when their turn came.
        refused: Places of files that the system did not let read, and which may be fine.
    """

    def __init__(self, table: IndexTable, ledger: UnreadableFiles, *, seconds: float) -> None:
        self.done: Counter[str] = Counter()
        self.failed: list[tuple[str, str]] = []
        self.vanished: list[Place] = []
        self.refused: list[Place] = []
        self._table = table
        self._ledger = ledger
        self._seconds = seconds
        self._new: list[ImageRecord] = []
        self._replacing: list[ImageRecord] = []
        self._outdated: list[str] = []
        self._last_commit = time.monotonic()
        self._commits = 0

    def settle(self, plan: BuildPlan) -> list[Candidate]:
        """Do, at once, all that needs no model.

        Returns:
            Files that need it after all: their donors' rows were overwritten, as when files have changed places.
        """
        left: list[Candidate] = []
        for kind, reuses in {"copied": plan.copied, "touched": plan.touched, "moved": plan.moved}.items():
            for start in range(0, len(reuses), ROWS_PER_CHANGE):
                left += self._reuse(kind, reuses[start : start + ROWS_PER_CHANGE])
        self._table.mark_found([record_id(*place) for place in plan.survey.back])
        self.done["back"] += len(plan.survey.back)
        self._settle_gone(plan)
        self._ledger.save()
        return left

    def _reuse(self, kind: str, reuses: Sequence[Reuse]) -> Iterator[Candidate]:
        """Store files by rows of the same content, in one step; those for which that cannot be done."""
        rows = self._table.rows(sorted({reuse.donor for reuse in reuses}))
        positions = {donor: position for position, donor in enumerate(rows["id"].to_pylist())}
        hashes = dict(zip(positions, rows["content_hash"].to_pylist(), strict=True))
        fit = [reuse for reuse in reuses if reuse.fits(hashes.get(reuse.donor))]
        if fit:
            files = [
                (record_id(file.root, file.path), file.root, file.path, file.mtime_ns, content_hash or hashes[donor])
                for file, content_hash, donor in fit
            ]
            sources = [positions[reuse.donor] for reuse in fit]
            without = [reuse.donor for reuse in fit] if kind == "moved" else []
            self._table.put(rows_in_new_places(rows, files, sources), without)
            self.done[kind] += len(fit)
        for file, *_ in fit:
            self._ledger.discard(file.root, file.path)
        return (reuse.file for reuse in reuses if not reuse.fits(hashes.get(reuse.donor)))

    def _settle_gone(self, plan: BuildPlan) -> None:
        gone = [record_id(*place) for place in plan.gone]
        absent = [*gone, *(record_id(*place) for place in plan.still_missing)]
        excluded = [record_id(*place) for place in plan.excluded]
        pruned, hidden = (absent, []) if plan.survey.options.prune else ([], gone)
        self._table.remove(pruned + (excluded if plan.survey.options.prune else []))
        self._table.mark_missing(hidden + excluded, datetime.now(UTC))
        self.done["excluded"] += len(excluded)
        self.done["removed"] += len(pruned)
        self.done["gone"] += len(hidden)
        for place in plan.survey.gone_bad:
            self._ledger.discard(*place)

    def put(self, file: Candidate, record: ImageRecord) -> None:
        """Let a record wait for the next commit."""
        (self._replacing if file.known else self._new).append(record)
        self._ledger.discard(file.root, file.path)

    def put_unreadable(self, file: Candidate, path: str, error: UnreadableImage) -> None:
        """Let a file that could not be read wait for the next commit.

        Its older record, if any, goes with it, unless the file may be fine and something else stood in the way.
        """
        self.failed.append((path, error.reason))
        entry = UnreadableFile(file.root, file.path, error.reason, file.size, file.mtime_ns, error.cause, error.extra)
        self._ledger.add(replace(entry, pixels=error.pixels))
        if error.cause == "system":
            self.refused.append((file.root, file.path))
        if file.known and error.cause == "file":
            self._outdated.append(record_id(file.root, file.path))

    def commit_if_due(self) -> bool:
        """Commit if much, or for long, has been waiting; whether it was so."""
        waiting = len(self._new) + len(self._replacing)
        is_due = waiting >= _MOST_ROWS or time.monotonic() - self._last_commit >= self._seconds
        if is_due:
            self.commit()
        return is_due

    def commit(self) -> None:
        """Store everything that waits; a Ctrl-C takes effect when it is stored, so that nothing is stored twice."""
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
            self.done["added"] += len(new)
        if replacing:
            self._table.replace(replacing)
            self.done["updated"] += len(replacing)
        self._table.remove(outdated)
        self.done["removed"] += len(outdated)
        self._ledger.save()
        self._commits += 1
        if self._commits % _COMMITS_BETWEEN_COMPACTIONS == 0:
            self._table.compact()
