"""What a run did, in numbers."""

from collections import Counter
from dataclasses import dataclass

from cocasearch.indexing.scan.changes import Change
from cocasearch.indexing.scan.known_files import KnownFiles
from cocasearch.indexing.scan.plan import BuildPlan


@dataclass(frozen=True)
class BuildReport:
    """What a run did.

    The number of files of each kind is an attribute, too, such as `report.added`: see `Change` for the kinds.

    Attributes:
        counts: The number of files of each kind.
        failed: Path and reason of each file found unreadable in this run, and of what the walk had to leave out.
        empty: Paths without any image file, whose images, if the index has some, were kept.
        unmounted: Empty folders inside roots whose images were kept.
        left_behind: Images of the old table that a rebuild has not met, and the new one has not.
        videos: Videos that were passed over.
        total: Images in the index now.
        missing: Images kept back because their file is gone.
        vanished: Files that were gone when their turn came.
        awaited: Photos of the index that could not be read now, for which a rebuild waits: the index is the old one.
        captionless: Images in the index without a caption, if this run was to write captions; else 0.
        seconds: From the plan to the complete index.
    """

    counts: Counter[Change]
    failed: tuple[tuple[str, str], ...]
    empty: tuple[str, ...]
    unmounted: tuple[str, ...]
    left_behind: tuple[str, ...]
    videos: int
    total: int
    missing: int
    vanished: int = 0
    awaited: int = 0
    captionless: int = 0
    seconds: float = 0.0

    def __getattr__(self, name: str) -> int:
        """The number of files of the kind of that name."""
        if name.upper() in Change.__members__:
            return self.counts[Change[name.upper()]]
        raise AttributeError(f"a report has no {name}")

    @property
    def images_per_second(self) -> float:
        """Images read, described and stored per second."""
        return (self.added + self.updated) / self.seconds if self.seconds else 0.0


def report_on(plan: BuildPlan, known: KnownFiles, *, captions: bool) -> BuildReport:
    """The report of a run that has found no file to do anything for.

    Args:
        plan: What the run was to do.
        known: What the index knows at its end.
        captions: Whether the run was to write captions.
    """
    scan, counts, failed = plan.scan, known.counts, tuple(plan.scan.files.passed_over.skipped)
    return BuildReport(
        counts=scan.files.counts + Counter({Change.UNREADABLE: len(failed)}),
        failed=failed,
        empty=tuple(map(str, plan.coverage.empty)),
        unmounted=tuple(scan.whole_paths(plan.unmounted)),
        left_behind=scan.left_behind,
        videos=len(scan.files.passed_over.videos),
        total=counts.present,
        missing=counts.missing - known.count_excluded(plan.coverage.roots, scan.rules.excludes),
        captionless=counts.captionless if captions else 0,
    )
