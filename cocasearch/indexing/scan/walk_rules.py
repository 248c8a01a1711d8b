"""What walks leave out and what they take in all the same: of two wishes the later one counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cocasearch.images.discovery import is_excluded, is_image_name, is_walked
from cocasearch.images.excludes import Excludes, as_meant
from cocasearch.indexing.scan.file_listing import Target
from cocasearch.indexing.scan.index_state import IndexState
from cocasearch.indexing.scan.update_options import UpdateOptions
from cocasearch.indexing.store.manifest import exclude_of


@dataclass(frozen=True)
class WalkRules:
    """What walks leave out and what they take in all the same.

    Attributes:
        new: Those of `excludes` that this run was told.
        excludes: Patterns that are left out, to be remembered.
        named: Whole paths of files that are taken though a walk leaves them out, to be remembered.
        taken_once: Folders that were given though a pattern of an earlier run leaves them out of the one around them.
    """

    new: tuple[str, ...]
    excludes: tuple[str, ...]
    named: tuple[str, ...]
    taken_once: tuple[Path, ...]


def settle_rules(state: IndexState, options: UpdateOptions, targets: Sequence[Target]) -> WalkRules:
    """The rules of a run: those that the index remembers, as far as they hold still, and those that were given."""
    folders = [target.folder for target in targets if target.names is None]
    files = [target.path for target in targets if target.names is not None]
    walked = folders + [root.locate(state.index) for root in state.roots() if not root.partial]
    new = tuple(as_meant(pattern, walked) for pattern in options.excludes)
    excludes, named = list(new), list[str]()
    if state.present:
        present = state.present.located(state.index)
        excludes = [*(() if options.forget_excludes else present.excludes), *new]
        named = [path for path in present.named if not Excludes(new).match_within(path)]
    given = {exclude_of(target.path) for target in targets}  # what was left out is taken in again when it is named
    excludes = [pattern for pattern in dict.fromkeys(excludes) if pattern not in given]
    compiled = Excludes(excludes)
    named += [file.as_posix() for file in files if not _is_met(file, walked, compiled)]
    taken_once = (folder for folder in folders if _is_left_out(folder, walked, compiled))
    return WalkRules(new, tuple(excludes), tuple(dict.fromkeys(named)), tuple(taken_once))


def _is_left_out(folder: Path, walked: Iterable[Path], excludes: Excludes) -> bool:
    """Whether a walk through one of the folders around a folder passes it over because of a pattern."""
    return any(is_excluded(folder, around, excludes) for around in walked if folder.is_relative_to(around))


def _is_met(file: Path, walked: Iterable[Path], excludes: Excludes) -> bool:
    """Whether a walk meets a file: from the innermost of the folders around it, or from any one where none is."""
    around = [folder for folder in walked if file.is_relative_to(folder)]
    start = max(around, key=lambda folder: len(folder.parts), default=Path(file.anchor))
    return is_walked(file, start, excludes) and is_image_name(file.name)
