"""Chooses the folders to walk and what to compare them with. Reads no file and imports nothing heavy.

Compares path, size and time of change. Files that differ are left for `plan` to look into; where none do, a run is
over with this.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.images.discovery import (
    GIVE_LINKED,
    ONLY_VIDEOS,
    discover_images,
    is_excluded,
    is_image_name,
    is_walked,
)
from cocasearch.images.excludes import Excludes, as_meant
from cocasearch.indexing.scan.file_comparison import Comparison
from cocasearch.indexing.scan.known_files import KnownFiles, Place, open_known_files, recall_known_files
from cocasearch.indexing.scan.roots import Target, targets_of
from cocasearch.indexing.scan.survey import Survey, UpdateOptions
from cocasearch.indexing.scan.unmounted import EmptyFolders, holds_nothing
from cocasearch.indexing.store.manifest import (
    MANIFEST_FILE,
    REBUILD_FILE,
    Manifest,
    exclude_of,
    find_manifest,
    follow_command,
    index_command,
    index_name,
    read_manifest,
)
from cocasearch.indexing.store.unreadable_files import LEDGER_FILE, REBUILD_LEDGER_FILE, Ledger
from cocasearch.indexing.store.versions import latest_version
from cocasearch.paths import expand_home


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
    pending = find_manifest(index / REBUILD_FILE)
    base, ledger = _base(index, present, pending, options.rebuild_with)
    version = latest_version(index, base.table) if base else None
    known = open_known_files(index, base.table) if base else KnownFiles()
    survey = Survey(index, options, present, base, version, known, pending)
    targets = targets_of([expand_home(Path(path)) for path in paths])
    _settle_exceptions(survey, targets)
    Comparison(survey, ledger).make([*targets, *_remembered_targets(survey, paths, ledger)])
    if survey.present and options.rebuild_with:
        _note_left_behind(survey, survey.present, ledger)
    if not (survey.candidates or survey.unchanged or survey.known_bad or survey.back):
        looked_in = ", ".join(map(str, paths or survey.empty))
        if not looked_in:
            message = f"index '{index_name(index)}' covers no folder any more"
            raise NothingFound(message, hint=index_command(index, "./photos"))
        raise NothingFound(f"no photos found in {looked_in}", hint=_how_to_go_on(survey))
    return survey


def _how_to_go_on(survey: Survey) -> str | None:
    """What to do where there is no picture, if that may not be as it is meant."""
    if survey.linked:
        return GIVE_LINKED
    if survey.videos:
        return ONLY_VIDEOS
    if survey.present and survey.options.excludes:
        remove = index_command(survey.index, "PATH", command="remove")
        return f"an --exclude that leaves none is not remembered; to take photos out of the index: {remove}"
    if survey.excludes and any(map(_has_pictures, survey.empty)):
        forget = index_command(survey.index, "--forget-excludes")
        return f"earlier runs were told to leave out what is there; to take in all that is left out: {forget}"
    known = [folder for folder in survey.empty if folder in survey.roots.values()]
    return follow_command(survey.index, known[0]) if known else None


def _has_pictures(folder: Path) -> bool:
    return folder.is_dir() and any(discover_images(folder, lambda _path, _reason: None))


def _base(
    index: Path, present: Manifest | None, pending: Manifest | None, rebuild_with: str
) -> tuple[Manifest | None, Ledger | None]:
    """What to compare with: the index; when it is made anew, what a stopped rebuild with this model has left."""
    if not rebuild_with or present is None:
        return present, Ledger(index, LEDGER_FILE) if present else None
    if pending is None or pending.model_fingerprint != rebuild_with:
        return None, None
    return pending, Ledger(index, REBUILD_LEDGER_FILE)


def _settle_exceptions(survey: Survey, targets: Sequence[Target]) -> None:
    """What to leave out of walks and what to take in all the same: of two wishes the later one counts."""
    whole = [target.folder for target in targets if target.names is None]
    if survey.present:
        whole += [root.locate(survey.index) for root in survey.roots_before() if not root.partial]
    survey.options = replace(
        survey.options, excludes=tuple(as_meant(pattern, whole) for pattern in survey.options.excludes)
    )
    new = Excludes(survey.options.excludes)
    excludes, named = list(survey.options.excludes), []
    if survey.present:
        present = survey.present.located(survey.index)
        excludes = [*(() if survey.options.forget_excludes else present.excludes), *excludes]
        named = [path for path in present.named if not new.match_within(path)]
    given = {exclude_of(target.path) for target in targets}  # what was left out is taken in again when it is named
    survey.excludes = tuple(pattern for pattern in dict.fromkeys(excludes) if pattern not in given)
    files = (target.path for target in targets if target.names is not None)
    named += [file.as_posix() for file in files if not _is_met(file, whole, Excludes(survey.excludes))]
    survey.named = tuple(dict.fromkeys(named))
    left_out = Excludes(survey.excludes)
    survey.taken_once = [
        target.folder for target in targets if target.names is None and _is_left_out(target.folder, whole, left_out)
    ]


def _is_left_out(folder: Path, folders: Iterable[Path], excludes: Excludes) -> bool:
    """Whether a walk through one of some folders around a folder passes it over because of a pattern."""
    return any(is_excluded(folder, around, excludes) for around in folders if folder.is_relative_to(around))


def _is_met(file: Path, folders: Iterable[Path], excludes: Excludes) -> bool:
    """Whether a walk meets a file: one of the innermost of some folders around it, or of any one where none is."""
    around = [folder for folder in folders if file.is_relative_to(folder)]
    start = max(around, key=lambda folder: len(folder.parts), default=Path(file.anchor))
    return is_walked(file, start, excludes) and is_image_name(file.name)


def _remembered_targets(survey: Survey, paths: Sequence[str | Path], ledger: Ledger | None) -> list[Target]:
    """What the index covers, where that is to be walked too."""
    targets: list[Target] = []
    if survey.present is None or (paths and not survey.options.rebuild_with):
        return targets
    known, bad = survey.known, ledger
    if survey.base is not survey.present:  # what a rebuild has to read again, the present table knows
        known, bad = known_to(survey.present, survey.index), Ledger(survey.index)
    for root in survey.roots_before():
        key, folder = root.key, root.locate(survey.index)
        if not folder.is_dir() or (survey.options.rebuild_with and _is_unmounted(folder)):
            survey.empty.append(folder)
        elif root.partial:
            in_ledger = (entry.path for entry in bad or () if entry.root == key)
            if names := {*known.paths_in(key), *in_ledger}:  # a root of its own may have taken all
                targets.append(Target(folder, tuple(sorted(names))))
        else:
            targets.append(Target(folder))
    if survey.options.rebuild_with:
        _refuse_empty_folders(survey, survey.present, known, paths)
    return targets


def _refuse_empty_folders(survey: Survey, present: Manifest, known: KnownFiles, paths: Sequence[str | Path]) -> None:
    """Refuse a rebuild if a root, or a folder inside one, is empty or not there from which the index has photos."""
    roots = present.locate_roots(survey.index)
    empty = EmptyFolders(roots, Excludes(survey.excludes))
    for root, folder in known.folders():
        if root not in roots:  # verify names rows of such, which nobody can find, and a rebuild as their remedy
            continue
        place = (root, "") if roots[root] in survey.empty else empty.around(root, folder)
        stamps = known.stamps(root, folder).values()
        if place and any(len(stamp) == 2 for stamp in stamps):  # all missing is no loss
            _leave_out(survey, present, roots[root] / place[1], paths)


def photos_at_stake(survey: Survey, unread: Iterable[Place]) -> int:
    """The number of photos that a rebuild must not leave behind: they may be fine, as on a drive that has gone away.

    Args:
        survey: What the rebuild follows from.
        unread: Places of files that have vanished since, or that the system did not let read.
    """
    present = survey.present
    if present is None or not survey.options.rebuild_with or latest_version(survey.index, present.table) is None:
        return 0
    known = known_to(present, survey.index)
    paths = {root: set(known.paths_in(root)) for root in survey.roots}
    unread_folders = [path for path, _ in survey.skipped]
    hidden = (path for path in survey.left_behind if any(map(Path(path).is_relative_to, unread_folders)))
    return sum(path in paths[root] for root, path in unread) + sum(1 for _ in hidden)


def _note_left_behind(survey: Survey, present: Manifest, ledger: Ledger | None) -> None:
    """Note the photos of the present table that the one to be made does not get, nor call unreadable."""
    roots = survey.roots
    kept = {f"{roots[file.root]}/{file.path}" for file in survey.candidates}
    kept.update(_whole_paths(survey.known, roots))
    kept.update(f"{roots[entry.root]}/{entry.path}" for entry in ledger or () if entry.root in roots)
    known, excludes = known_to(present, survey.index), Excludes(survey.excludes)
    for key, root in roots.items():
        left = [path for path in known.paths_in(key) if f"{root}/{path}" not in kept]
        excluded = {path for path in left if is_excluded(root / path, root, excludes)}
        survey.excluded += [(key, path) for path in sorted(excluded)]
        survey.left_behind += [f"{root}/{path}" for path in left if path not in excluded]
    survey.left_behind.sort()


def known_to(present: Manifest, index: Path) -> KnownFiles:
    """What the present table of an index knows; what it did if it is lost or damaged, which a rebuild is to mend."""
    try:
        return open_known_files(index, present.table)
    except CocaSearchError:
        return recall_known_files(index, present.table)


def _whole_paths(known: KnownFiles, roots: Mapping[str, Path]) -> Iterator[str]:
    return (f"{roots[key]}/{path}" for key in roots for path in known.paths_in(key))


def _leave_out(survey: Survey, present: Manifest, folder: Path, paths: Sequence[str | Path]) -> None:
    from cocasearch.indexing.repair.recovery import is_lost  # brings LanceDB

    if not is_lost(survey.index, present.table):  # else there is nothing to lose any more
        what = "an empty folder" if folder.is_dir() else "no such folder"
        follow = index_command(survey.index, *(shlex.quote(str(path)) for path in paths))
        remove = index_command(survey.index, shlex.quote(str(folder)), command="remove")
        raise CocaSearchError(
            f"{what}: {folder}; a rebuild would lose its photos",
            hint=f"mount its drive; or first, if they have been moved: {follow}; if they are no more: {remove}",
        )
    if folder not in survey.empty:
        survey.empty.append(folder)


def _is_unmounted(folder: Path) -> bool:
    """Whether a folder holds nothing at all, as where a drive is mounted at other times."""
    try:
        return holds_nothing(folder)
    except OSError:  # it is not there either, or walking through it will tell
        return False
