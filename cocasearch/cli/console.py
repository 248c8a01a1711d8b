"""The two streams: results on stdout, everything said about them on stderr. All printing of the package is here."""

import csv
import io
import json
import math
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from tqdm import tqdm

from cocasearch.cli import streams
from cocasearch.cli.output import text_tables as tables
from cocasearch.errors import LONGEST_MESSAGE, CocaSearchError, shortened

Row = Mapping[str, Any]
Advance = Callable[[int, int], None]

SECONDS_BETWEEN_LINES = 30.0  # of progress, where stderr is a file
_PIPE_WIDTH = 10_000  # a piped table is as wide as it needs to be
_NAMED_OF_A_REASON = 20  # unreadable photos: without their extra, all RAW photos of a library are
_DECIMALS = 6  # of the numbers that programs get; more are noise

# What breaks a line, commands a terminal or turns the order of letters around: names and captions may hold all of it.
_UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_process = 0
_err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
_err_of_all = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


class Format(StrEnum):
    """How results are printed."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    paths = "paths"


def tell_as_process(number: int) -> None:
    """Be one of the processes that train one model together: the first, 0, alone tells; of a failure each does."""
    global _process
    _process = number
    _err.quiet = number > 0


def say(*lines: str) -> None:
    """Lines about the work, on stderr; what they quote is cut in its middle where it is long."""
    for line in lines:
        _err.print(message(line), markup=False)


def fail(sentence: str, hint: str | None = None) -> None:
    """An error sentence and, below it, how to go on, on stderr."""
    beginning = f"process {_process}: error: " if _process else "error: "
    _err_of_all.print(beginning, style="bold red", end="")
    _err_of_all.print(message(sentence, LONGEST_MESSAGE - len(beginning)), markup=False)
    if hint:
        _err_of_all.print(message(f"  hint: {hint}"), markup=False)


def name_unreadable(failures: Iterable[tuple[str, str]]) -> None:
    """Photos that could not be read, and why, on stderr: of those with one reason the first few, and how many more."""
    paths_by_reason: dict[str, list[str]] = {}
    for path, reason in failures:
        paths_by_reason.setdefault(reason, []).append(path)
    for reason, paths in paths_by_reason.items():
        for path in paths[:_NAMED_OF_A_REASON]:
            say(f"unreadable: {shown(path)}: {reason}")
        if (more := len(paths) - _NAMED_OF_A_REASON) > 0:
            say(f"unreadable: {more:,} more: {reason}")


def trace(text: str) -> None:
    """A traceback, on stderr."""
    for line in text.splitlines():
        _err_of_all.print(on_one_line(line), markup=False)


def write_lines(*lines: str) -> None:
    """Lines for people on stdout.

    Raises:
        BrokenPipeError: Nobody reads on.
        CocaSearchError: They cannot be written, as on a full disk.
    """
    _write("".join(f"{on_one_line(line)}\n" for line in lines))


def write_wrapped(*lines: str) -> None:
    """Lines for people on stdout, which go on in the next one, indented, where the terminal ends."""
    width = _page().width
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()))
        write_lines(*tables.wrap(line, width, subsequent_indent=f"{indent}    "))


def write_json(value: object) -> None:
    """One JSON document on stdout, for people and programs alike, its numbers rounded."""
    _write(json.dumps(rounded(value), indent=2, ensure_ascii=False) + "\n")


def write_rows(rows: Sequence[Row], fmt: Format, *, null_separated: bool = False, columns: Sequence[str] = ()) -> None:
    """Results on stdout, in the order given; every row needs the same keys and a `path`.

    Args:
        rows: One mapping per result.
        fmt: The layout; `csv` and `table` have a header, `paths` prints nothing but the paths.
        null_separated: End each path with a zero byte, for `xargs -0`; other layouts ignore it.
        columns: The header of a `csv` without rows.
    """
    if fmt in (Format.json, Format.jsonl, Format.csv):
        rows = rounded(rows)
    if null_separated or fmt is Format.paths:
        end = "\0" if null_separated else "\n"
        _write("".join(f"{row['path']}{end}" for row in rows))
    elif fmt is Format.json:
        write_json(rows)
    elif fmt is Format.jsonl:
        _write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    elif fmt is Format.csv:
        _write(_as_csv(rows, list(rows[0]) if rows else columns))
    else:
        write_table(rows)


def write_table(rows: Sequence[Row], *, may_go: Collection[str] = ()) -> None:
    """Results on stdout as aligned columns; paths below the working folder are shown from there.

    Args:
        rows: One mapping per result, all with the same keys.
        may_go: Columns that a narrow terminal is not shown, the last first, in a table that --json shows whole.
    """
    cells = [{name: _cell(name, value) for name, value in row.items()} for row in rows]
    numbers = {name for row in rows for name, value in row.items() if isinstance(value, int | float)}
    _write("".join(f"{line}\n" for line in tables.draw(cells, _page(), numbers=numbers, may_go=may_go)))


def rounded(value: Any) -> Any:
    """A value for JSON, every number in it with six decimals, or as many digits if it is small; null for no number."""
    if isinstance(value, Mapping):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    if not isinstance(value, float) or value == 0:
        return value
    if not math.isfinite(value):
        return None
    return round(value, _DECIMALS - 1 - min(-1, math.floor(math.log10(abs(value)))))


@contextmanager
def live_line(what: str) -> Iterator[Callable[[str], None]]:
    """A function that shows how the work stands, in place of what it showed before.

    Where stderr is no terminal it is a line every half minute, so that a log stays readable.
    """
    if _err.is_terminal:
        with _err.status(escape(on_one_line(what))) as status:
            yield lambda text: status.update(escape(on_one_line(text)))
    else:
        yield _LogLines()


@contextmanager
def progress(what: str, unit: str) -> Iterator[Advance]:
    """A function (done, total) that shows how far, how fast and how long still."""
    started = time.monotonic()
    with live_line(what) as show:
        yield lambda done, total: show(
            tqdm.format_meter(
                done, total, time.monotonic() - started, prefix=what, unit=f" {unit}", ncols=min(_err.width - 4, 100)
            )
        )


@contextmanager
def staged_progress(unit: str, first: str = "working") -> Iterator[Callable[[str, int, int], None]]:
    """A function (what is done now, done, total) that shows each stage of the work like `progress`.

    Until it is first called, `first` is shown.
    """
    begun: dict[str, float] = {}
    with live_line(first) as show:

        def tell(what: str, done: int, total: int) -> None:
            started = begun.setdefault(what, time.monotonic())
            seconds = time.monotonic() - started
            width = min(_err.width - 4, 100)
            show(tqdm.format_meter(done, total, seconds, prefix=what, unit=f" {unit}", ncols=width))

        yield tell


@contextmanager
def byte_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A function (what is done now, bytes done, bytes in all) that shows each stage of the work like `progress`."""
    begun: dict[str, tuple[float, int]] = {}
    with live_line("working") as show:

        def tell(what: str, done: int, total: int) -> None:
            started, before = begun.setdefault(what, (time.monotonic(), done))
            seconds, width = time.monotonic() - started, min(_err.width - 4, 100)
            show(
                tqdm.format_meter(
                    done, total, seconds, prefix=what, unit="B", unit_scale=True, initial=before, ncols=width
                )
            )

        yield tell


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner on stderr while something takes its time; nothing where stderr is no terminal."""
    with live_line(what):
        yield


def shown(path: str | Path) -> str:
    """A path on one line, as a person at this prompt would write it: from the working folder if it lies below it."""
    absolute = Path(path)
    text = str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(path)
    return on_one_line(text)


def on_one_line(text: str) -> str:
    """The text with what would move a terminal's cursor, change its colours or turn the order around spelt out."""
    return _UNPRINTED.sub(lambda mark: repr(mark[0])[1:-1], text)


def _page() -> Console:
    """What a table has to fit on."""
    terminal = sys.stdout.isatty()
    width = None if terminal else _PIPE_WIDTH
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, markup=False, emoji=False)


def message(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """The text as it can be said: on one line of bounded length."""
    return shortened(on_one_line(text), longest)


def _write(text: str) -> None:
    """Text as it is, in UTF-8 whatever the locale; names of files that are no Unicode come out as their own bytes."""
    if _process:
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
    except OSError as error:
        streams.give_up_stdout()
        if isinstance(error, BrokenPipeError):
            raise
        raise CocaSearchError(f"the output cannot be written: {error.strerror}") from error


class _LogLines:
    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, text: str) -> None:
        if time.monotonic() - self._said >= SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            say(text)


def _cell(name: str, value: object) -> str:
    if name == "path":
        return shown(str(value))
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else on_one_line(" ".join(str(value).split()))


def _as_csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: json.dumps(value) if isinstance(value, list) else value for name, value in row.items()} for row in rows
    )
    return text.getvalue()
