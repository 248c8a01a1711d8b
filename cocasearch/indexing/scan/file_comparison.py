"""Sorts the files that a listing meets, and those that it does not meet any more, by what the index knows of them.

Path, size and time of change are compared; no file is read. Files that differ are candidates: whether they are new,
changed or only moved, `plan` finds out.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cocasearch.images.discovery import Entry, is_excluded
from cocasearch.images.excludes import Excludes
from cocasearch.indexing.compressed_list import CompressedList
from cocasearch.indexing.scan.changes import Change
from cocasearch.indexing.scan.file_listing import PassedOver, Target, list_files
from cocasearch.indexing.scan.index_state import IndexState
from cocasearch.indexing.scan.known_files import FileStat, Place, join
from cocasearch.indexing.scan.roots import assign_roots
from cocasearch.indexing.scan.unmounted import UnmountedFolders
from cocasearch.indexing.scan.update_options import UpdateOptions
from cocasearch.indexing.scan.walk_rules import WalkRules

_PLACED = (Change.BACK, Change.GONE, Change.EXCLUDED, Change.MISSING)


class Candidate(NamedTuple):
    """A file that may need work, as it was met; `known` if the table has a row for its place."""

    root: str
    path: str
    size: int
    mtime_ns: int
    known: bool


@dataclass(frozen=True)
class ComparedFiles:
    """The files that listings have met, and those that they have not met any more, by what the index knows of them.

    Attributes:
        candidates: Files that the table does not know, or not like this.
        places: The places of files that are back, gone, excluded or still missing.
        counts: How many files are unchanged, and how many bad ones have not changed.
        gone_bad: Places of unreadable files that are not there any more.
        unmounted: Empty folders inside roots from which the index knows photos. Nothing under them counts as gone.
        passed_over: What the listings have passed over.
    """

    candidates: CompressedList[Candidate] = field(default_factory=CompressedList)
    places: dict[Change, list[Place]] = field(default_factory=lambda: {change: [] for change in _PLACED})
    counts: Counter[Change] = field(default_factory=Counter)
    gone_bad: list[Place] = field(default_factory=list)
    unmounted: set[Place] = field(default_factory=set)
    passed_over: PassedOver = field(default_factory=PassedOver)


class FileComparison:
    """Compares the files of one target after the other with those that the index knows.

    Args:
        state: The index.
        options: What is to be tried again, and whether what is left out is deleted.
        rules: What is left out, and taken in all the same.
        roots: Every root with its present folder by its key.

    Attributes:
        files: The result.
        excludes: What is left out, with a note of which patterns have fitted anything.
        met_roots: Keys of the roots in which any file was met.
    """

    def __init__(self, state: IndexState, options: UpdateOptions, rules: WalkRules, roots: Mapping[str, Path]) -> None:
        unreadable = state.unreadable
        self.files, self.excludes = ComparedFiles(), Excludes(rules.excludes)
        self.met_roots: set[str] = set()
        self._known, self._options, self._roots, self._named = state.known, options, roots, rules.named
        self._refused = unreadable.refused() if unreadable else {}
        self._bad = unreadable.file_stats(options.max_megapixels) if unreadable else {}
        self._met_bad: set[Place] = set()
        self._met_folders: set[Place] = set()  # of which everything has been met
        self._unmounted = UnmountedFolders(roots, self.excludes)

    def compare(self, target: Target) -> bool:
        """Compare the files of a target; whether there was any."""
        any_file = False
        listed = list_files(target, self.files.passed_over, self.excludes, self._named)
        for root, folder, files in assign_roots(listed, target.folder, self._roots):
            any_file = True
            self.met_roots.add(root)
            if (root, folder) not in self._met_folders:
                is_whole = target.whole and (target.names is None or self._roots[root] == target.folder)
                self._compare_folder(root, folder, files, is_whole=is_whole)
        return any_file

    def note_vanished(self, covered: Iterable[Place]) -> None:
        """Sort what was in folders that have vanished with all they held, and the bad files that have gone.

        Args:
            covered: The parts of roots that have been looked through: root and path, empty for all of it.
        """
        covered = list(covered)
        for root, folder in self._known.folders():
            was_met = (root, folder) in self._met_folders
            if not (was_met or self._is_hidden(root, folder)) and _is_covered(root, folder, covered):
                self._note_absent(root, folder, self._known.file_stats(root, folder))
        for root, path in (place for place in self._bad if place not in self._met_bad):
            folder = path.rpartition("/")[0]
            was_looked_at = _is_covered(root, folder, covered) and not self._is_hidden(root, path)
            if was_looked_at and not self._is_unmounted(root, folder):
                self.files.gone_bad.append((root, path))

    def _compare_folder(self, root: str, folder: str, files: list[Entry], *, is_whole: bool) -> None:
        known = self._known.file_stats(root, folder)
        has_bad, unchanged = bool(self._bad), 0
        for name, size, mtime_ns in files:
            before = known.pop(name, None)
            if before == [size, mtime_ns] and not has_bad:
                unchanged += 1
            else:
                self._sort(Candidate(root, join(folder, name), size, mtime_ns, before is not None), before)
        self.files.counts[Change.UNCHANGED] += unchanged
        if is_whole:
            self._met_folders.add((root, folder))
            self._note_absent(root, folder, known)

    def _sort(self, file: Candidate, before: FileStat | None) -> None:
        place, now = (file.root, file.path), [file.size, file.mtime_ns]
        is_stored = before is not None and before[:2] == now  # if it is bad, a killed run has left its list behind
        if place in self._bad and not is_stored:
            self._met_bad.add(place)
            is_as_before = self._bad[place] == tuple(now) or self._is_refused_again(place)
            if is_as_before and not self._options.retry_bad:
                self.files.counts[Change.KNOWN_BAD] += 1
                return
        if before == now:
            self.files.counts[Change.UNCHANGED] += 1
        elif is_stored:
            self.files.places[Change.BACK].append(place)
        else:
            self.files.candidates.append(file)

    def _is_refused_again(self, place: Place) -> bool:
        """Whether the system refuses a file, not to be opened even, as it did before. A rebuild hears it for itself."""
        if place not in self._refused or self._options.rebuild_with:
            return False
        from cocasearch.images.refusals import why_not_opened  # brings PIL

        root, path = place
        return why_not_opened(self._roots[root] / path) == self._refused[place]

    def _note_absent(self, root: str, folder: str, stats: Mapping[str, FileStat]) -> None:
        if stats and self._is_unmounted(root, folder):
            return
        start = self._roots[root]
        for name, stat in stats.items():
            path, was_hidden = join(folder, name), len(stat) == 3
            if not is_excluded(start / path, start, self.excludes):
                self.files.places[Change.MISSING if was_hidden else Change.GONE].append((root, path))
            elif self._options.prune or not was_hidden:
                self.files.places[Change.EXCLUDED].append((root, path))

    def _is_unmounted(self, root: str, folder: str) -> bool:
        """Whether a folder is, or was in, one that is empty now: its drive may not be mounted."""
        empty = self._unmounted.around(root, folder)
        if empty:
            self.files.unmounted.add(empty)
        return empty is not None

    def _is_hidden(self, root: str, path: str) -> bool:
        """Whether a place lies in what could not be read."""
        return root in self._roots and self.files.passed_over.hides(self._roots[root] / path)


def _is_covered(root: str, folder: str, covered: Iterable[Place]) -> bool:
    """Whether a folder lies in one of the parts of roots that have been looked through."""
    return any(root == key and (not part or f"{folder}/".startswith(f"{part}/")) for key, part in covered)
