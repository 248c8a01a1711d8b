"""Goes through folders and sorts what it meets, and does not meet any more, by what the index knows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cocasearch.images.discovery import LINKED_FOLDER, VIDEO, Entry, is_excluded, is_walked
from cocasearch.images.excludes import Excludes
from cocasearch.indexing.compressed_list import CompressedList
from cocasearch.indexing.scan.known_files import FileStat, Place, join
from cocasearch.indexing.scan.roots import Target, extend_roots, list_target, place_folders, scopes
from cocasearch.indexing.scan.survey import Candidate, Survey
from cocasearch.indexing.scan.unmounted import UnmountedFolders
from cocasearch.indexing.store.unreadable_files import UnreadableFiles


class Comparison:
    """Goes through targets and sorts what it meets into a survey."""

    def __init__(self, survey: Survey, ledger: UnreadableFiles | None) -> None:
        self._survey = survey
        self._refused = ledger.refused() if ledger else {}
        self._bad = ledger.stamps(survey.options.max_megapixels) if ledger else {}
        self._excludes = Excludes(survey.excludes)
        self._walked: set[Place] = set()  # folders of which everything has been met
        self._met_bad: set[Place] = set()
        self._met_roots: set[str] = set()
        self._unmounted: set[Place] = set()
        self._roots: Mapping[str, Path] = {}
        self._empty = UnmountedFolders({}, self._excludes)

    def make(self, targets: Iterable[Target]) -> None:
        survey = self._survey
        before = {root.key: root.locate(survey.index) for root in survey.roots_before()}
        partial = {root.key for root in survey.roots_before() if root.partial}
        taken = {root.key for root in survey.pending.roots} if survey.pending else set()
        targets = sorted(dict.fromkeys(targets), key=lambda target: target.names is not None)  # whole folders first
        roots = extend_roots(before, targets, partial, taken)
        self._roots, self._empty = roots, UnmountedFolders(roots, self._excludes)
        filled = [target for target in targets if self._compare(target, roots)]
        survey.empty += [target.path for target in targets if target not in filled]
        folders = {target.folder for target in filled}
        survey.roots = {key: root for key, root in roots.items() if key in before or root in folders}
        walked = [target.folder for target in filled if target.names is None]
        parts = (key for key in survey.roots if key in partial or key not in before)
        survey.partial = frozenset(key for key in parts if not self._is_walked(survey.roots[key], walked))
        if any(target.names for target in targets):  # a rebuild may be told to read what it would anyway
            survey.candidates = CompressedList(dict.fromkeys(survey.candidates))
        survey.unfitting = [pattern for pattern in self._excludes.unfitting if pattern in survey.options.excludes]
        self._find_gone(filled)
        survey.bad_roots = frozenset(root for root, _ in self._bad)
        if not survey.options.rebuild_with:  # else the table in question is another one
            survey.forget_emptied(lambda root: any(True for _ in survey.known.paths_in(root)))
        survey.unmounted = sorted(self._unmounted)

    def _is_walked(self, folder: Path, starts: Iterable[Path]) -> bool:
        """Whether a walk from one of some folders has come to a folder."""
        around = filter(folder.is_relative_to, starts)
        return any(folder == start or is_walked(folder / "x", start, self._excludes) for start in around)

    def _compare(self, target: Target, roots: Mapping[str, Path]) -> bool:
        """Whether there was any file."""
        any_file = False
        listed = list_target(target, self._skip, self._excludes, self._survey.named)
        for root, folder, files in place_folders(listed, target.folder, roots):
            any_file = True
            self._met_roots.add(root)
            if (root, folder) not in self._walked:
                is_whole = target.whole and (target.names is None or roots[root] == target.folder)
                self._compare_folder(root, folder, files, is_whole=is_whole)
        return any_file

    def _compare_folder(self, root: str, folder: str, files: list[Entry], *, is_whole: bool) -> None:
        survey = self._survey
        known = survey.known.file_stats(root, folder)
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

    def _judge(self, file: Candidate, before: FileStat | None) -> None:
        survey, place, stamp = self._survey, (file.root, file.path), [file.size, file.mtime_ns]
        is_stored = before is not None and before[:2] == stamp  # if it is bad, a killed run has left its list behind
        if place in self._bad and not is_stored:
            self._met_bad.add(place)
            is_as_before = self._bad[place] == tuple(stamp) or self._is_refused_again(place)
            if is_as_before and not survey.options.retry_bad:
                survey.known_bad += 1
                return
        if before == stamp:
            survey.unchanged += 1
        elif is_stored:
            survey.back.append(place)
        else:
            survey.candidates.append(file)

    def _is_refused_again(self, place: Place) -> bool:
        """Whether the system refuses a file, not to be opened even, as it did before. A rebuild hears it for itself."""
        if place not in self._refused or self._survey.options.rebuild_with:
            return False
        from cocasearch.images.refusals import why_not_opened  # brings PIL

        root, path = place
        return why_not_opened(self._roots[root] / path) == self._refused[place]

    def _find_gone(self, filled: Sequence[Target]) -> None:
        """Sort out what was in folders that have vanished with all they held, and the bad files that have gone."""
        survey = self._survey
        covered = list(self._covered(filled))
        for root, folder in survey.known.folders():
            met_or_hidden = (root, folder) in self._walked or self._is_hidden(root, folder)
            if not met_or_hidden and _is_covered((root, folder), covered):
                self._note_absent(root, folder, survey.known.file_stats(root, folder))
        survey.gone_bad += [
            place
            for place in self._bad
            if place not in self._met_bad
            and _is_covered((place[0], place[1].rpartition("/")[0]), covered)
            and not (self._is_hidden(*place) or self._is_unmounted(place[0], place[1].rpartition("/")[0]))
        ]

    def _covered(self, filled: Iterable[Target]) -> Iterator[Place]:
        """The parts of roots that have been walked. Of a root within a walked folder, as of any other, something must
        have been met: where there is nothing, its drive may not be mounted.
        """
        survey = self._survey
        for target in filled:
            for key, part in scopes(target, survey.roots):
                folder = survey.roots[key]
                if part or folder == target.folder or key in self._met_roots:
                    yield key, part
                elif folder not in survey.empty:
                    survey.empty.append(folder)

    def _note_absent(self, root: str, folder: str, stamps: Mapping[str, FileStat]) -> None:
        if stamps and self._is_unmounted(root, folder):
            return
        survey, start = self._survey, self._roots[root]
        for name, stamp in stamps.items():
            place = root, join(folder, name)
            was_hidden = len(stamp) == 3
            if is_excluded(start / place[1], start, self._excludes):
                survey.excluded += [] if was_hidden and not survey.options.prune else [place]
            elif was_hidden:
                survey.still_missing.append(place)
            else:
                survey.gone.append(place)

    def _is_unmounted(self, root: str, folder: str) -> bool:
        """Whether a folder is, or was in, one that is empty now: its drive may not be mounted."""
        empty = self._empty.around(root, folder)
        if empty:
            self._unmounted.add(empty)
        return empty is not None

    def _skip(self, path: Path, reason: str) -> None:
        if reason == LINKED_FOLDER:
            self._survey.linked.append(path)
        elif reason == VIDEO:
            self._survey.videos.add(path)
        else:
            self._survey.skipped.append((str(path), reason))

    def _is_hidden(self, root: str, path: str) -> bool:
        """Whether a place lies in what could not be read."""
        if not self._survey.skipped or root not in self._survey.roots:
            return False
        whole = self._survey.roots[root] / path
        return any(whole.is_relative_to(skipped) for skipped, _ in self._survey.skipped)


def _is_covered(folder: Place, covered: Iterable[Place]) -> bool:
    """Whether a folder lies in one of the parts of roots that have been walked."""
    root, path = folder
    return any(root == key and (not part or f"{path}/".startswith(f"{part}/")) for key, part in covered)
