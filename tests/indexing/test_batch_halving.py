"""Of a batch that fails, only those items are left out that make it fail."""

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.batch_halving import do_without_faulty


def work_on(done: list[int], bad: set[int], error: type[Exception] = ValueError):
    def work(positions: range) -> None:
        if found := bad & set(positions):
            raise error(f"position {min(found)}")
        done.extend(positions)

    return work


@pytest.mark.parametrize("bad", [set(), {0}, {6}, {2, 3}, {0, 1, 2, 4, 5, 6}])
def test_all_but_the_faulty_are_done_once_and_in_order(bad: set[int]) -> None:
    done: list[int] = []
    faults = do_without_faulty(7, work_on(done, bad))
    assert done == [position for position in range(7) if position not in bad]
    assert [(at, str(error)) for at, error in faults] == [(at, f"position {at}") for at in sorted(bad)]


def test_where_every_item_fails_none_is_at_fault() -> None:
    with pytest.raises(ValueError, match="position 0"):
        do_without_faulty(3, work_on([], {0, 1, 2}))


def test_a_single_item_is_at_fault_by_itself() -> None:
    assert [position for position, _ in do_without_faulty(1, work_on([], {0}))] == [0]
    assert do_without_faulty(0, work_on([], {0})) == []


def test_an_error_for_the_user_is_not_looked_for_in_the_items() -> None:
    done: list[int] = []
    with pytest.raises(CocaSearchError):
        do_without_faulty(4, work_on(done, {3}, CocaSearchError))
    assert done == []
