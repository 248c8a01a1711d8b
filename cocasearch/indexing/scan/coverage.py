"""The folders that an index covers, and which parts of them a run has looked through."""

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path

from cocasearch.images.discovery import is_walked
from cocasearch.images.excludes import Excludes
from cocasearch.indexing.scan.file_listing import Target
from cocasearch.indexing.scan.known_files import Place
from cocasearch.indexing.scan.roots import covered_parts


@dataclass(frozen=True)
class Coverage:
    """The folders that an index covers from a run on.

    Attributes:
        roots: Every root with its present folder by its key.
        partial: Keys of the roots that only single files were taken from.
        empty: Paths without any image file, or that are not there. Nothing under them counts as gone: a drive may not
            be mounted.
        forgotten: Folders that were roots, and whose photos have all moved elsewhere.
        bad_roots: Keys of the roots with unreadable files, which are not forgotten.
    """

    roots: dict[str, Path]
    partial: frozenset[str]
    empty: tuple[Path, ...]
    bad_roots: frozenset[str]
    forgotten: tuple[Path, ...] = ()

    def without_emptied(self, has_photos: Callable[[str], bool]) -> "Coverage":
        """The same without the roots that hold no photo and of which, by their keys, the index has none either."""
        emptied = {
            key: folder
            for key, folder in self.roots.items()
            if folder in self.empty and key not in self.bad_roots and not has_photos(key)
        }
        return replace(
            self,
            roots={key: folder for key, folder in self.roots.items() if key not in emptied},
            partial=self.partial - emptied.keys(),
            empty=tuple(folder for folder in self.empty if folder not in emptied.values()),
            forgotten=(*self.forgotten, *emptied.values()),
        )


def partial_roots(
    roots: Mapping[str, Path], may_be: Iterable[str], walked: Iterable[Path], excludes: Excludes
) -> frozenset[str]:
    """The keys of the roots that only single files were taken from.

    Args:
        roots: Every root with its present folder by its key.
        may_be: Keys of those that are new, or were partial before.
        walked: Folders that have been looked through with all they hold.
        excludes: What was left out.
    """
    walked = list(walked)
    return frozenset(key for key in may_be if key in roots and not _is_walked(roots[key], walked, excludes))


def _is_walked(folder: Path, starts: Iterable[Path], excludes: Excludes) -> bool:
    """Whether a walk from one of the folders `starts` has come to a folder."""
    around = filter(folder.is_relative_to, starts)
    return any(folder == start or is_walked(folder / "x", start, excludes) for start in around)


def looked_through(
    filled: Iterable[Target], roots: Mapping[str, Path], met_roots: Set[str]
) -> tuple[list[Place], list[Path]]:
    """The parts of roots that have been looked through, and the roots among them without any file.

    Of a root within a walked folder, as of any other, something must have been met: where there is nothing, its drive
    may not be mounted.
    """
    covered, without_files = list[Place](), list[Path]()
    for target in filled:
        for key, part in covered_parts(target, roots):
            if part or roots[key] == target.folder or key in met_roots:
                covered.append((key, part))
            else:
                without_files.append(roots[key])
    return covered, without_files
