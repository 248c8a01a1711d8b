"""Lists of many things: they give back what they were given, in order, in a fraction of its memory."""

import pickle

import pytest

from cocasearch.indexing.compressed_list import CompressedList
from cocasearch.indexing.scan.file_comparison import Candidate


@pytest.mark.parametrize("count", [0, 1, 1_023, 1_024, 3_000])
def test_items_come_in_order_as_often_as_asked_for(count: int) -> None:
    files = [Candidate("1", f"ä/{number}.jpg", number, 10**18 + number, number % 2 == 0) for number in range(count)]
    packed = CompressedList(files[:2])
    for file in files[2:]:
        packed.append(file)
    assert len(packed) == count
    assert bool(packed) == bool(files)
    assert [list(packed), list(packed)] == [files, files]


def test_only_the_last_items_stay_as_they_are() -> None:
    files = [Candidate("1", f"2019/IMG_{number}.jpg", number, 10**18 + number, False) for number in range(10_240)]
    assert len(pickle.dumps(CompressedList(files))) < 25 * len(files)
