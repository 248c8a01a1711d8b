"""The two streams: results on stdout, messages about them on stderr. All printing of the package is here."""

import csv
import io
import json
import math
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from cocasearch.cli import streams
from cocasearch.cli.output import text_tables as tables
from cocasearch.errors import LONGEST_MESSAGE, CocaSearchError, shortened

Row = Mapping[str, Any]
Advance = Callable[[int, int], None]
StageAdvance = Callable[[str, int, int], None]

SECONDS_BETWEEN_LINES = 30.0  # of progress, where stderr is a file
_PIPE_WIDTH = 10_000  # a piped table is as wide as it needs to be
_NAMED_OF_A_REASON = 20  # unreadable photos; all RAW photos of a library are, if the extra is missing
_DECIMALS = 6  # of the numbers that programs get; more are noise

# What breaks a line, commands a terminal or turns text around: file names and captions may contain all of it.
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


def set_process_number(number: int) -> None:
    """Be one of the processes that train one model together: only the first, 0, reports, but all report errors."""
    global _process
    _process = number
    _err.quiet = number > 0


def report(*lines: str) -> None:
    """Print lines about the work on stderr; long ones lose their middle."""
    for line in lines:
        _err.print(message(line), markup=False)


def fail(sentence: str, hint: str | None = None) -> None:
    """Print an error and, below it, how to go on, on stderr."""
    beginning = f"process {_process}: error: " if _process else "error: "
    _err_of_all.print(beginning, style="bold red", end="")
    _err_of_all.print(message(sentence, LONGEST_MESSAGE - len(beginning)), markup=False)
    if hint:
        _err_of_all.print(message(f"  hint: {hint}"), markup=False)


def name_unreadable(failures: Iterable[tuple[str, str]]) -> None:
    """Report photos that could not be read, and why: for each reason the first few, and how many more."""
    paths_by_reason: dict[str, list[str]] = {}
    for path, reason in failures:
        paths_by_reason.setdefault(reason, []).append(path)
    for reason, paths in paths_by_reason.items():
        for path in paths[:_NAMED_OF_A_REASON]:
            report(f"unreadable: {shown(path)}: {reason}")
        if (more := len(paths) - _NAMED_OF_A_REASON) > 0:
            report(f"unreadable: {more:,} more: {reason}")


def trace(text: str) -> None:
    """Print a traceback on stderr."""
    for line in text.splitlines():
        _err_of_all.print(on_one_line(line), markup=False)


def write_lines(*lines: str) -> None:
    """Print lines for people on stdout.

    Raises:
        BrokenPipeError: Nobody reads on.
        CocaSearchError: They cannot be written, as on a full disk.
    """
    _write("".join(f"{on_one_line(line)}\n" for line in lines))


def write_wrapped(*lines: str) -> None:
    """Print lines for people on stdout, wrapped and indented where the terminal ends."""
    width = _page().width
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()))
        write_lines(*tables.wrap(line, width, subsequent_indent=f"{indent}    "))


def write_json(value: object) -> None:
    """Print one JSON document on stdout, with rounded numbers."""
    _write(json.dumps(rounded(value), indent=2, ensure_ascii=False) + "\n")


def write_rows(rows: Sequence[Row], fmt: Format, *, null_separated: bool = False, columns: Sequence[str] = ()) -> None:
    """Print results on stdout, in their order; every row needs the same keys and a `path`.

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
    """Print results on stdout as aligned columns; paths below the working folder are relative to it.

    Args:
        rows: One mapping per result, all with the same keys.
        may_go: Columns to drop on a narrow terminal, the last first; --json shows them.
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
    """A function that shows the state of the work in one line, in place of the last one.

    If stderr is no terminal, it prints a line every half minute, so that a log stays readable.
    """
    if _err.is_terminal:
        with _err.status(escape(on_one_line(what))) as status:
            yield lambda text: status.update(escape(on_one_line(text)))
    else:
        yield _LogLines()


@contextmanager
def progress(what: str, unit: str) -> Iterator[Advance]:
    """A function (done, total) that shows how far and how fast the work is, and how long it will take."""
    with staged_progress(unit, what) as advance:
        yield lambda done, total: advance(what, done, total)


@contextmanager
def staged_progress(unit: str, before: str = "working", **style: Any) -> Iterator[StageAdvance]:
    """A function (stage, done, total) that shows each stage of the work like `progress`.

    Args:
        unit: What is counted.
        before: The text until the first stage begins.
        style: Options of tqdm's meter.
    """
    from tqdm import tqdm

    begun: dict[str, tuple[float, int]] = {}
    with live_line(before) as show:

        def advance(stage: str, done: int, total: int) -> None:
            started, initial = begun.setdefault(stage, (time.monotonic(), done))
            style.update(prefix=stage, unit=f" {unit}", initial=initial, ncols=min(_err.width - 4, 100))
            show(tqdm.format_meter(done, total, time.monotonic() - started, **style))

        yield advance


def byte_progress() -> AbstractContextManager[StageAdvance]:
    """The same for stages that count bytes."""
    return staged_progress("B", unit_scale=True)


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner on stderr during work of unknown length; nothing if stderr is no terminal."""
    with live_line(what):
        yield


def shown(path: str | Path) -> str:
    """A path on one line, as a person at this prompt would write it: relative if it is below the working folder."""
    absolute = Path(path)
    text = str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(path)
    return on_one_line(text)


def on_one_line(text: str) -> str:
    """The text with control characters escaped: those that move the cursor, set colours or turn text around."""
    return _UNPRINTED.sub(lambda mark: repr(mark[0])[1:-1], text)


def _page() -> Console:
    """The page that a table has to fit on."""
    terminal = sys.stdout.isatty()
    width = None if terminal else _PIPE_WIDTH
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, markup=False, emoji=False)


def message(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """The text as a message: on one line of bounded length."""
    return shortened(on_one_line(text), longest)


def _write(text: str) -> None:
    """Write text in UTF-8 in any locale; file names that are no Unicode are written as their own bytes."""
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
        self._printed = time.monotonic()

    def __call__(self, text: str) -> None:
        if time.monotonic() - self._printed >= SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            report(text)


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
