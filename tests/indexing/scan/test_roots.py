"""Each folder belongs to the innermost root around it, and a new root is made only where none is around."""

from pathlib import Path

import pytest

from cocasearch.images.excludes import NO_EXCLUDES, Excludes
from cocasearch.indexing.scan.file_listing import Target
from cocasearch.indexing.scan.roots import (
    Coverage,
    assign_roots,
    extend_roots,
    looked_through,
    new_key,
    partial_roots,
)

PHOTOS, TRIP, OTHER = Path("/photos"), Path("/photos/trip"), Path("/other")


@pytest.mark.parametrize(
    ("targets", "partial", "extended"),
    [
        ([Target(TRIP)], set(), {"1": PHOTOS}),
        ([Target(OTHER)], set(), {"1": PHOTOS, "2": OTHER}),
        ([Target(OTHER / "sub"), Target(OTHER)], set(), {"1": PHOTOS, "2": OTHER}),
        ([Target(TRIP)], {"1"}, {"1": PHOTOS, "2": TRIP}),
        ([Target(PHOTOS)], {"1"}, {"1": PHOTOS}),
        ([Target(TRIP, ("a.jpg",))], {"1"}, {"1": PHOTOS}),
    ],
)
def test_a_target_gets_a_root_that_holds_all_of_it(
    targets: list[Target], partial: set[str], extended: dict[str, Path]
) -> None:
    assert extend_roots({"1": PHOTOS}, targets, partial) == extended


def test_keys_are_new_though_others_are_gone() -> None:
    assert extend_roots({"1": PHOTOS}, [Target(OTHER)], taken={"7"}) == {"1": PHOTOS, "8": OTHER}
    assert (new_key([]), new_key(["9", "10"])) == ("1", "11")


def test_folders_belong_to_the_innermost_root() -> None:
    listed = [("", []), ("trip", []), ("trip/day", []), ("trip2", [])]
    roots = {"1": PHOTOS, "2": TRIP, "3": OTHER}
    assert [place[:2] for place in assign_roots(listed, PHOTOS, roots)] == [
        ("1", ""), ("2", ""), ("2", "day"), ("1", "trip2"),
    ]  # fmt: skip
    inside = assign_roots([("", []), ("x", [])], TRIP / "day", {"1": PHOTOS, "2": TRIP})
    assert [place[:2] for place in inside] == [("2", "day"), ("2", "day/x")]


def test_a_root_stays_partial_until_it_is_walked() -> None:
    roots = {"1": PHOTOS, "2": TRIP, "3": OTHER}
    assert partial_roots(roots, ["2", "3", "4"], [PHOTOS], NO_EXCLUDES) == {"3"}
    assert partial_roots(roots, ["2"], [PHOTOS], Excludes(["trip"])) == {"2"}
    assert partial_roots(roots, ["2"], [TRIP], Excludes(["trip"])) == set()


def test_a_root_in_which_nothing_was_met_may_not_be_mounted() -> None:
    roots = {"1": PHOTOS, "2": TRIP}
    assert looked_through([Target(PHOTOS)], roots, set()) == ([("1", "")], [TRIP])
    assert looked_through([Target(PHOTOS)], roots, {"2"}) == ([("1", ""), ("2", "")], [])
    assert looked_through([Target(TRIP / "day")], roots, set()) == ([("1", "trip/day"), ("2", "day")], [])
    assert looked_through([Target(PHOTOS, ("a.jpg",), whole=False)], roots, set()) == ([], [])


def test_an_empty_root_of_which_nothing_is_known_is_dropped() -> None:
    coverage = Coverage({"1": PHOTOS, "2": TRIP, "3": OTHER}, frozenset({"2"}), (TRIP, OTHER))
    assert coverage.without_emptied(lambda key: key == "3") == Coverage(
        {"1": PHOTOS, "3": OTHER}, frozenset(), (OTHER,)
    )
