"""The scan of the folders of an index: what to look through, which files are there, and how they differ.

One way forward: the index and the paths given are resolved to targets, the files of each target are listed and compared
with those that the index knows, and the result does not change any more. Reads no image and imports nothing heavy:
where nothing has changed, a run is over with this.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cocasearch.errors import NothingFound
from cocasearch.images.discovery import discover_images
from cocasearch.images.excludes import Excludes
from cocasearch.indexing.compressed_list import CompressedList
from cocasearch.indexing.scan.changes import Change
from cocasearch.indexing.scan.file_comparison import ComparedFiles, FileComparison
from cocasearch.indexing.scan.file_listing import PassedOver, Target, targets_of
from cocasearch.indexing.scan.index_state import IndexState, read_index_state
from cocasearch.indexing.scan.known_files import Place
from cocasearch.indexing.scan.rebuild_losses import photos_left_behind, refuse_losses
from cocasearch.indexing.scan.roots import Coverage, extend_roots, looked_through, partial_roots
from cocasearch.indexing.scan.unmounted import is_empty_folder
from cocasearch.indexing.scan.update_options import UpdateOptions
from cocasearch.indexing.scan.walk_rules import WalkRules, settle_rules
from cocasearch.indexing.store.manifest import follow_command, index_command, index_name, read_manifest
from cocasearch.indexing.store.unreadable_files import UnreadableFiles
from cocasearch.indexing.store.versions import latest_version
from cocasearch.paths import expand_home


@dataclass(frozen=True)
class Scan:
    """What the folders of an index hold now, beside what the index knows.

    Attributes:
        state: The index, and the table that the folders were compared with.
        options: What was asked for.
        rules: What was left out, and taken in all the same.
        coverage: The folders that the index covers from now on.
        files: What there is, and is not any more.
        left_behind: Whole paths of photos that the present table knows, and that a rebuild has not met.
        unfitting: New patterns that fit nothing.
    """

    state: IndexState
    options: UpdateOptions
    rules: WalkRules
    coverage: Coverage
    files: ComparedFiles
    left_behind: tuple[str, ...]
    unfitting: tuple[str, ...]

    @property
    def is_current(self) -> bool:
        """Whether the index is up to date: there is nothing to store, and no setting that is new."""
        files, places, state = self.files, self.files.places, self.state
        to_store = any(places[change] for change in (Change.BACK, Change.GONE, Change.EXCLUDED))
        to_prune = self.options.prune and places[Change.MISSING]
        is_settled = state.base is state.present and not state.has_published_rebuild
        return is_settled and not (
            files.candidates or to_store or files.gone_bad or to_prune or self._has_new_settings()
        )

    def whole_paths(self, places: Iterable[Place]) -> list[str]:
        """Where places are."""
        return [str(self.coverage.roots[root] / path) for root, path in places]

    def photos_at_stake(self, unread: Iterable[Place]) -> int:
        """The number of photos that a rebuild must not leave behind: they may be fine, as on a drive that has gone.

        Args:
            unread: Places of files that have vanished since, or that the system did not let read.
        """
        state = self.state
        if (
            not (state.present and self.options.rebuild_with)
            or latest_version(state.index, state.present.table) is None
        ):
            return 0
        known = state.present_files()
        paths = {root: set(known.paths_in(root)) for root in self.coverage.roots}
        hidden = sum(self.files.passed_over.hides(Path(path)) for path in self.left_behind)
        return hidden + sum(path in paths[root] for root, path in unread)

    def _has_new_settings(self) -> bool:
        present, coverage, rules = self.state.present, self.coverage, self.rules
        return present is None or (
            coverage.roots.keys() != {root.key for root in present.roots}
            or (coverage.partial, rules.excludes, rules.named)
            != (present.partial_roots, present.excludes, present.named)
        )


def scan_folders(index: Path, paths: Sequence[str | Path] = (), options: UpdateOptions | None = None) -> Scan:
    """Look through `paths`, or everything that the index covers if there are none, and compare with what it knows.

    A rebuild covers both. Writes nothing.

    Raises:
        CocaSearchError: A path does not exist, there is no index and no path, or a folder that a rebuild would have to
            read again is not there.
        NothingFound: There is no image file at all.
    """
    options = options or UpdateOptions()
    state = read_index_state(index, options.rebuild_with, must_exist=not paths)
    given = targets_of([expand_home(Path(path)) for path in paths])
    rules = settle_rules(state, options, given)
    remembered, absent = _remembered_targets(state, options, rules, list(map(str, paths)))
    scan = _compare(state, options, rules, [*given, *remembered], absent)
    files, counts = scan.files, scan.files.counts
    if not (files.candidates or files.places[Change.BACK] or counts[Change.UNCHANGED] or counts[Change.KNOWN_BAD]):
        looked_in = ", ".join(map(str, paths or scan.coverage.empty))
        if not looked_in:
            message = f"index '{index_name(index)}' covers no folder any more"
            raise NothingFound(message, hint=index_command(index, "./photos"))
        raise NothingFound(f"no photos found in {looked_in}", hint=_how_to_go_on(scan))
    return scan


def refuse_without_photos(index: Path, paths: Sequence[str | Path]) -> None:
    """Refuse, before a model is loaded for them, paths without photos, or none where there is no index either.

    Raises:
        CocaSearchError: A path does not exist, or there is neither a path nor an index.
        NothingFound: There is no image file under `paths`.
    """
    if not paths:
        read_manifest(index, to_rebuild=True)
        return
    passed_over = PassedOver()
    if not any(any(discover_images(expand_home(Path(path)), passed_over)) for path in paths):
        raise NothingFound(f"no photos found in {', '.join(map(str, paths))}", hint=passed_over.hint)


def _remembered_targets(
    state: IndexState, options: UpdateOptions, rules: WalkRules, paths: Sequence[str]
) -> tuple[list[Target], list[Path]]:
    """What the index covers, where that is to be looked through too, and those of its roots that are not there."""
    targets, absent = list[Target](), list[Path]()
    if state.present is None or (paths and not options.rebuild_with):
        return targets, absent
    known = state.present_files()  # a rebuild has to read again what these are
    unreadable = state.unreadable if state.base is state.present else UnreadableFiles(state.index)
    for root in state.roots():
        key, folder = root.key, root.locate(state.index)
        if not folder.is_dir() or (options.rebuild_with and is_empty_folder(folder)):
            absent.append(folder)
        elif root.partial:
            bad = (entry.path for entry in unreadable or () if entry.root == key)
            if names := {*known.paths_in(key), *bad}:  # a root of its own may have taken all
                targets.append(Target(folder, tuple(sorted(names))))
        else:
            targets.append(Target(folder))
    if options.rebuild_with:
        absent += refuse_losses(state, state.present, Excludes(rules.excludes), absent, paths)
    return targets, absent


def _compare(
    state: IndexState, options: UpdateOptions, rules: WalkRules, targets: Iterable[Target], absent: Iterable[Path]
) -> Scan:
    """List and compare the files of all targets, and tell what the index covers with them."""
    targets = sorted(dict.fromkeys(targets), key=lambda target: target.names is not None)  # whole folders first
    before = {root.key: root.locate(state.index) for root in state.roots()}
    partial = frozenset(root.key for root in state.roots() if root.partial)
    taken = {root.key for root in state.pending.roots} if state.pending else set()
    roots = extend_roots(before, targets, partial, taken)
    comparison = FileComparison(state, options, rules, roots)
    files, excludes, left_behind = comparison.files, comparison.excludes, list[str]()

    filled = [target for target in targets if comparison.compare(target)]
    folders = {target.folder for target in filled}
    walked = [target.folder for target in filled if target.names is None]
    roots = {key: root for key, root in roots.items() if key in before or root in folders}
    partial = partial_roots(roots, {*partial, *(roots.keys() - before.keys())}, walked, excludes)
    unfitting = tuple(pattern for pattern in excludes.unfitting if pattern in rules.new)

    covered, without_files = looked_through(filled, roots, comparison.met_roots)
    comparison.note_vanished(covered)
    empty = [*absent, *(target.path for target in targets if target not in filled), *without_files]
    coverage = Coverage(roots, partial, tuple(dict.fromkeys(empty)))
    if any(target.names for target in targets):  # a rebuild may be told to read what it would anyway
        files = replace(files, candidates=CompressedList(dict.fromkeys(files.candidates)))
    if not options.rebuild_with:  # else the table in question is another one
        known = {root for root, _ in state.known.folders()} | state.bad_roots()
        coverage = coverage.without_emptied(known.__contains__)
    elif state.present:
        excluded, left_behind = photos_left_behind(state, roots, files.candidates, excludes)
        files.places[Change.EXCLUDED].extend(excluded)
    return Scan(state, options, rules, coverage, files, tuple(left_behind), unfitting)


def _how_to_go_on(scan: Scan) -> str | None:
    """What to do where there is no picture, if that may not be as it is meant."""
    index, empty = scan.state.index, scan.coverage.empty
    if scan.files.passed_over.hint:
        return scan.files.passed_over.hint
    if scan.state.present and scan.options.excludes:
        remove = index_command(index, "PATH", command="remove")
        return f"an --exclude that leaves none is not remembered; to take photos out of the index: {remove}"
    if scan.rules.excludes and any(map(_has_pictures, empty)):
        forget = index_command(index, "--forget-excludes")
        return f"earlier runs were told to leave out what is there; to take in all that is left out: {forget}"
    known = [folder for folder in empty if folder in scan.coverage.roots.values()]
    return follow_command(index, known[0]) if known else None


def _has_pictures(folder: Path) -> bool:
    return folder.is_dir() and any(discover_images(folder, lambda _path, _reason: None))
