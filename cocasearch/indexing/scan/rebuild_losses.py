"""Photos that a rebuild must not lose unasked: those of drives that are not mounted now, and what has vanished."""

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import is_excluded
from cocasearch.images.excludes import Excludes
from cocasearch.indexing.scan.file_comparison import Candidate
from cocasearch.indexing.scan.index_state import IndexState
from cocasearch.indexing.scan.known_files import Place
from cocasearch.indexing.scan.unmounted import UnmountedFolders
from cocasearch.indexing.store.manifest import Manifest, index_command


def refuse_losses(
    state: IndexState, present: Manifest, excludes: Excludes, absent: Collection[Path], paths: Sequence[str]
) -> list[Path]:
    """Refuse a rebuild if a root, or a folder inside one, is empty or not there from which the index has photos.

    Args:
        state: The index.
        present: Its manifest.
        excludes: What is left out.
        absent: Roots that are empty or not there.
        paths: Those that the user has given.

    Returns:
        The empty folders inside roots, where the table is lost, and with it all that there was to lose.

    Raises:
        CocaSearchError: The rebuild would lose photos.
    """
    roots, known = present.locate_roots(state.index), state.present_files()
    unmounted, lost = UnmountedFolders(roots, excludes), list[Path]()
    for root, folder in known.folders():
        if root not in roots:  # verify names rows of such, which nobody can find, and a rebuild as their remedy
            continue
        place = (root, "") if roots[root] in absent else unmounted.around(root, folder)
        if place and any(len(stat) == 2 for stat in known.file_stats(root, folder).values()):  # all missing is no loss
            lost.append(roots[root] / place[1])
            _refuse_loss(state.index, present, lost[-1], paths)
    return lost


def _refuse_loss(index: Path, present: Manifest, folder: Path, paths: Sequence[str]) -> None:
    from cocasearch.indexing.repair.recovery import is_lost  # brings LanceDB

    if not is_lost(index, present.table):  # else there is nothing to lose any more
        what = "an empty folder" if folder.is_dir() else "no such folder"
        follow = index_command(index, *map(shlex.quote, paths))
        remove = index_command(index, shlex.quote(str(folder)), command="remove")
        raise CocaSearchError(
            f"{what}: {folder}; a rebuild would lose its photos",
            hint=f"mount its drive; or first, if they have been moved: {follow}; if they are no more: {remove}",
        )


def photos_left_behind(
    state: IndexState, roots: Mapping[str, Path], candidates: Iterable[Candidate], excludes: Excludes
) -> tuple[list[Place], list[str]]:
    """The photos of the present table that the one to be made does not get, nor call unreadable.

    Returns:
        The places of those that patterns leave out, and the whole paths of the others, in order.
    """
    kept = {f"{roots[file.root]}/{file.path}" for file in candidates}
    kept.update(f"{roots[key]}/{path}" for key in roots for path in state.known.paths_in(key))
    kept.update(f"{roots[entry.root]}/{entry.path}" for entry in state.unreadable or () if entry.root in roots)
    known, excluded, left = state.present_files(), list[Place](), list[str]()
    for key, root in roots.items():
        for path in sorted(path for path in known.paths_in(key) if f"{root}/{path}" not in kept):
            if is_excluded(root / path, root, excludes):
                excluded.append((key, path))
            else:
                left.append(f"{root}/{path}")
    return excluded, sorted(left)
