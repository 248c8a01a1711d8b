"""The words and signs of an SQL condition, from left to right, and how much of them a condition may have."""

import re
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

MOST_CHARACTERS = 10_000
_MOST_STEPS = 128  # comparisons, functions, operators, wildcards: LanceDB takes minutes over thousands
_DEEPEST = 32  # brackets in brackets

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*')
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?!\w))
    |(?P<name>[^\W\d]\w*|"[^"]*"|`[^`]*`)
    |(?P<sign>::|[(),]|[<>=!|&+*/%^~@\#-]+)
    |(?P<other>\S))""",
    re.VERBOSE | re.IGNORECASE,
)


def unexpected(kind: str, token: str) -> ValueError:
    """The error that says what is wrong with a token where none like it can be."""
    if token == ")":
        return ValueError("a bracket closes nothing")
    if kind == "sign" and token not in (",", "("):
        return ValueError(f"Operator {token} is not supported")
    return ValueError(f"{token} means nothing there" if token in "?$:" else f"it should end, found: {token}")


class Tokens:
    """What a condition is made of, taken one by one; every method raises ValueError where the next is none of these.

    Args:
        condition: As its user wrote it.
    """

    def __init__(self, condition: str) -> None:
        if len(condition) > MOST_CHARACTERS:
            raise ValueError(f"it has over {MOST_CHARACTERS:,} characters")
        self._tokens = [(str(match.lastgroup), match[match.lastgroup or 0]) for match in _TOKEN.finditer(condition)]
        if ("other", "'") in self._tokens:
            raise ValueError("Unterminated string literal")
        self._at = self._depth = self._steps = 0

    def take(self, *wanted: str) -> str:
        """The next word or sign if it is a wanted one; empty if not."""
        kind, token = self._peek()
        if kind in ("name", "sign") and token.lower() in wanted:
            self._at += 1
            return token.lower()
        return ""

    def expect(self, *wanted: str) -> str:
        """The next word or sign, which is to be a wanted one."""
        if token := self.take(*wanted):
            return token
        raise ValueError(f"expected {' or '.join(wanted)}, found: {self.next()[1]}")

    def next(self) -> tuple[str, str]:
        """The kind of the next token, and the token."""
        if self._at == len(self._tokens):
            raise ValueError("it breaks off")
        self._at += 1
        return self._tokens[self._at - 1]

    def comes(self, kind: str, token: str = "") -> bool:
        """Whether the next is a token of a kind, and maybe that one."""
        there, following = self._peek()
        return there == kind and token in ("", following)

    def end(self) -> None:
        """Refuse what is left."""
        kind, token = self._peek()
        if kind:
            raise unexpected(kind, token)

    def step(self, count: int = 1) -> None:
        """Count what takes LanceDB time."""
        self._steps += count
        if self._steps > _MOST_STEPS:
            raise ValueError(f"it has over {_MOST_STEPS} comparisons, operators, wildcards")

    def inner(self, part: Callable[[], T]) -> T:
        """What a reader of a part gives, one bracket deeper."""
        if self._depth == _DEEPEST:
            raise ValueError(f"it has over {_DEEPEST} brackets in each other")
        self._depth += 1
        term = part()
        self._depth -= 1
        return term

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
