"""Tables of captioned pictures: CSV and its relatives, JSONL and Parquet."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cocasearch.captioned_data.columns import NotWordsError, WantedColumns, shortened
from cocasearch.captioned_data.records import BadRow, Found, Row
from cocasearch.errors import CocaSearchError

MOST_LINES = 20  # of one row: a caption that goes on for longer is a quotation mark that was never closed
NOT_UTF8 = "it is not UTF-8"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def delimited_rows(path: Path, name: str, wanted: WantedColumns) -> Iterator[Found]:
    """The rows of a table with a header, its separator a tab, comma, semicolon or bar.

    Raises:
        CocaSearchError: It is no such table, lacks a column, or a quotation mark in it is never closed.
    """
    refuse_binary(path, name)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = file.readline()
        separator = max("\t,;|", key=header.count)
        columns = [column.strip() for column in next(csv.reader([header], delimiter=separator), [])]
        image, caption = wanted.choose(name, columns)
        image_at, caption_at = columns.index(image), columns.index(caption)
        read = wanted.reader(caption)
        split = _tab_separated(file) if separator == "\t" else _quoted(file, name, separator)
        for number, (cells, lines) in enumerate(split, start=1):
            where = f"row {number} of {name}"
            if lines > MOST_LINES:
                yield BadRow(where, f"it goes over {lines} lines: is a quotation mark in it not closed?")
            elif cells and len(cells) != len(columns):
                yield BadRow(where, f"it has {len(cells)} cells where the header has {len(columns)}")
            elif not is_unicode("".join(cells)):
                yield BadRow(where, NOT_UTF8)
            elif cells:
                yield Row(where, cells[image_at].strip(), cells[image_at].strip(), read(cells[caption_at]))


def _quoted(lines: Iterable[str], name: str, separator: str) -> Iterator[tuple[list[str], int]]:
    """Cells of each row, which may go over several lines within quotation marks, and how many."""
    ended = False

    def watched() -> Iterator[str]:
        nonlocal ended
        yield from lines
        ended = True

    reader = csv.reader(watched(), delimiter=separator)
    before = 0
    for number, cells in enumerate(reader, start=1):
        if ended:  # the reader asked for more lines than there are
            raise CocaSearchError(f"row {number} of {name} opens a quotation mark that is never closed")
        yield cells, reader.line_num - before
        before = reader.line_num


def _tab_separated(lines: Iterable[str]) -> Iterator[tuple[list[str], int]]:
    """Cells of one line per row: a quotation mark that opens a caption must not swallow the rows that follow."""
    for line in lines:
        line = line.rstrip("\r\n")
        yield ([_unquoted(cell) for cell in line.split("\t")] if line else []), 1


def _unquoted(cell: str) -> str:
    inner = cell[1:-1].replace('""', "\0")  # a doubled mark is the written form of one
    return inner.replace("\0", '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner else cell


def refuse_binary(path: Path, name: str) -> None:
    """Refuse a file that does not begin as text in UTF-8 does.

    Raises:
        CocaSearchError: It is binary, or UTF-16.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(_UTF16):
        converted = f"{path.stem}-utf8{path.suffix}"
        raise CocaSearchError(f"{name} is UTF-16, not UTF-8", hint=f"iconv -f utf-16 -t utf-8 {name} > {converted}")
    if b"\0" in head:
        raise CocaSearchError(f"{name} is not text: it has a zero byte at its beginning")


def is_unicode(text: str) -> bool:
    """Whether text that was read with `surrogateescape` was UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def jsonl_rows(path: Path, name: str, wanted: WantedColumns) -> Iterator[Found]:
    """The objects of a file with one in each line; the first tells the columns.

    Raises:
        CocaSearchError: It is binary, or the first object lacks a column.
    """
    refuse_binary(path, name)
    columns: tuple[str, str] | None = None
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, line in enumerate(file, start=1):
            where = f"line {number} of {name}"
            if not line.strip():
                continue
            record = _json_object(line)
            if isinstance(record, str):
                yield BadRow(where, record)
                continue
            columns = columns or wanted.choose(name, list(record))
            yield row_of_record(where, record, *columns, wanted)


def _json_object(line: str) -> dict[str, Any] | str:
    """The object in a line, or why there is none."""
    if not is_unicode(line):
        return NOT_UTF8
    try:
        record = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        return f"it is not JSON: {error.msg if isinstance(error, json.JSONDecodeError) else 'nested too deeply'}"
    return record if isinstance(record, dict) else "it is not a JSON object"


def row_of_record(where: str, record: dict[str, Any], image: str, caption: str, wanted: WantedColumns) -> Found:
    """A row of a JSON object with these keys, whose values may be anything."""
    path = record.get(image)
    if path is not None and not isinstance(path, str):
        return BadRow(where, f"column {image!r}: {shortened(path)} is not a path")
    key = (path or "").strip()
    return row_of_cell(where, key, key, record.get(caption), wanted, caption)


def row_of_cell(where: str, image: str | bytes, key: str, cell: object, wanted: WantedColumns, column: str) -> Found:
    """A row whose captions are in a cell that may hold anything."""
    try:
        return Row(where, image, key, wanted.reader(column)(cell))
    except NotWordsError as error:
        return BadRow(where, f"column {column!r}: {error}")


def parquet_rows(path: Path, name: str, wanted: WantedColumns) -> Iterator[Found]:
    """The rows of a Parquet file of paths, of encoded bytes, or of structs of both.

    Raises:
        CocaSearchError: A column is missing.
        pyarrow.ArrowException: The file is damaged.
    """
    schema = pq.read_schema(path)
    image, caption = wanted.choose(name, schema.names)
    table = pq.read_table(path, columns=[image, caption])
    cells = _class_names(schema, caption, table[caption].to_pylist())
    for number, ((file, content), cell) in enumerate(zip(_pictures(table[image]), cells, strict=True)):
        key = file or f"{path.name}#{number}"
        yield row_of_cell(f"row {number} of {name}", content or file, key, cell, wanted, caption)


def _pictures(column: pa.ChunkedArray) -> Iterable[tuple[str, bytes]]:
    """Name and content of each picture; either may be empty."""
    if pa.types.is_struct(column.type):
        fields = {field.name for field in column.type}
        names, contents = (
            pc.struct_field(column, field).to_pylist() if field in fields else [None] * len(column)
            for field in ("path", "bytes")
        )
        return [(name or "", content or b"") for name, content in zip(names, contents, strict=True)]
    values = column.to_pylist()
    return [("", value) if isinstance(value, bytes) else (str(value or ""), b"") for value in values]


def _class_names(schema: pa.Schema, column: str, cells: list[Any]) -> list[Any]:
    """Class numbers become the names that the `datasets` library keeps in the file's metadata."""
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    names = metadata.get("info", {}).get("features", {}).get(column, {}).get("names")
    if not names:
        return cells
    return [names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else None for cell in cells]
