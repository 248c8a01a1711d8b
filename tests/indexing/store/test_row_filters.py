"""Conditions choose the rows that are meant, whatever is in a path."""

import pytest

from cocasearch.indexing.store.row_filters import ROWS_PER_CHANGE, below, conditions


def test_many_values_are_asked_for_in_parts() -> None:
    parts = list(conditions([f"{number:x}" for number in range(ROWS_PER_CHANGE + 1)]))
    assert [part.count(",") + 1 for part in parts] == [ROWS_PER_CHANGE, 1]
    assert parts[1] == f"id IN ('{ROWS_PER_CHANGE:x}')"
    assert list(conditions([3, 5], "fragment")) == ["fragment IN (3, 5)"]
    assert list(conditions([])) == []


@pytest.mark.parametrize(
    ("path", "condition"),
    [
        ("", "root = '1'"),
        ("sub", "root = '1' AND (path = 'sub' OR starts_with(path, 'sub/'))"),
        ("it's", "root = '1' AND (path = 'it''s' OR starts_with(path, 'it''s/'))"),
    ],
)
def test_a_place_in_a_root_is_a_condition(path: str, condition: str) -> None:
    assert below("1", path) == condition
