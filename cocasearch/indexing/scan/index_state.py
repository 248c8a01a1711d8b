"""An index as a run finds it: what it covers, and the table that the folders are compared with."""

from dataclasses import dataclass
from pathlib import Path

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.scan.known_files import KnownFiles, open_known_files, recall_known_files
from cocasearch.indexing.store.location import MANIFEST_FILE, REBUILD_FILE, REBUILD_UNREADABLE_FILE, UNREADABLE_FILE
from cocasearch.indexing.store.manifest import Manifest, Root, find_manifest, read_manifest, refuse_older
from cocasearch.indexing.store.unreadable_files import UnreadableFiles
from cocasearch.indexing.store.versions import latest_version


@dataclass(frozen=True)
class IndexState:
    """An index as a run finds it.

    Attributes:
        index: The index folder.
        present: The index's manifest; None for an index to be.
        pending: The manifest of a rebuild that has not been completed.
        base: The manifest of the table to compare with; None if that is still to be made.
        version: The version of that table.
        known: What that table knows of files.
        unreadable: The files that could not be read for that table.
    """

    index: Path
    present: Manifest | None
    pending: Manifest | None
    base: Manifest | None
    version: int | None
    known: KnownFiles
    unreadable: UnreadableFiles | None

    def roots(self) -> tuple[Root, ...]:
        """The roots that the index covers, and those that a rebuild that is gone on with was to cover beside them."""
        manifests = filter(None, (self.base, self.present))
        return tuple({root.key: root for manifest in manifests for root in manifest.roots}.values())

    @property
    def has_published_rebuild(self) -> bool:
        """Whether a rebuild has taken the place of the index, and was stopped just before its end."""
        return bool(self.pending and self.present and self.pending.table == self.present.table)

    def bad_roots(self) -> set[str]:
        """The keys of the roots with files that could not be read."""
        return {entry.root for entry in self.unreadable or ()}

    def present_files(self) -> KnownFiles:
        """What the present table knows; what it did if it is lost or damaged, which a rebuild is to mend."""
        if self.present is None or self.base is self.present:
            return self.known
        try:
            return open_known_files(self.index, self.present.table)
        except CocaSearchError:
            return recall_known_files(self.index, self.present.table)

    def check_unchanged(self) -> None:
        """Refuse to go on if another run has written to the index since. The caller holds the writer's lock.

        Raises:
            CocaSearchError: One has.
        """
        is_same = find_manifest(self.index / MANIFEST_FILE) == self.present
        if not is_same or (self.base and latest_version(self.index, self.base.table) != self.version):
            message = f"the index at {self.index} has just been changed by another run"
            raise CocaSearchError(message, hint="try again")


def read_index_state(index: Path, rebuild_with: str, *, must_exist: bool) -> IndexState:
    """The state of the index in a folder.

    Args:
        index: The index folder.
        rebuild_with: Fingerprint of the model that a rebuild is made with; empty for an update.
        must_exist: Whether it is an error that there is no index.

    Raises:
        CocaSearchError: There is no index, or a damaged one.
    """
    present = read_manifest(index, to_rebuild=True) if must_exist else find_manifest(index / MANIFEST_FILE)
    if present and not rebuild_with:
        refuse_older(present, index)
    pending = find_manifest(index / REBUILD_FILE)
    base, unreadable_file = present, UNREADABLE_FILE
    if rebuild_with and present:  # it is compared with what a stopped rebuild with this model has left
        is_same_model = pending and pending.model_fingerprint == rebuild_with
        base, unreadable_file = (pending if is_same_model else None), REBUILD_UNREADABLE_FILE
    if base is None:
        return IndexState(index, present, pending, None, None, KnownFiles(), None)
    version = latest_version(index, base.table)  # read first, so that a write in between is noticed
    known, unreadable = open_known_files(index, base.table), UnreadableFiles(index, unreadable_file)
    return IndexState(index, present, pending, base, version, known, unreadable)
