"""Finished records wait here for the next commit to the table; unreadable files for the ledger.

Every commit is atomic, and between two of them little work is at stake. Counts what happened to each file.
"""

import time

from cocasearch.errors import UnreadableImage
from cocasearch.indexing.ledger import Ledger, UnreadableFile
from cocasearch.indexing.plan import BuildPlan, PlannedImage
from cocasearch.indexing.records import ImageRecord, record_id
from cocasearch.indexing.table import IndexTable
from cocasearch.interruption import uninterrupted

_MOST_ROWS = 4_096  # waiting at once
_COMMITS_BETWEEN_COMPACTIONS = 256  # a table of very many small fragments slows each commit


class CommitQueue:
    """Collects the results of one run and stores them in batches.

    Args:
        table: Where records go.
        ledger: Where unreadable files go.
        seconds: Longest time that a record waits, as long as records keep coming.

    Attributes:
        added: New images stored.
        updated: Images stored in the place of an older record.
        removed: Images taken out.
        failed: Path and reason of each file that could not be read.
    """

    def __init__(self, table: IndexTable, ledger: Ledger, *, seconds: float) -> None:
        self.added = self.updated = self.removed = 0
        self.failed: list[tuple[str, str]] = []
        self._table = table
        self._ledger = ledger
        self._seconds = seconds
        self._new: list[ImageRecord] = []
        self._replacing: list[ImageRecord] = []
        self._outdated: list[str] = []
        self._last_commit = time.monotonic()
        self._commits = 0

    def remove_gone(self, plan: BuildPlan) -> None:
        """Take out, at once, what the plan found gone."""
        self._table.remove([record_id(*place) for place in plan.gone])
        self.removed += len(plan.gone)
        for place in plan.gone_bad:
            self._ledger.discard(*place)
        self._ledger.save()

    def put(self, image: PlannedImage, record: ImageRecord) -> None:
        """Let a record wait for the next commit."""
        (self._replacing if image.is_update else self._new).append(record)
        self._ledger.discard(image.root, image.path)

    def put_unreadable(self, image: PlannedImage, error: UnreadableImage) -> None:
        """Let a file that could not be read wait for the next commit, and its older record, if any, go with it."""
        self.failed.append((str(image.file.absolute), error.reason))
        size, mtime_ns = image.file.size, image.file.mtime_ns
        self._ledger.add(UnreadableFile(image.root, image.path, error.reason, size, mtime_ns, error.lasting))
        if image.is_update:
            self._outdated.append(image.id)

    def commit_if_due(self) -> None:
        """Commit if much, or for long, has been waiting."""
        waiting = len(self._new) + len(self._replacing)
        if waiting >= _MOST_ROWS or time.monotonic() - self._last_commit >= self._seconds:
            self.commit()

    def commit(self) -> None:
        """Store everything that waits; a Ctrl-C takes effect when it is stored, so that nothing is stored twice."""
        with uninterrupted():
            self._store()
        self._last_commit = time.monotonic()

    def _store(self) -> None:
        if self._new:
            self._table.add(self._new)
            self.added += len(self._new)
            self._new = []
        if self._replacing:
            self._table.replace(self._replacing)
            self.updated += len(self._replacing)
            self._replacing = []
        self._table.remove(self._outdated)
        self.removed += len(self._outdated)
        self._outdated = []
        self._ledger.save()
        self._commits += 1
        if self._commits % _COMMITS_BETWEEN_COMPACTIONS == 0:
            self._table.compact()
