"""JSON becomes values of the types that are expected, or is refused with a reason."""

from dataclasses import dataclass

import pytest

from cocasearch.json_values import build, parse_json


@dataclass(frozen=True)
class Scales:
    image: float
    text: float | None = None
    sides: tuple[int, ...] = ()


@dataclass(frozen=True)
class Holder:
    scales: Scales
    name: str = ""


def test_whole_numbers_stand_for_fractions() -> None:
    scales = build(Scales, {"image": 1, "text": 2})
    assert (scales.image, scales.text) == (1.0, 2.0)
    assert isinstance(scales.image, float) and isinstance(scales.text, float)


def test_objects_within_objects_are_built() -> None:
    holder = build(Holder, {"scales": {"image": 0.5, "sides": [3, 4]}, "name": "a"})
    assert holder == Holder(Scales(0.5, None, (3, 4)), "a")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "is no JSON object"),
        ({}, "it lacks 'scales'"),
        ({"scales": {"image": "wide"}}, "'image' is wide, not a number"),
        ({"scales": {"image": True}}, "'image' is True, not a number"),
        ({"scales": {"image": 1.0, "sides": [1.5]}}, "'sides' is 1.5, not a whole number"),
        ({"scales": {"image": 1.0}, "nme": ""}, "did you mean 'name'"),
    ],
)
def test_what_does_not_fit_is_named(values: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        build(Holder, values)


@pytest.mark.parametrize("text", ["[" * 100_000, "[NaN]", "1e999", "9" * 30, "{", '{"a": Infinity}'])
def test_what_no_value_can_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text)
