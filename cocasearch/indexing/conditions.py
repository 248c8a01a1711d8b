"""SQL conditions on image records as users write them: put into LanceDB's words, or refused in one's own.

Strings in, strings out; LanceDB itself decides what a condition means.
"""

import re
from itertools import accumulate

from cocasearch.errors import CocaSearchError

COLUMNS = {
    "text": ("path", "caption", "camera", "format", "root"),
    "number": ("width", "height", "size", "latitude", "longitude", "caption_score", "caption_logprob"),
    "time": ("taken_at",),
}
EXAMPLE = "taken_at >= '2024-06-01' and camera like '%Pixel%' and caption like '%dog%'"

_QUOTED = re.compile(r"'(?:[^']|'')*'")
_TIME = re.compile(r"'(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?)?'")
_OTHER = r"(?:timestamp\s*)?''"  # a string, once what is in it does not matter
_TIME_BEFORE = re.compile(  # in brackets or not, but not within a cast: compared with what follows
    r"\btaken_at[`\"]?[\s)]*(?:[<>=!]+|\b(?:not\s+)?between(?:\s+" + _OTHER + r"\s+and)?|"
    r"\b(?:not\s+)?in\s*\((?:\s*" + _OTHER + r"\s*,)*)\s*$",
    re.IGNORECASE,
)
_TIME_FOLLOWS = re.compile(r"\s*[<>=!]+\s*[(`\"]*taken_at\b(?!\s*::)", re.IGNORECASE)
_REASONS = [  # what LanceDB says, and the same for people; the last one fits always
    (r"No field named [`\"]?(.*?)[`\"]?\. Valid", "there is no column {0}"),
    (r"Received literal \w+\((.*?)\) and could not convert", "{0} does not fit the column that it is compared with"),
    (r"Error parsing timestamp from ('.*?')", "{0} is no time"),
    (r"Invalid function ('.*?')", "there is no function {0}"),
    (r"does not return a boolean|for logical boolean operation", "it is no condition"),
    (r"Expected: .*?, found: (?:EOF|\))", "it breaks off"),
    (r"sql parser error: (?:Expected: )?(.*?)(?: at Line.*)?\)$", "{0}"),
    (r"(?:Invalid input, )?(.*?)(?:, \S+\.rs:\d+.*)?$", "{0}"),
]


def to_lance(condition: str) -> str:
    """The condition with its times marked as such: LanceDB compares a time with no plain string.

    Raises:
        ValueError: It closes a bracket that it has not opened, and so would end another's condition around it.
    """
    brackets = re.sub(r"[^()]", "", _QUOTED.sub("", condition))
    if min(accumulate(1 if bracket == "(" else -1 for bracket in brackets), default=0) < 0:
        raise ValueError("a bracket closes nothing")
    parts: list[str] = []
    end = 0
    for quoted in _QUOTED.finditer(condition):
        parts += condition[end : quoted.start()], _typed(condition, quoted)
        end = quoted.end()
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


def _typed(condition: str, quoted: re.Match[str]) -> str:
    """A quoted string as SQL: a timestamp if it looks like one and is compared with the column of times itself."""
    time = _TIME.fullmatch(quoted[0])
    before = _QUOTED.sub("''", condition[: quoted.start()])
    if time is None or not (_TIME_BEFORE.search(before) or _TIME_FOLLOWS.match(condition, quoted.end())):
        return quoted[0]
    day, minute, second = time.groups()
    return f"timestamp '{day} {minute or '00:00'}{second or ':00'}'"


def _in_short(reason: str) -> str:
    first_line = reason.strip().splitlines()[0]
    for pattern, words in _REASONS:
        if found := re.search(pattern, first_line):
            return words.format(*found.groups())
    return first_line
