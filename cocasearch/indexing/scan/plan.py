"""The plan of a run: what has become of each file, and so what there is to describe, to store and to hide."""

from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import chain

from cocasearch.indexing.compressed_list import CompressedList
from cocasearch.indexing.scan.changes import Change
from cocasearch.indexing.scan.file_comparison import Candidate
from cocasearch.indexing.scan.folder_scan import Scan
from cocasearch.indexing.scan.known_files import Place
from cocasearch.indexing.scan.moved_files import MovedFiles, Progress, Reuse
from cocasearch.indexing.scan.roots import Coverage


@dataclass(frozen=True)
class BuildPlan:
    """What a run has to do.

    Attributes:
        scan: What it follows from.
        coverage: The folders that the index covers from now on.
        to_describe: New files that the table has no row for, and changed ones whose row is outdated.
        reuses: Files that were moved, copied or touched, each with the row that it takes over.
        places: The places of files that are back, gone, excluded or still missing.
        unmounted: Empty folders inside roots whose photos, not found anywhere else, stay in the index.
    """

    scan: Scan
    coverage: Coverage
    to_describe: Mapping[Change, CompressedList[Candidate]]
    reuses: Mapping[Change, Sequence[Reuse]]
    places: Mapping[Change, Sequence[Place]]
    unmounted: Sequence[Place]

    @property
    def needs_model(self) -> bool:
        """Whether there are files that the model has to see."""
        return any(self.to_describe.values())

    @property
    def n_pruned(self) -> int:
        """The number of photos that the index is to forget because they are gone."""
        kinds = (Change.GONE, Change.EXCLUDED, Change.MISSING)
        return sum(len(self.places[change]) for change in kinds) if self.scan.options.prune else 0

    def counts(self) -> dict[str, int]:
        """The number of files of each kind, by the word for it in a plan."""
        scan = self.scan
        counts = {change: len(files) for kinds in self._kinds() for change, files in kinds.items()}
        counts |= {change: scan.files.counts[change] for change in (Change.KNOWN_BAD, Change.UNCHANGED)}
        counts |= {Change.LEFT_BEHIND: len(scan.left_behind), Change.LINKED: len(scan.files.passed_over.linked)}
        return {change.planned: count for change, count in counts.items()}

    def paths(self) -> dict[str, list[str]]:
        """The whole paths of the files of each kind that there is something to do for, by the word for it in a plan."""
        scan = self.scan
        files = {change: [file[:2] for file in files] for change, files in self.to_describe.items()}
        files |= {change: [reuse.file[:2] for reuse in reuses] for change, reuses in self.reuses.items()}
        paths = {change.planned: scan.whole_paths(places) for change, places in (files | dict(self.places)).items()}
        return paths | {
            Change.LEFT_BEHIND.planned: list(scan.left_behind),
            Change.LINKED.planned: list(map(str, scan.files.passed_over.linked)),
            "empty": [*map(str, self.coverage.empty), *scan.whole_paths(self.unmounted)],
        }

    def _kinds(self) -> Iterator[Mapping[Change, Sized]]:
        yield from (self.to_describe, self.reuses, self.places)


def make_plan(scan: Scan, progress: Progress | None = None, *, keep_hashes: bool = False) -> BuildPlan:
    """Look into the files that may have been moved, copied or touched.

    Args:
        scan: What the folders hold.
        progress: Called with the number of files looked into and their total.
        keep_hashes: Whether to note in the index folder what files hold, for the next plan if this run is stopped.
    """
    state = scan.state
    to_describe = {change: CompressedList[Candidate]() for change in (Change.ADDED, Change.UPDATED)}
    known_sizes = state.known.sizes_among({file.size for file in scan.files.candidates})
    alike: list[Candidate] = []
    for file in scan.files.candidates:
        if file.size not in known_sizes:
            to_describe[Change.UPDATED if file.known else Change.ADDED].append(file)
        else:
            alike.append(file)
    moved = MovedFiles(scan)
    moved.match(alike, progress, keep_hashes=keep_hashes)
    if moved.unknown:
        files = sorted(chain(*to_describe.values(), moved.unknown))  # as they were met
        to_describe = {
            Change.ADDED: CompressedList(file for file in files if not file.known),
            Change.UPDATED: CompressedList(file for file in files if file.known),
        }
    known_places = scan.files.places.items()
    places = {change: [place for place in listed if place not in moved.taken] for change, listed in known_places}

    def keeps_photos(root: str, folder: str = "") -> bool:
        """Whether not every photo that was below a folder has been found elsewhere."""
        below = f"{folder}/" if folder else ""
        paths = (path for path in state.known.paths_in(root) if path.startswith(below))
        return any((root, path) not in moved.taken for path in paths)

    coverage, bad_roots = scan.coverage, state.bad_roots()
    if not scan.options.rebuild_with:
        coverage = coverage.without_emptied(lambda root: root in bad_roots or keeps_photos(root))
    unmounted = [place for place in sorted(scan.files.unmounted) if keeps_photos(*place)]
    return BuildPlan(scan, coverage, to_describe, moved.reuses, places, unmounted)
