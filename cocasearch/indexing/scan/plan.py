"""A survey of folders in, what a run has to do out: the second half of a plan.

Reads those files whose size is one that the table knows, to see whether their content is known: what has only been
moved, copied or touched keeps its vector and caption. Changes nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import status_of
from cocasearch.indexing.compressed_list import CompressedList
from cocasearch.indexing.scan.known_files import Place
from cocasearch.indexing.scan.survey import Candidate, Survey

if TYPE_CHECKING:
    from cocasearch.indexing.store.table import IndexTable

_FILES_AT_ONCE = 2_000
_FOLDERS_AT_HAND = 16
_LINKED = "linked folders not followed"

Progress = Callable[[int, int], None]
"""Called with the number of files done and their total."""


class Reuse(NamedTuple):
    """A file whose content the table knows, and the id of a row that holds it; the hash is None if nobody looked."""

    file: Candidate
    content_hash: str | None
    donor: str

    def fits(self, held: str | None) -> bool:
        """Whether the donor still holds that content, by its row's hash; None if there is no such row any more."""
        return held is not None and self.content_hash in (None, held)


@dataclass
class BuildPlan:
    """What a run has to do.

    Attributes:
        survey: What it follows from, with what is back, unchanged and known to be bad.
        new: Files to describe that the table has no row for.
        changed: Files to describe whose row is outdated.
        moved: Files whose content was known in a place that is gone, or in a root around a new one, and whose row they
            take over.
        copied: Files whose content is known in another place too.
        touched: Files whose content is that of their row, though their time of change is not.
        gone: Places whose file is not there any more, nor anywhere else.
        excluded: Places whose file is left out from now on.
        still_missing: Places of which that was known before.
        unmounted: Empty folders inside roots whose photos, not found anywhere else, stay in the index.
    """

    survey: Survey
    new: CompressedList[Candidate] = field(default_factory=CompressedList)
    changed: CompressedList[Candidate] = field(default_factory=CompressedList)
    moved: list[Reuse] = field(default_factory=list)
    copied: list[Reuse] = field(default_factory=list)
    touched: list[Reuse] = field(default_factory=list)
    gone: list[Place] = field(default_factory=list)
    excluded: list[Place] = field(default_factory=list)
    still_missing: list[Place] = field(default_factory=list)
    unmounted: list[Place] = field(default_factory=list)

    @property
    def needs_model(self) -> bool:
        """Whether there are files that the model has to see."""
        return bool(self.changed or self.new)

    def to_describe(self) -> Iterator[Candidate]:
        """The files that the model has to see."""
        return chain(self.changed, self.new)

    def paths(self) -> dict[str, list[str]]:
        """The files of each kind that there is something to do for, by the kind's name."""
        files: dict[str, Iterable[Candidate]] = {"new": self.new, "changed": self.changed}
        files |= {kind: [reuse.file for reuse in getattr(self, kind)] for kind in ("moved", "copied", "touched")}
        places = {kind: [(file.root, file.path) for file in listed] for kind, listed in files.items()}
        places |= {"gone": self.gone, "excluded": self.excluded, "back": self.survey.back}
        paths = {kind: self.survey.whole_paths(listed) for kind, listed in places.items()}
        empty = [*map(str, self.survey.empty), *self.unmounted_paths()]
        return paths | {
            "left behind": self.survey.left_behind,
            "empty": empty,
            _LINKED: list(map(str, self.survey.linked)),
        }

    def unmounted_paths(self) -> list[str]:
        """The whole paths of `unmounted`."""
        return self.survey.whole_paths(self.unmounted)

    def counts(self) -> dict[str, int]:
        """The number of files of each kind, by the kind's name."""
        survey = self.survey
        kinds = ("new", "changed", "moved", "copied", "touched", "gone", "excluded")
        return {
            **{kind: len(getattr(self, kind)) for kind in kinds},
            "back": len(survey.back),
            "missing": len(self.still_missing),
            "bad": survey.known_bad,
            "unchanged": survey.unchanged,
            "left behind": len(survey.left_behind),
            _LINKED: len(survey.linked),
        }


def make_plan(survey: Survey, progress: Progress | None = None, *, keep_hashes: bool = False) -> BuildPlan:
    """Look into the files that may have been moved, copied or touched.

    Args:
        survey: What was found.
        progress: Called with the number of files looked into and their total.
        keep_hashes: Whether to note in the index folder what files hold, for the next plan if this run is stopped.
    """
    plan = BuildPlan(
        survey,
        gone=survey.gone,
        excluded=survey.excluded,
        still_missing=survey.still_missing,
        unmounted=survey.unmounted,
    )
    twins = dict(_find_twins(survey))
    sizes = survey.known.sizes_among({file.size for file in survey.candidates})
    alike: list[Candidate] = []
    for file in survey.candidates:
        if file.size not in sizes:
            (plan.changed if file.known else plan.new).append(file)
        elif file not in twins:
            alike.append(file)
    if (alike or twins) and survey.base:
        from cocasearch.indexing.store.table import (
            IndexTable,  # brings LanceDB, which most runs without new files do without
        )

        matching = _Matching(plan, IndexTable(survey.index, survey.base.table))
        matching.adopt(twins)
        matching.match(alike, keep_hashes, progress)
        matching.finish()
        plan.new = CompressedList(sorted(plan.new))  # as they were met
        plan.changed = CompressedList(sorted(plan.changed))
    return plan


def _find_twins(survey: Survey) -> Iterator[tuple[Candidate, Place]]:
    """New files that the table knows, unchanged, at the same whole path: in a partial root around a new one."""
    roots, stamps_in = survey.roots, lru_cache(_FOLDERS_AT_HAND)(survey.known.file_stats)
    around = {
        key: [
            (outer, folder.relative_to(roots[outer]).as_posix())
            for outer in survey.partial
            if outer != key and folder.is_relative_to(roots[outer])
        ]
        for key, folder in roots.items()
    }
    for file in survey.candidates:
        for outer, inside in around[file.root] if not file.known else ():
            path = f"{inside}/{file.path}"
            folder, _, name = path.rpartition("/")
            if stamps_in(outer, folder).get(name, [])[:2] == [file.size, file.mtime_ns]:
                yield file, (outer, path)
                break


class _Holder(NamedTuple):
    """A row of some content."""

    id: str
    root: str
    path: str


class _Matching:
    """Finds files in a table by their content."""

    def __init__(self, plan: BuildPlan, table: "IndexTable") -> None:
        from cocasearch.indexing.store.records import record_id

        self._plan = plan
        self._table = table
        self._roots = plan.survey.roots
        self._absent = {record_id(*place): place for place in (*plan.gone, *plan.still_missing)}
        self._taken: set[str] = set()
        self._id_of = record_id

    def adopt(self, twins: Mapping[Candidate, Place]) -> None:
        """Let files take over the rows of others."""
        for file, place in twins.items():
            donor = self._id_of(*place)
            self._taken.add(donor)
            self._plan.moved.append(Reuse(file, None, donor))

    def match(self, files: list[Candidate], keep_hashes: bool, progress: Progress | None) -> None:
        """Find out what files hold, and which rows do."""
        from cocasearch.indexing.scan.hashing import Hashes

        hashes = Hashes(self._plan.survey.index, keep=keep_hashes)
        for start in range(0, len(files), _FILES_AT_ONCE):
            some = files[start : start + _FILES_AT_ONCE]
            found = {}
            for file, content_hash in hashes.of(some, self._roots):
                found[file] = content_hash
                if progress:
                    progress(start + len(found), len(files))
            self._match(found)

    def finish(self) -> None:
        """Leave out of what is gone what has been found elsewhere."""
        moved_from = {self._absent[id] for id in self._taken if id in self._absent}
        self._plan.gone = [place for place in self._plan.gone if place not in moved_from]
        self._plan.still_missing = [place for place in self._plan.still_missing if place not in moved_from]
        self._plan.unmounted = list(filter(self._keeps_photos, self._plan.unmounted))
        if not self._plan.survey.options.rebuild_with:
            self._plan.survey.forget_emptied(lambda root: self._keeps_photos((root, "")))

    def _keeps_photos(self, folder: Place) -> bool:
        """Whether not every photo that was below a folder has been found elsewhere."""
        root, path = folder
        below = (
            known
            for known in self._plan.survey.known.paths_in(root)
            if f"/{known}".startswith(f"/{path}/" if path else "/")
        )
        return any(self._id_of(root, known) not in self._taken for known in below)

    def _match(self, hashes: dict[Candidate, str]) -> None:
        holders: dict[str, list[_Holder]] = {}
        for content_hash, *holder in self._table.holders_of(sorted({hash for hash in hashes.values() if hash})):
            holders.setdefault(content_hash, []).append(_Holder(*holder))
        for file, content_hash in hashes.items():
            self._place(file, content_hash, sorted(holders.get(content_hash, ())))

    def _place(self, file: Candidate, content_hash: str, holders: list[_Holder]) -> None:
        plan, own = self._plan, self._id_of(file.root, file.path)
        if not holders:
            (plan.changed if file.known else plan.new).append(file)
        elif any(holder.id == own for holder in holders):
            plan.touched.append(Reuse(file, content_hash, own))
        elif absent := next(filter(self._is_absent, holders), None):
            self._taken.add(absent.id)
            plan.moved.append(Reuse(file, content_hash, absent.id))
        else:
            plan.copied.append(Reuse(file, content_hash, holders[0].id))

    def _is_absent(self, holder: _Holder) -> bool:
        """Whether the file of a row that is still to be had is not there, wherever this run has walked."""
        if holder.id in self._taken:
            return False
        if holder.id in self._absent:
            return True
        try:
            return holder.root in self._roots and status_of(self._roots[holder.root] / holder.path) is None
        except CocaSearchError:  # the system does not say
            return False
