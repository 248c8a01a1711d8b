"""SQL conditions on image records: put together, and refused in a user's own words. See `where_parser`."""

import os
import re
from pathlib import Path

from cocasearch.errors import CocaSearchError, shortened
from cocasearch.indexing.store.where_parser import KINDS, read_condition
from cocasearch.indexing.store.where_values import ended, quoted

EXAMPLE = "taken_at >= '2024-06-01' and camera like '%Pixel%' and caption like '%dog%'"

_MOST_SHOWN, _LEAST_QUOTED = 300, 16  # characters of a refusal and, within it, of the condition
_REASONS = [  # what LanceDB says, and the same for people; the last one fits always
    (r"No field named [`\"]?(.*?)[`\"]?\. Valid", "there is no column {0}"),
    (r"Received literal \w+\((.*?)\) and could not convert", "{0} does not fit the column that it is compared with"),
    (r"Error parsing timestamp from ('.*?')", "{0} is no time"),
    (r"does not return a boolean|for logical boolean operation", "it is no condition"),
    (r"to coerce .* in LIKE expression", "LIKE is for text alone"),
    (r"Cannot cast string ('.*') to value of (\w+?)\d* type", "{0} cannot be made {1}"),
    (r"(?:sql parser error|invalid SQL predicate): (.*?)(?: at Line.*)?\)?$", "{0}"),
    (
        r"(?:Invalid input, )?(?:.*(?:planning|(?:xecution|Arrow) error|implemented): )?(.*?)(?:, \S+\.rs:\d+.*)?$",
        "{0}",
    ),
]


def refusal(condition: str, reason: str) -> CocaSearchError:
    """The error that names what was not understood, why, and what there is, unless the reason takes all room.

    Args:
        condition: As its user wrote it.
        reason: LanceDB's message, or that of `where_parser.read_condition`.
    """
    names: dict[str, list[str]] = {}
    for name, kind in KINDS.items():
        names.setdefault("number" if kind == "whole" else kind, []).append(name)
    columns = " and ".join(f"{', '.join(of_kind)} ({kind})" for kind, of_kind in names.items())
    reason, sentence = _in_short(reason), 'the condition "{}" cannot be understood: {}'
    with_columns = f"{sentence}; the columns are {columns}"
    if len(with_columns.format("", reason)) + min(len(condition), _LEAST_QUOTED) <= _MOST_SHOWN:
        sentence = with_columns
    room = _MOST_SHOWN - len(sentence.format("", ""))
    reason = shortened(reason, room - _LEAST_QUOTED)
    return CocaSearchError(
        sentence.format(shortened(condition, max(_LEAST_QUOTED, room - len(reason))), reason),
        hint=f'such as: --where "{EXAMPLE}"',
    )


def below_folder(folder: Path) -> str:
    """The condition that a photo lies somewhere below a folder, by its own path or by that which links lead to."""
    paths = dict.fromkeys((os.path.normpath(folder.absolute()), str(folder.resolve())))
    return " or ".join(f"starts_with(path, {quoted(ended(Path(path)))})" for path in paths)


def both(condition: str | None, other: str) -> str:
    """The condition that two are met, of which the first may be missing.

    Raises:
        CocaSearchError: The first is none.
    """
    if condition is None:
        return other
    try:
        read_condition(condition)  # else it might end the brackets around it
    except ValueError as error:
        raise refusal(condition, str(error)) from error
    return f"({condition}) and ({other})"


def _in_short(reason: str) -> str:
    first_line = next(iter(reason.strip().splitlines()), "")
    for pattern, words in _REASONS:
        if match := re.search(pattern, first_line):
            return words.format(*match.groups())
    return first_line
