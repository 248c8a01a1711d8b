"""SQL conditions on image records as users write them: put into LanceDB's words, or refused in one's own.

Strings in, strings out; LanceDB itself decides what a condition means.
"""

import re
from itertools import accumulate

from cocasearch.errors import CocaSearchError

COLUMNS = {
    "text": ("path", "caption", "caption_by", "camera", "format", "root"),
    "number": (
        "width",
        "height",
        "size",
        "latitude",
        "longitude",
        "caption_score",
        "caption_logprob",
        "caption_confidence",
    ),
    "time": ("taken_at",),
}
EXAMPLE = "taken_at >= '2024-06-01' and camera like '%Pixel%' and caption like '%dog%'"

_QUOTED = re.compile(r"'(?:[^']|'')*'")
_TIME = re.compile(r"'(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?)?'")
_MARKED = re.compile(r"\b(?:timestamp|date)\s*$", re.IGNORECASE)
_FRACTION = r"(?<![\w.])(?:\d+\.\d*|\.\d+|\d+(?=e))(?:e[+-]?\d+)?(?!\w)"
_LITERAL = re.compile(f"{_QUOTED.pattern}|{_FRACTION}", re.IGNORECASE)
_PANICS = re.compile(r"[?$]|(?<![:\w]):(?=\w)|\b[bnr](?=')", re.IGNORECASE)  # LanceDB does, at what it has not heard of


class _Compared:
    """Tells whether a literal is compared with a column itself: in brackets or not, but not within a cast.

    Args:
        columns: Alternatives of a regular expression.
        other: What other literals beside it in a list look like, once what is in strings does not matter.
    """

    def __init__(self, columns: str, other: str) -> None:
        column = rf"\b(?:{columns})"
        before = (
            rf"{column}[`\"]?[\s)]*(?:[<>=!]+|\b(?:not\s+)?between(?:\s+{other}\s+and)?|"
            rf"\b(?:not\s+)?in\s*\((?:\s*{other}\s*,)*)[\s(-]*$"
        )
        self._before = re.compile(before, re.IGNORECASE)
        self._after = re.compile(rf"\s*[<>=!]+\s*[(`\"]*{column}\b(?!\s*::)", re.IGNORECASE)

    def __call__(self, condition: str, literal: re.Match[str]) -> bool:
        before = _QUOTED.sub("''", condition[: literal.start()])
        return bool(self._before.search(before) or self._after.match(condition, literal.end()))


_with_time = _Compared("taken_at", r"(?:timestamp\s*)?''")
_with_whole_number = _Compared("width|height|size", r"-?[\d.]+(?:e[+-]?\d+)?")
_REASONS = [  # what LanceDB says, and the same for people; the last one fits always
    (r"No field named [`\"]?(.*?)[`\"]?\. Valid", "there is no column {0}"),
    (r"Received literal \w+\((.*?)\) and could not convert", "{0} does not fit the column that it is compared with"),
    (r"Error parsing timestamp from ('.*?')", "{0} is no time"),
    (r"Invalid function ('.*?')", "there is no function {0}"),
    (r"does not return a boolean|for logical boolean operation", "it is no condition"),
    (r"to coerce .* in LIKE expression", "LIKE is for text alone"),
    (r"(?:Aggregate|Window)Function.*?inner: (\w+)", "{0} is of many photos, and a condition is of one"),
    (r"Cannot cast string ('.*') to value of (\w+?)\d* type", "{0} cannot be made {1}"),
    (r"(Expression '.*' is not supported) SQL in lance", "{0}"),
    (r"Expected: .*?, found: (?:EOF|\))", "it breaks off"),
    (r"(?:sql parser error|invalid SQL predicate): (?:Expected: )?(.*?)(?: at Line.*)?\)?$", "{0}"),
    (r"(?:Invalid input, )?(?:.*(?:planning|[Ee]xecution error|implemented): )?(.*?)(?:, \S+\.rs:\d+.*)?$", "{0}"),
]


def to_lance(condition: str) -> str:
    """The condition with its times and fractions marked as such.

    LanceDB compares a time with no plain string, and a column of whole numbers with no fraction.

    Raises:
        ValueError: It closes a bracket that it has not opened, and so would end another's condition around it, or
            LanceDB would break down at it.
    """
    plain = _QUOTED.sub("''", condition)
    if panic := _PANICS.search(plain):
        raise ValueError(f"{panic[0]} means nothing there")
    brackets = re.sub(r"[^()]", "", plain)
    if min(accumulate(1 if bracket == "(" else -1 for bracket in brackets), default=0) < 0:
        raise ValueError("a bracket closes nothing")
    parts: list[str] = []
    end = 0
    for literal in _LITERAL.finditer(condition):
        parts += condition[end : literal.start()], _typed(condition, literal)
        end = literal.end()
    return "".join(parts) + condition[end:]


def refusal(condition: str, reason: str) -> CocaSearchError:
    """The error that names what LanceDB did not understand, why, and what there is.

    Args:
        condition: As its user wrote it.
        reason: LanceDB's message.
    """
    columns = " and ".join(f"{', '.join(names)} ({kind})" for kind, names in COLUMNS.items())
    return CocaSearchError(
        f'the condition "{condition}" cannot be understood: {_in_short(reason)}; the columns are {columns}',
        hint=f'such as: --where "{EXAMPLE}"',
    )


def _typed(condition: str, literal: re.Match[str]) -> str:
    """A literal as SQL: a timestamp or a fraction where it is one and is compared with a column of its kind."""
    if not literal[0].startswith("'"):
        return f"cast({literal[0]} as double)" if _with_whole_number(condition, literal) else literal[0]
    time = _TIME.fullmatch(literal[0])
    is_marked = _MARKED.search(condition[: literal.start()])
    if time is None or is_marked or not _with_time(condition, literal):
        return literal[0]
    day, minute, second = time.groups()
    return f"timestamp '{day} {minute or '00:00'}{second or ':00'}'"


def _in_short(reason: str) -> str:
    first_line = reason.strip().splitlines()[0]
    for pattern, words in _REASONS:
        if found := re.search(pattern, first_line):
            return words.format(*found.groups())
    return first_line
