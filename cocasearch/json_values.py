"""JSON of unknown origin, read into values of the expected types.

Whatever the text holds, reading it takes bounded time and ends in values or in ValueError, never in another exception.
"""

import difflib
import json
import math
import reprlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_DEEPEST = 64  # lists and objects in each other
_LARGEST_WHOLE = 2**64
_SHOWN = 40  # characters of a value
_WORDS = {int: "whole number", float: "number", str: "text", bool: "truth value", dict: "JSON object", tuple: "list"}


def read_json(file: Path, most_bytes: int) -> Any:
    """The value in a JSON file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is larger than `most_bytes`, or `parse_json` refuses it.
    """
    return parse_json(read_text(file, most_bytes))


def read_text(file: Path, most_bytes: int) -> str:
    """The text in a file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is larger than `most_bytes`, or is not UTF-8.
    """
    with file.open("rb") as opened:
        content = opened.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it has more than {most_bytes / 1e6:,.0f} MB")
    return content.decode("utf-8")


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: The text is not JSON, or holds a number that is not finite, an integer of more than 64 bits, or
            lists and objects that are nested too deeply.
    """
    try:
        value = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    level = [value]
    for _ in range(_DEEPEST):
        if not level:
            return value
        parts = [list(part.values()) if isinstance(part, dict) else part for part in level]
        level = [item for part in parts if isinstance(part, list) for item in part]
    raise ValueError("it is nested too deeply")


def build(kind: type[T], values: Any) -> T:
    """The dataclass that a JSON object describes. Each value is checked against its field's type, at every depth.

    Raises:
        ValueError: The value is not an object, lacks a field, has an unknown one (the message names the nearest known
            one), or holds a value of another type.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{shown(values)} is no JSON object")
    types, known = _types_of(kind)  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            nearest = difflib.get_close_matches(str(key)[:_SHOWN], known, n=1, cutoff=0.0)[0]
            raise ValueError(f"unknown config key '{shown(key)}' in {kind.__name__}; did you mean '{nearest}'?")
    if missing := [name for name, is_needed in known.items() if is_needed and name not in values]:
        raise ValueError(f"it lacks '{missing[0]}'")
    return kind(**{key: _typed(value, types[key], key) for key, value in values.items()})


def shown(value: object) -> str:
    """A value as a message quotes it. A long one is cut."""
    text = value[: _SHOWN + 1] if isinstance(value, str) else reprlib.repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


@cache
def _types_of(kind: type) -> tuple[dict[str, Any], dict[str, bool]]:
    """The type of each field of a dataclass, and whether it must be given."""
    is_needed = {item.name: item.default is item.default_factory is MISSING for item in fields(kind)}
    return get_type_hints(kind), is_needed


def _typed(value: Any, kind: Any, name: str) -> Any:
    """The value, checked to be of the type; a list becomes the tuple that the field holds."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        for part in parts:
            with suppress(ValueError):
                return _typed(value, part, name)
    elif kind is Any or (is_dataclass(kind) and isinstance(value, kind)):  # type: ignore[arg-type]
        return value
    elif is_dataclass(kind):
        return build(kind, value)  # type: ignore[arg-type]
    elif origin is tuple and isinstance(value, list | tuple):
        kinds = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        if len(kinds) == len(value):
            return tuple(_typed(item, part, name) for item, part in zip(value, kinds, strict=True))
    elif kind is float and type(value) is int:  # JSON has one kind of number; PyTorch has two
        return float(value)
    # Which words a Literal allows is for its class to say.
    elif type(value) in {dict: (dict,), Literal: (str, type(None))}.get(origin or kind, (kind,)):
        return value
    raise ValueError(f"'{name}' is {shown(value)}, not a {_WORDS.get(origin or kind, 'value of its kind')}")


def _whole(digits: str) -> int:
    if len(digits) > len(str(_LARGEST_WHOLE)) or abs(number := int(digits)) >= _LARGEST_WHOLE:
        raise ValueError(f"{digits[:_SHOWN]}… is too large a number")
    return number


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:_SHOWN]} is no finite number")
    return number
