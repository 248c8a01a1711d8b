"""What a run did, in numbers."""

from dataclasses import dataclass

from cocasearch.indexing.scan.survey import Survey


@dataclass(frozen=True)
class BuildReport:
    """What a run did.

    Attributes:
        added: Images that are new in the index.
        updated: Images whose file had changed.
        moved: Images found again in another place, with nothing to describe.
        copied: Images whose content the index had already, with nothing to describe.
        touched: Images whose file has a new time of change and nothing else.
        back: Images that had been missing and are there again.
        gone: Images hidden because their file is gone.
        excluded: Images hidden because their file is left out from now on.
        removed: Images taken out: gone ones that were pruned, and those whose file cannot be read any more.
        unchanged: Images that needed nothing.
        failed: Path and reason of each file found unreadable in this run, and of what the walk had to leave out.
        known_bad: Number of files found unreadable in an earlier run and not changed since; not tried again.
        empty: Paths without any image file, whose images, if the index has some, were kept.
        unmounted: Empty folders inside roots whose images were kept.
        left_behind: Images of the old table that a rebuild has not met, and the new one has not.
        videos: Videos that were passed over.
        total: Images in the index now.
        missing: Images kept back because their file is gone.
        vanished: Files that were gone when their turn came.
        awaited: Photos of the index that could not be read now, for which a rebuild waits: the index is the old one.
        captionless: Images in the index without a caption, if this run was to write captions; else 0.
        seconds: From the end of the walk to the complete index.
    """

    added: int = 0
    updated: int = 0
    moved: int = 0
    copied: int = 0
    touched: int = 0
    back: int = 0
    gone: int = 0
    excluded: int = 0
    removed: int = 0
    unchanged: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    known_bad: int = 0
    empty: tuple[str, ...] = ()
    unmounted: tuple[str, ...] = ()
    left_behind: tuple[str, ...] = ()
    videos: int = 0
    total: int = 0
    missing: int = 0
    vanished: int = 0
    awaited: int = 0
    captionless: int = 0
    seconds: float = 0.0

    @property
    def images_per_second(self) -> float:
        """Images read, described and stored per second."""
        return (self.added + self.updated) / self.seconds if self.seconds else 0.0


def report_nothing_to_do(survey: Survey, *, captions: bool) -> BuildReport:
    """The report of a run that found the index up to date."""
    counts = survey.known.counts
    return BuildReport(
        unchanged=survey.unchanged,
        failed=tuple(survey.skipped),
        known_bad=survey.known_bad,
        empty=tuple(map(str, survey.empty)),
        unmounted=tuple(survey.whole_paths(survey.unmounted)),
        videos=len(survey.videos),
        total=counts.present,
        missing=counts.missing - survey.known.count_excluded(survey.roots, survey.excludes),
        captionless=counts.captionless if captions else 0,
    )
