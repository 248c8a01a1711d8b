from collections import Counter

import pytest

from cocasearch.indexing.report import BuildReport
from cocasearch.indexing.scan.changes import Change


@pytest.fixture
def report() -> BuildReport:
    counts = Counter({Change.ADDED: 3, Change.UPDATED: 1, Change.KNOWN_BAD: 2, Change.MISSING: 9})
    return BuildReport(counts, (), (), (), (), videos=0, total=4, missing=5, seconds=2.0)


def test_the_number_of_each_kind_is_an_attribute(report: BuildReport) -> None:
    assert (report.added, report.updated, report.known_bad, report.moved) == (3, 1, 2, 0)
    assert report.missing == 5  # all that the index keeps back, and not those that this run met
    assert not hasattr(report, "coloured")


def test_speed_counts_what_was_described(report: BuildReport) -> None:
    assert report.images_per_second == 2.0
