"""Folders against what the index knows of them: the first half of a plan, that reads no file and imports nothing heavy.

Compares path, size and time of change. Files that differ are left for `plan` to look into; where none do, a run is
over with this.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.images.discovery import Entry, expand_home
from cocasearch.images.excludes import Excludes
from cocasearch.indexing.known_files import KnownFiles, Place, Stamp, join, open_known_files
from cocasearch.indexing.ledger import LEDGER_FILE, REBUILD_LEDGER_FILE, Ledger
from cocasearch.indexing.manifest import (
    MANIFEST_FILE,
    REBUILD_FILE,
    SCHEMA_VERSION,
    Manifest,
    exclude_of,
    find_manifest,
    read_manifest,
)
from cocasearch.indexing.roots import Target, extend_roots, list_target, place_folders, scopes, targets_of
from cocasearch.indexing.versions import latest_version


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """How an index is brought up to date.

    Attributes:
        excludes: Patterns of files and folders to leave out, beside those that the index remembers.
        forget_excludes: Forget the remembered ones first.
        retry_bad: Try files again that could not be read, though they have not changed.
        prune: Delete the rows of files that are gone, and of those that have been missing since earlier runs.
        rebuild_with: Fingerprint of the model to make the whole index anew with; empty to update it.
    """

    excludes: tuple[str, ...] = ()
    forget_excludes: bool = False
    retry_bad: bool = False
    prune: bool = False
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
        version: The version of that table.
        known: What that table knows of files.
        roots: Every root with its present folder by its key, new ones included.
        partial: Keys of the roots that only single files were taken from.
        excludes: Patterns that were left out, to be remembered.
        candidates: Files that the table does not know, or not like this.
        back: Places that had been missing and hold their file again, unchanged.
        gone: Places whose file is not there any more, though the folder it was in has been walked.
        still_missing: Places that have been missing before and are so still.
        gone_bad: Unreadable files that are not there any more.
        unchanged: Number of files that need nothing.
        known_bad: Number of files that could not be read before and have not changed since.
        empty: Paths without any image file, or that are not there. Nothing under them counts as gone: a drive may not
            be mounted.
        skipped: Path and reason of what had to be left out. Nothing under them counts as gone either.
    """

    index: Path
    options: UpdateOptions
    present: Manifest | None
    base: Manifest | None
    version: int | None
    known: KnownFiles
    roots: dict[str, Path] = field(default_factory=dict)
    partial: frozenset[str] = frozenset()
    excludes: tuple[str, ...] = ()
    candidates: list[Candidate] = field(default_factory=list)
    back: list[Place] = field(default_factory=list)
    gone: list[Place] = field(default_factory=list)
    still_missing: list[Place] = field(default_factory=list)
    gone_bad: list[Place] = field(default_factory=list)
    unchanged: int = 0
    known_bad: int = 0
    empty: list[Path] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_current(self) -> bool:
        """Whether the index is up to date: there is nothing to store, and no setting that is new."""
        to_store = self.candidates or self.back or self.gone or self.gone_bad
        to_prune = self.options.prune and self.still_missing
        return not (to_store or to_prune or self.base is not self.present or self._has_new_settings())

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
            or (self.partial, self.excludes) != (present.partial_roots, present.excludes)
            or present.schema_version != SCHEMA_VERSION
        )


def take_survey(index: Path, paths: Sequence[str | Path] = (), options: UpdateOptions | None = None) -> Survey:
    """Walk through `paths`, or everything that the index covers if there are none, and compare.

    A rebuild covers both. Writes nothing.

    Raises:
        CocaSearchError: A path does not exist, there is no index and no path, or a folder that a rebuild would have to
            read again is not there.
        NothingFound: There is no image file at all.
    """
    options = options or UpdateOptions()
    present = find_manifest(index / MANIFEST_FILE) if paths else read_manifest(index)
    base, ledger = _base(index, present, options.rebuild_with)
    version = latest_version(index, base.table) if base else None
    known = open_known_files(index, base.table) if base else KnownFiles()
    survey = Survey(index, options, present, base, version, known)
    remembered = () if present is None or options.forget_excludes else present.locate_excludes(index)
    survey.excludes = tuple(dict.fromkeys((*remembered, *options.excludes)))
    _Comparison(survey, ledger).make(_targets(survey, paths, ledger))
    if not (survey.candidates or survey.unchanged or survey.known_bad or survey.back):
        raise NothingFound(f"no pictures found in {', '.join(map(str, paths or survey.empty))}")
    return survey


def _base(index: Path, present: Manifest | None, rebuild_with: str) -> tuple[Manifest | None, Ledger | None]:
    """What to compare with: the index; when it is made anew, what a stopped rebuild with this model has left."""
    if not rebuild_with or present is None:
        return present, Ledger(index, LEDGER_FILE) if present else None
    pending = find_manifest(index / REBUILD_FILE)
    if pending is None or pending.model_fingerprint != rebuild_with:
        return None, None
    return pending, Ledger(index, REBUILD_LEDGER_FILE)


def _targets(survey: Survey, paths: Sequence[str | Path], ledger: Ledger | None) -> list[Target]:
    targets = targets_of([expand_home(Path(path)) for path in paths])
    named = {exclude_of(target.path) for target in targets}  # what was left out is taken in again when it is named
    survey.excludes = tuple(pattern for pattern in survey.excludes if pattern not in named)
    if survey.present is None or (paths and not survey.options.rebuild_with):
        return targets
    known, bad = survey.known, ledger
    if survey.base is not survey.present:  # what a rebuild has to read again, the present table knows
        known, bad = open_known_files(survey.index, survey.present.table), Ledger(survey.index)
    for key, folder in survey.present.locate_roots(survey.index).items():
        if not folder.is_dir() or (survey.options.rebuild_with and _is_unmounted(folder)):
            _leave_out(survey, folder)
        elif key in survey.present.partial_roots:
            in_ledger = (entry.path for entry in bad or () if entry.root == key)
            targets.append(Target(folder, tuple(sorted({*known.paths_in(key), *in_ledger}))))
        else:
            targets.append(Target(folder))
    return targets


def _leave_out(survey: Survey, folder: Path) -> None:
    if survey.options.rebuild_with:
        what = "an empty folder" if folder.is_dir() else "no such folder"
        hint = f"mount its drive, or take it out first: cocasearch remove {folder}"
        raise CocaSearchError(f"{what}: {folder}; a rebuild would lose its photos", hint=hint)
    survey.empty.append(folder)


def _is_unmounted(folder: Path) -> bool:
    """Whether a folder holds nothing at all, as where a drive is mounted at other times."""
    try:
        with os.scandir(folder) as listing:
            return not any(listing)
    except OSError:  # it is not there either, or walking through it will tell
        return False


class _Comparison:
    """Goes through targets and sorts what it meets into a survey."""

    def __init__(self, survey: Survey, ledger: Ledger | None) -> None:
        self._survey = survey
        self._bad = {(entry.root, entry.path): entry.stamp for entry in ledger or ()}
        self._walked: set[Place] = set()  # folders of which everything has been met
        self._met_bad: set[Place] = set()

    def make(self, targets: Iterable[Target]) -> None:
        survey = self._survey
        before = survey.present.locate_roots(survey.index) if survey.present else {}
        partial = survey.present.partial_roots if survey.present else frozenset()
        targets = sorted(dict.fromkeys(targets), key=lambda target: target.names is not None)  # whole folders first
        roots = extend_roots(before, targets, partial)
        filled = [target for target in targets if self._compare(target, roots)]
        survey.empty += [target.path for target in targets if target not in filled]
        folders = {target.folder for target in filled}
        survey.roots = {key: root for key, root in roots.items() if key in before or root in folders}
        walked = [target.folder for target in filled if target.names is None]
        parts = (key for key in survey.roots if key in partial or key not in before)
        survey.partial = frozenset(key for key in parts if not any(map(survey.roots[key].is_relative_to, walked)))
        survey.candidates = list(dict.fromkeys(survey.candidates))  # a rebuild may be told to read what it would anyway
        self._find_gone(filled)

    def _compare(self, target: Target, roots: Mapping[str, Path]) -> bool:
        """Whether there was any file."""
        any_file = False
        listed = list_target(target, self._skip, Excludes(self._survey.excludes))
        for root, folder, files in place_folders(listed, target.folder, roots):
            any_file = True
            if (root, folder) not in self._walked:
                is_whole = target.whole and (target.names is None or roots[root] == target.folder)
                self._compare_folder(root, folder, files, is_whole=is_whole)
        return any_file

    def _compare_folder(self, root: str, folder: str, files: list[Entry], *, is_whole: bool) -> None:
        survey = self._survey
        known = survey.known.stamps(root, folder)
        bad = self._bad
        for name, size, mtime_ns in files:
            before = known.pop(name, None)
            if before == [size, mtime_ns] and not bad:
                survey.unchanged += 1
            else:
                self._judge(Candidate(root, join(folder, name), size, mtime_ns, before is not None), before)
        if is_whole:
            self._walked.add((root, folder))
            self._note_absent(root, folder, known)

    def _judge(self, file: Candidate, before: Stamp | None) -> None:
        survey, place, stamp = self._survey, (file.root, file.path), [file.size, file.mtime_ns]
        is_stored = before is not None and before[:2] == stamp  # if it is bad, a killed run has left its list behind
        if place in self._bad and not is_stored:
            self._met_bad.add(place)
            if self._bad[place] == tuple(stamp) and not survey.options.retry_bad:
                survey.known_bad += 1
                return
        if before == stamp:
            survey.unchanged += 1
        elif is_stored:
            survey.back.append(place)
        else:
            survey.candidates.append(file)

    def _find_gone(self, filled: Sequence[Target]) -> None:
        """Sort out what was in folders that have vanished with all they held, and the bad files that have gone."""
        survey = self._survey
        roots = {key: folder for key, folder in survey.roots.items() if not _is_unmounted(folder)}
        covered = [scope for target in filled for scope in scopes(target, roots)]
        for root, folder in survey.known.folders():
            met_or_hidden = (root, folder) in self._walked or self._is_hidden(root, folder)
            if not met_or_hidden and _is_covered((root, folder), covered):
                self._note_absent(root, folder, survey.known.stamps(root, folder))
        survey.gone_bad += [
            place
            for place in self._bad
            if place not in self._met_bad
            and _is_covered((place[0], place[1].rpartition("/")[0]), covered)
            and not self._is_hidden(*place)
        ]

    def _note_absent(self, root: str, folder: str, stamps: Mapping[str, Stamp]) -> None:
        for name, stamp in stamps.items():
            was_missing = len(stamp) == 3
            absent = self._survey.still_missing if was_missing else self._survey.gone
            absent.append((root, join(folder, name)))

    def _skip(self, path: Path, reason: str) -> None:
        self._survey.skipped.append((str(path), reason))

    def _is_hidden(self, root: str, path: str) -> bool:
        """Whether a place lies in what could not be read."""
        if not self._survey.skipped:
            return False
        whole = self._survey.roots[root] / path
        return any(whole.is_relative_to(skipped) for skipped, _ in self._survey.skipped)


def _is_covered(folder: Place, covered: Iterable[Place]) -> bool:
    """Whether a folder lies in one of the parts of roots that have been walked."""
    root, path = folder
    return any(root == key and (not part or f"{path}/".startswith(f"{part}/")) for key, part in covered)
