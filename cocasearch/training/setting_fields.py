"""Settings as fields of a frozen dataclass, each with its range and its meaning beside it.

What checks a value, what `--settings` prints and the page of all settings are made from these fields alone.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from cocasearch.errors import CocaSearchError


class SettingError(CocaSearchError):
    """A setting of an unknown name, or a value that makes no sense: wrong usage, as of any argument."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may be.

    Args:
        low: The lowest.
        high: The highest; infinity means that every finite number above `low` is one.
        excludes_low: `low` itself is none.
        excludes_high: `high` itself is none.
        has_infinity: Infinity is one, and means "without a limit" or "for good".
    """

    low: float = 0.0
    high: float = math.inf
    excludes_low: bool = False
    excludes_high: bool = False
    has_infinity: bool = False

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"above {self.low:g}" if self.excludes_low else f"{self.low:g} or above"
        high = f"below {self.high:g}" if self.excludes_high else f"{self.high:g}"
        return f"above {self.low:g}, up to {high}" if self.excludes_low else f"from {self.low:g} to {high}"

    def check(self, name: str, value: float) -> None:
        """Make sure that a value is in the range.

        Raises:
            SettingError: It is not, or is no number.
        """
        is_high_enough = value > self.low or (value == self.low and not self.excludes_low)
        is_low_enough = value < self.high or (value == self.high and not self.excludes_high)
        if not (is_high_enough and is_low_enough):
            raise SettingError(f"{name} must be {self}, not {value}")
        if value == math.inf and not self.has_infinity:
            raise SettingError(f"{name} must be a finite number, not {value}")


MIN_0 = Range()
MIN_0_OR_INF = Range(has_infinity=True)
ABOVE_0 = Range(excludes_low=True)
TO_1 = Range(0, 1)
BELOW_1 = Range(0, 1, excludes_high=True)
ABOVE_0_TO_1 = Range(0, 1, excludes_low=True)


def setting(default: Any, meaning: str, within: Range | None = None, *, changes_result: bool = True) -> Any:
    """A field of a `SettingGroup`.

    Args:
        default: Its value where nobody chooses one.
        meaning: One plain sentence.
        within: Its range, where it is a number.
        changes_result: Whether another value makes another model.
    """
    metadata = {"meaning": meaning, "within": within, "changes_result": changes_result}
    return dataclasses.field(default=default, metadata=metadata)


def cost_setting(default: Any, meaning: str, within: Range | None = None) -> Any:
    """A setting that changes how fast, and in how much room, a run is computed or saved, and not what comes of it."""
    return setting(default, meaning, within, changes_result=False)


@dataclass(frozen=True)
class SettingDescription:
    """One setting in words: its name, its default as it is written after `--set NAME=`, its range and its meaning."""

    name: str
    default: str
    range: str
    meaning: str


@dataclass(frozen=True)
class SettingGroup:
    """Settings that belong together; a value out of its range is refused."""

    def __post_init__(self) -> None:
        kinds = get_type_hints(type(self))
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if within := item.metadata["within"]:
                within.check(item.name, value)
            elif (choices := _choices(kinds[item.name])) and value not in choices:
                raise SettingError(f"{item.name} must be {_either(choices)}, not '{value}'")

    def describe(self) -> list[SettingDescription]:
        """All settings of the group with these values as their defaults."""
        kinds = get_type_hints(type(self))
        return [
            SettingDescription(
                item.name,
                as_written(getattr(self, item.name)),
                _range_in_words(kinds[item.name], item.metadata["within"]),
                item.metadata["meaning"],
            )
            for item in dataclasses.fields(self)
        ]


def as_written(value: Any) -> str:
    """A value as `--set NAME=VALUE` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _range_in_words(kind: Any, within: Range | None) -> str:
    if within is not None:
        number = "a whole number" if kind is int else "a number"
        return f"{number}, {within}" + (", or inf" if within.has_infinity else "")
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return words.get(kind) or _either(_choices(kind))


def _choices(kind: Any) -> tuple[str, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _either(words: tuple[str, ...]) -> str:
    named = [word or "empty" for word in words]
    return ", ".join(named[:-1]) + f" or {named[-1]}"
