"""Reads an SQL condition on image records as a user writes it, and puts it into LanceDB's words.

What is read is a small part of SQL: comparisons of columns, and functions that cost no more than what they are given.
Whatever else there may be is refused before LanceDB sees it, of which some can end a process. Strings in, strings out.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cocasearch.indexing.store.records import COLUMNS
from cocasearch.indexing.store.where_tokens import Tokens, unexpected
from cocasearch.indexing.store.where_values import (
    FORMATS,
    any_of,
    at_home,
    ended,
    have_paths,
    is_camera,
    quoted,
    whole_path,
)

_ARROW_KINDS = {"string": "text", "int32": "whole", "int64": "whole", "float32": "number", "float64": "number"}
KINDS = {name: _ARROW_KINDS.get(column.arrow, "time") for name, column in COLUMNS.items() if column.where}
"""What each column that a condition may name holds: text, whole numbers, numbers or times."""

_MOST_DIGITS = 30
_FUNCTIONS = {  # how many arguments they take at least and at most, and what they give
    **dict.fromkeys(("lower", "upper"), (1, 1, "text")),
    **dict.fromkeys(("left", "right"), (2, 2, "text")),
    **dict.fromkeys(("concat", "coalesce"), (1, 8, "text")),
    "nullif": (2, 2, "text"),
    **dict.fromkeys(("starts_with", "ends_with", "contains"), (2, 2, "truth")),
    **dict.fromkeys(("length", "char_length"), (1, 1, "whole")),
    "strpos": (2, 2, "whole"),
    "round": (1, 2, "number"),
    "power": (2, 2, "number"),
    **dict.fromkeys(("abs", "sqrt", "ln"), (1, 1, "number")),
    "date_part": (2, 2, "number"),
    "date_trunc": (2, 2, "time"),
    "now": (0, 0, "time"),
}
_TYPES = {
    **dict.fromkeys(("string", "varchar", "text"), "text"),
    **dict.fromkeys(("int", "integer", "bigint", "float", "double"), "number"),
    "date": "day",
    "timestamp": "time",
}
_COMPARING = ("=", "==", "<>", "!=", "<", "<=", ">", ">=")
_KEYWORDS = {"and", "or", "not", "in", "is", "like", "ilike", "between", "as"}
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?)?")


class Condition(NamedTuple):
    """A condition that has been read.

    Attributes:
        sql: In LanceDB's words.
        columns: The columns that it is about, in the order in which it names them, with the texts compared with each.
    """

    sql: str
    columns: dict[str, list[str]]


class _Term(NamedTuple):
    """A part of a condition: its SQL and kind, the column that it is, if any, and its value if it is plain text."""

    sql: str
    kind: str
    column: str = ""
    text: str | None = None
    is_fraction: bool = False


def read_condition(
    condition: str, roots: Mapping[str, Path] | None = None, cameras: Callable[[], Iterable[str]] = tuple
) -> Condition:
    """Read a condition: what it compares with a column is made of that column's kind.

    Times and fractions are marked as such: LanceDB compares a time with no plain string, and whole numbers with no
    fraction. A camera is known by maker, by model or by both, a format by its name or the endings of its files, and a
    path is that of the file: from the folder one is in or an indexed one, or absolute.

    Args:
        condition: As its user wrote it.
        roots: Present folder of each root by its key; without, paths are as seen from their roots alone.
        cameras: Gives those that there are.

    Raises:
        ValueError: It is none, too long, or uses what conditions do not know; the message says what.
    """
    reader = _Reader(condition, roots or {}, cameras)
    term = reader.either()
    reader.tokens.end()
    return Condition(term.sql, reader.columns)


class _Reader:
    """Reads a condition from left to right, what binds less around what binds more."""

    def __init__(self, condition: str, roots: Mapping[str, Path], cameras: Callable[[], Iterable[str]]) -> None:
        self.tokens = Tokens(condition)
        self.columns: dict[str, list[str]] = {}
        self._roots, self._cameras = roots, cameras

    def either(self) -> _Term:
        return self._chain(self._both, ("or",), "truth")

    def _both(self) -> _Term:
        return self._chain(self._negated, ("and",), "truth")

    def _negated(self) -> _Term:
        if self.tokens.take("not"):
            return _Term(f"not {self.tokens.inner(self._negated).sql}", "truth")
        return self._comparison()

    def _comparison(self) -> _Term:
        left = self._sum()
        if sign := self.tokens.take(*_COMPARING):
            self.tokens.step()
            return _Term(self._compared(left, sign, self._sum()), "truth")
        if self.tokens.take("is"):
            negation = "not " if self.tokens.take("not") else ""
            what = self.tokens.expect("null", "true", "false")
            return _Term(f"{left.sql} is {negation}{what}", "truth")
        negation = "not " if self.tokens.take("not") else ""
        if word := self.tokens.take("like", "ilike"):
            right = self._sum()
            if right.text is None:
                raise ValueError(f"{word.upper()} takes a text in quotes")
            self.tokens.step(1 + right.text.count("%") + right.text.count("_"))
            self._note(left, right)
            return _Term(f"{negation}({self._alike(left, word, right)})", "truth")
        if self.tokens.take("between"):
            self.tokens.step()
            lowest = self._fitting(left, self._sum())
            self.tokens.expect("and")
            highest = self._fitting(left, self._sum())
            return _Term(f"{left.sql} {negation}between {lowest} and {highest}", "truth")
        if self.tokens.take("in"):
            self.tokens.step()
            return _Term(f"{negation}({self._among(left, self._arguments())})", "truth")
        if negation:
            self.tokens.expect("in", "like", "ilike", "between")
        return left

    def _sum(self) -> _Term:
        return self._chain(self._product, ("+", "-", "||"), "number")

    def _product(self) -> _Term:
        return self._chain(self._signed, ("*", "/", "%"), "number")

    def _signed(self) -> _Term:
        if self.tokens.take("-"):
            term = self.tokens.inner(self._signed)
            return term._replace(sql=f"- {term.sql}", column="", text=None)
        term = self._single()
        while self.tokens.take("::"):
            term = self._cast(term, self.tokens.expect(*_TYPES))
        return term

    def _single(self) -> _Term:
        if self.tokens.take("("):
            term = self.tokens.inner(self.either)
            self.tokens.expect(")")
            return term._replace(sql=f"({term.sql})")
        kind, token = self.tokens.next()
        if kind == "text":
            return _Term(token, "text", text=token[1:-1].replace("''", "'"))
        if kind == "number":
            if len(token) > _MOST_DIGITS:
                raise ValueError(f"no number there has {len(token):,} digits")
            return _Term(token, "number", is_fraction=not token.isdecimal())
        if kind != "name" or token.lower() in _KEYWORDS:
            raise unexpected(kind, token)
        return self._named(token)

    def _named(self, token: str) -> _Term:
        name = token.lower()
        if self.tokens.comes("text"):
            if name not in ("timestamp", "date"):
                raise ValueError(f"{token} means nothing there")
            return _Term(f"{name} {self.tokens.next()[1]}", "time")
        if name in ("true", "false", "null"):
            return _Term(name, "truth")
        if self.tokens.comes("sign", "("):
            return self._called(name)
        column = token.strip('"`') if token[0] in '"`' else name
        if column not in KINDS:
            raise ValueError(f"there is no column {column}")
        self.columns.setdefault(column, [])
        if column == "path":
            self.tokens.step(len(self._roots) // 8)  # its SQL names them all
        return _Term(whole_path(self._roots) if column == "path" else column, KINDS[column], column)

    def _called(self, name: str) -> _Term:
        if name in ("cast", "try_cast"):
            self.tokens.expect("(")
            term = self.tokens.inner(self.either)
            self.tokens.expect("as")
            cast = self._cast(term, self.tokens.expect(*_TYPES), name)
            self.tokens.expect(")")
            return cast
        if name not in _FUNCTIONS:
            raise ValueError(f"there is no function '{name}'")
        self.tokens.step()
        least, most, kind = _FUNCTIONS[name]
        terms = self._arguments()
        if not least <= len(terms) <= most:
            raise ValueError(f"{name} does not take {len(terms)} arguments")
        if name == "starts_with":
            column, value = terms
            self._note(column, value)
            return _Term(f"({_with_path(column, value, 'starts_with({}, {})'.format)})", kind)
        return _Term(f"{name}({', '.join(term.sql for term in terms)})", kind)

    def _arguments(self) -> list[_Term]:
        self.tokens.expect("(")
        terms: list[_Term] = []
        while not self.tokens.take(")"):
            if terms:
                self.tokens.expect(",")
            terms.append(self.tokens.inner(self.either))
        return terms

    def _cast(self, term: _Term, to: str, how: str = "cast") -> _Term:
        return _Term(f"{how}({term.sql} as {to})", _TYPES[to])

    def _compared(self, left: _Term, sign: str, right: _Term) -> str:
        self._note(left, right)
        same = self._same(left, [right]) or self._same(right, [left])
        if same and sign in ("=", "==", "<>", "!="):
            return f"{'' if sign in ('=', '==') else 'not '}({same})"
        return f"{self._fitting(right, left)} {sign} {self._fitting(left, right)}"

    def _among(self, left: _Term, terms: Sequence[_Term]) -> str:
        if not terms:
            raise ValueError("nothing is listed after in")
        for term in terms:
            self._note(left, term)
        listed = ", ".join(self._fitting(left, term) for term in terms)
        return self._same(left, terms) or f"{left.sql} in ({listed})"

    def _alike(self, left: _Term, word: str, right: _Term) -> str:
        if left.column == "path" and right.text and right.text[0] != "%":
            return _with_path(left, right, f"{{}} {word} {{}}".format, escape=True)
        return f"{left.sql} {word} {right.sql}"

    def _same(self, column: _Term, terms: Sequence[_Term]) -> str:
        """The SQL that a column with notations of its own has one of some values; empty for others."""
        texts = [term.text for term in terms if term.text is not None]
        if len(texts) < len(terms):
            return ""
        if column.column == "path":
            return " or ".join(have_paths(texts, self._roots))
        if column.column == "camera":
            return any_of(
                "camera", [*texts, *(own for own in self._cameras() if any(is_camera(own, text) for text in texts))]
            )
        if column.column == "format":
            names = [text.lower().lstrip(".") for text in texts]
            return any_of("upper(format)", [own for name in names for own in FORMATS.get(name, (name.upper(),))])
        return ""

    def _fitting(self, other: _Term, term: _Term) -> str:
        """A term as SQL of the kind of another that it is compared with."""
        if other.kind == "whole" and term.is_fraction:
            return f"cast({term.sql} as double)"
        if other.kind == "time" and term.text is not None and (time := _TIME.fullmatch(term.text)):
            day, minute, second = time.groups()
            return f"timestamp '{day} {minute or '00:00'}{second or ':00'}'"
        return term.sql

    def _note(self, *terms: _Term) -> None:
        """Note the text that a column is compared with."""
        columns = [term.column for term in terms if term.column]
        for column in columns:
            self.columns[column] += [term.text for term in terms if term.text]

    def _chain(self, part: Callable[[], _Term], signs: tuple[str, ...], kind: str) -> _Term:
        term = part()
        while sign := self.tokens.take(*signs):
            self.tokens.step()
            term = _Term(f"{term.sql} {sign} {part().sql}", "text" if sign == "||" else kind)
        return term


def _with_path(column: _Term, value: _Term, compare: Callable[[str, str], str], *, escape: bool = False) -> str:
    """A comparison of beginnings of paths: a relative one may start at the current folder, or at an indexed one."""
    if column.column != "path" or not value.text:
        return compare(column.sql, value.sql)
    path, here = at_home(value.text), ended(Path.cwd())
    if path.startswith("/"):
        return compare(column.sql, quoted(path))
    here = re.sub(r"([\\%_])", r"\\\1", here) if escape else here
    path = path.removeprefix("./")
    return f"{compare(column.sql, quoted(here + path))} or {compare('path', quoted(path))}"
