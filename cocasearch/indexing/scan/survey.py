"""What a walk through folders has shown, compared with what the index knows: the first half of a plan."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cocasearch.errors import CocaSearchError
from cocasearch.images.decode_limits import MAX_MEGAPIXELS
from cocasearch.indexing.compressed_list import CompressedList
from cocasearch.indexing.scan.known_files import KnownFiles, Place
from cocasearch.indexing.store.location import MANIFEST_FILE
from cocasearch.indexing.store.manifest import SCHEMA_VERSION, Manifest, Root, find_manifest
from cocasearch.indexing.store.versions import latest_version


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """How an index is brought up to date.

    Attributes:
        excludes: Patterns of files and folders to leave out, beside those that the index remembers.
        forget_excludes: Forget the remembered ones first.
        retry_bad: Try files again that could not be read, though they have not changed.
        prune: Delete the rows of files that are gone, and of those that have been missing since earlier runs.
        max_megapixels: Larger images are unreadable; those that were too large for a smaller limit are tried again.
        rebuild_with: Fingerprint of the model to make the whole index anew with; empty to update it.
    """

    excludes: tuple[str, ...] = ()
    forget_excludes: bool = False
    retry_bad: bool = False
    prune: bool = False
    max_megapixels: float = MAX_MEGAPIXELS
    rebuild_with: str = ""


class Candidate(NamedTuple):
    """A file that may need work, as it was met; `known` if the table has a row for its place."""

    root: str
    path: str
    size: int
    mtime_ns: int
    known: bool


@dataclass
class Survey:
    """What walking through folders has shown.

    Attributes:
        index: The index folder.
        options: What was asked for.
        present: The index's manifest; None for an index to be.
        base: The manifest of the table that the folders were compared with; None if that is still to be made.
        pending: That of a rebuild that has not been completed.
        version: The version of that table.
        known: What that table knows of files.
        roots: Every root with its present folder by its key, new ones included.
        partial: Keys of the roots that only single files were taken from.
        excludes: Patterns that were left out, to be remembered.
        named: Whole paths of files that are taken though a walk leaves them out, to be remembered.
        candidates: Files that the table does not know, or not like this.
        back: Places that had been missing and hold their file again, unchanged.
        gone: Places whose file is not there any more, though the folder it was in has been walked.
        excluded: Places whose file patterns leave out, though the table shows it.
        still_missing: Places that have been missing before, or left out, and are so still.
        unfitting: New patterns that fit nothing.
        taken_once: Folders that were given though a pattern of an earlier run leaves them out of the one around them.
        bad_roots: Keys of the roots with unreadable files.
        forgotten: Folders that were roots, and whose photos have all moved elsewhere.
        gone_bad: Unreadable files that are not there any more.
        left_behind: Whole paths of photos that the present table knows, and that a rebuild has not met.
        unchanged: Number of files that need nothing.
        known_bad: Number of files that could not be read before and have not changed since.
        empty: Paths without any image file, or that are not there. Nothing under them counts as gone: a drive may not
            be mounted.
        unmounted: Empty folders inside roots from which the index knows photos. Nothing under them is gone either.
        linked: Links to folders, which are not followed.
        videos: Videos, which are passed over.
        skipped: Path and reason of what had to be left out. Nothing under them counts as gone either.
    """

    index: Path
    options: UpdateOptions
    present: Manifest | None
    base: Manifest | None
    version: int | None
    known: KnownFiles
    pending: Manifest | None = None
    roots: dict[str, Path] = field(default_factory=dict)
    partial: frozenset[str] = frozenset()
    excludes: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    candidates: CompressedList[Candidate] = field(default_factory=CompressedList)
    back: list[Place] = field(default_factory=list)
    gone: list[Place] = field(default_factory=list)
    excluded: list[Place] = field(default_factory=list)
    still_missing: list[Place] = field(default_factory=list)
    unfitting: list[str] = field(default_factory=list)
    taken_once: list[Path] = field(default_factory=list)
    bad_roots: frozenset[str] = frozenset()
    forgotten: list[Path] = field(default_factory=list)
    gone_bad: list[Place] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    unchanged: int = 0
    known_bad: int = 0
    empty: list[Path] = field(default_factory=list)
    unmounted: list[Place] = field(default_factory=list)
    linked: list[Path] = field(default_factory=list)
    videos: set[Path] = field(default_factory=set)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def roots_before(self) -> tuple[Root, ...]:
        """The roots that the index covers, and those that a rebuild that is gone on with was to cover beside them."""
        manifests = filter(None, (self.base, self.present))
        return tuple({root.key: root for manifest in manifests for root in manifest.roots}.values())

    @property
    def is_current(self) -> bool:
        """Whether the index is up to date: there is nothing to store, and no setting that is new."""
        to_store = self.candidates or self.back or self.gone or self.excluded or self.gone_bad
        to_prune = self.options.prune and self.still_missing
        to_end = self.pending and self.present and self.pending.table == self.present.table  # a rebuild, published
        return not (to_store or to_prune or to_end or self.base is not self.present or self._has_new_settings())

    def forget_emptied(self, has_photos: Callable[[str], bool]) -> None:
        """Let go of the roots that hold no photo and of which, by their keys, the index has none any more either."""
        for key, folder in list(self.roots.items()):
            if folder in self.empty and key not in self.bad_roots and not has_photos(key):
                del self.roots[key]
                self.empty.remove(folder)
                self.forgotten.append(folder)
        self.partial &= self.roots.keys()

    def whole_paths(self, places: Iterable[Place]) -> list[str]:
        """Where places are."""
        return [str(self.roots[root] / path) for root, path in places]

    def check_unchanged(self) -> None:
        """Refuse to go on if another run has written to the index since. For the holder of the writer's lock.

        Raises:
            CocaSearchError: One has.
        """
        same = find_manifest(self.index / MANIFEST_FILE) == self.present
        if not same or (self.base and latest_version(self.index, self.base.table) != self.version):
            message = f"the index at {self.index} has just been changed by another run"
            raise CocaSearchError(message, hint="try again")

    def _has_new_settings(self) -> bool:
        present = self.present
        return present is None or (
            set(self.roots) != {root.key for root in present.roots}
            or (self.partial, self.excludes, self.named) != (present.partial_roots, present.excludes, present.named)
            or present.schema_version != SCHEMA_VERSION
        )
