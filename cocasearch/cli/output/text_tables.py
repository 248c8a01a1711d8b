"""Rows of text as a table that fits a page of any width, without cutting a number, a name or an ending.

If the rows are too wide, prose is wrapped, then the words of column names are stacked, then optional columns are
dropped, with a note that names them, and finally each row is printed as `name: value` pairs.
"""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import product

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

Cells = Mapping[str, str]

wrap = partial(textwrap.wrap, break_long_words=False, break_on_hyphens=False)
"""Breaks lines only between words."""

_PROSE = 20  # characters from which words are prose, which needs so much room at least
_BETWEEN = 2  # characters between columns


def draw(rows: Sequence[Cells], page: Console, *, numbers: Collection[str], may_go: Collection[str] = ()) -> list[str]:
    """The lines of a table on a page.

    Args:
        rows: The text of each cell by the name of its column, in which "_" is where a line may end.
        page: The page, with its width and styles.
        numbers: Columns set flush right.
        may_go: Columns that may be dropped if there is no room, the last first.
    """
    if not rows:
        return []
    names = list(rows[0])
    going = [name for name in names if name in may_go]
    for n_kept, is_broken in product(range(len(going), -1, -1), (False, True)):
        shown = [name for name in names if name not in going[n_kept:]]
        widths = _widths(rows, shown, page.width, is_broken)
        if widths is not None:
            dropped = ", ".join(map(_spaced, going[n_kept:]))
            note = [f"no room here for {dropped}; --json shows all"] if dropped else []
            return [*_table(rows, widths, page, numbers), *note]
    return [line for row in rows for line in _stacked(row, page.width)]


def _widths(rows: Sequence[Cells], names: Sequence[str], page: int, is_broken: bool) -> dict[str, int] | None:
    """How wide each column is on a page of that width; None if they do not fit."""
    longest = {name: max(cell_len(row[name]) for row in rows) for name in names}
    widths = {name: max(longest[name], max(map(cell_len, _header(name, is_broken).split("\n")))) for name in names}
    prose = sorted(filter(lambda name: _is_prose(name, rows), names), key=widths.__getitem__)
    room = page - _BETWEEN * (len(names) - 1) - sum(width for name, width in widths.items() if name not in prose)
    for at, name in enumerate(prose):
        words = (word for row in rows for word in row[name].split())
        needed = max(min(_PROSE, widths[name]), *map(cell_len, words))
        widths[name] = max(needed, min(widths[name], room // (len(prose) - at)))
        room -= widths[name]
    return widths if room >= 0 else None


def _is_prose(name: str, rows: Sequence[Cells]) -> bool:
    return name != "path" and any(" " in row[name] and cell_len(row[name]) > _PROSE for row in rows)


def _table(rows: Sequence[Cells], widths: Mapping[str, int], page: Console, numbers: Collection[str]) -> list[str]:
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold")
    for name, width in widths.items():
        header = _header(name, is_broken=width < cell_len(name))
        table.add_column(header, justify="right" if name in numbers else "left", width=width, overflow="fold")
    for row in rows:
        table.add_row(*(row[name] for name in widths))
    with page.capture() as text:
        page.print(table)
    return [line.rstrip() for line in text.get().splitlines()]


def _stacked(row: Cells, page: int) -> list[str]:
    lines = [""]
    for name, cell in row.items():
        value = f"{_spaced(name)}: {cell}"
        if lines[-1] and cell_len(lines[-1]) + _BETWEEN + cell_len(value) <= page:
            lines[-1] += " " * _BETWEEN + value
        elif _is_prose(name, [row]):
            lines += wrap(value, page, initial_indent="  " if lines[-1] else "", subsequent_indent="    ")
        else:
            lines.append(f"  {value}" if lines[-1] else value)
    return list(filter(None, lines))


def _header(name: str, is_broken: bool) -> str:
    return name.replace("_", "\n") if is_broken else _spaced(name)


def _spaced(name: str) -> str:
    return name.replace("_", " ")
