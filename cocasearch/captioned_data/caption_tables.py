"""Readers of tables of captioned images: CSV and its relatives, JSONL and Parquet."""

import csv
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cocasearch.captioned_data.captioned_image import AnyRow, BadRow, Row
from cocasearch.captioned_data.cells import UnreadCell, image_in
from cocasearch.captioned_data.columns import WantedColumns
from cocasearch.errors import CocaSearchError, first_line
from cocasearch.images.discovery import is_utf8

MOST_LINES = 20  # of one row: a caption that goes on for longer is a quotation mark that was never closed
NOT_UTF8 = "it is not UTF-8"
_TELLING_COLUMNS = 100  # objects, of which the first ones may lack some
_LONGEST_CELL = 2**31 - 1  # characters: images stand in cells, and what csv allows is less
_EXCELS_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def delimited_rows(path: Path, name: str, wanted: WantedColumns) -> Iterator[AnyRow]:
    """The rows of a table with a header, separated by tabs, commas, semicolons or bars.

    Raises:
        CocaSearchError: It is not such a table, lacks a column, or a quotation mark in it is never closed.
    """
    refuse_binary(path, name)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = file.readline()
        declared = _EXCELS_SEPARATOR.fullmatch(header)
        header = file.readline() if declared else header
        separator = declared[1] if declared else max("\t,;|", key=header.count)
        names = csv.reader([header], delimiter=separator, skipinitialspace=True)
        columns = [column.strip() for column in next(names, [])]
        reader = RowReader.choose(name, columns, wanted)
        image_at, caption_at = columns.index(reader.image), columns.index(reader.caption)
        split = _tab_separated(file) if separator == "\t" else _quoted(file, name, separator)
        for number, (cells, lines) in enumerate(split, start=1):
            where = f"row {number} of {name}"
            if lines > MOST_LINES:
                yield BadRow(where, f"it goes over {lines} lines: is a quotation mark in it not closed?")
            elif cells and len(cells) != len(columns):
                yield BadRow(where, f"it has {len(cells)} cells where the header has {len(columns)}")
            elif not is_utf8("".join(cells)):
                yield BadRow(where, NOT_UTF8)
            elif cells:
                yield reader.row(where, cells[image_at], cells[caption_at], f"{path.name}#{number}")


def _quoted(lines: Iterable[str], name: str, separator: str) -> Iterator[tuple[list[str], int]]:
    """The cells of each row and the number of its lines, several where quotation marks hold line breaks."""
    ended = False

    def watched() -> Iterator[str]:
        nonlocal ended
        yield from lines
        ended = True

    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(watched(), delimiter=separator, skipinitialspace=True)
    before = 0
    for number, cells in enumerate(reader, start=1):
        if ended:  # the reader asked for more lines than there are
            raise CocaSearchError(f"row {number} of {name} opens a quotation mark that is never closed")
        yield cells, reader.line_num - before
        before = reader.line_num


def _tab_separated(lines: Iterable[str]) -> Iterator[tuple[list[str], int]]:
    """The cells of each line: a quotation mark that opens a caption must not swallow the rows that follow."""
    for line in lines:
        line = line.rstrip("\r\n")
        yield ([_unquoted(cell) for cell in line.split("\t")] if line else []), 1


def _unquoted(cell: str) -> str:
    inner = cell[1:-1].replace('""', "\0")  # a doubled mark is the written form of one
    return inner.replace("\0", '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner else cell


def refuse_binary(path: Path, name: str) -> None:
    """Make sure that a file begins like UTF-8 text.

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


def jsonl_rows(path: Path, name: str, wanted: WantedColumns) -> Iterator[AnyRow]:
    """The rows of a file with a JSON object in each line.

    Raises:
        CocaSearchError: It is binary, or its first objects lack a column.
    """
    refuse_binary(path, name)
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        lines = ((number, _json_value(line)) for number, line in enumerate(file, start=1) if line.strip())
        yield from rows_of_records("line", lines, name, wanted)


def rows_of_records(
    kind: str, records: Iterable[tuple[int, object]], name: str, wanted: WantedColumns
) -> Iterator[AnyRow]:
    """The rows of JSON objects.

    Args:
        kind: What the file calls each of them: "line".
        records: The objects with their numbers; an `UnreadCell` in place of one says why it cannot be read.
        name: Name of the file.
        wanted: The columns that the user means.

    Raises:
        CocaSearchError: None of the first objects has a column.
    """
    following = iter(records)
    first = list(itertools.islice(following, _TELLING_COLUMNS))
    columns = dict.fromkeys(key for _, record in first if isinstance(record, dict) for key in record)
    reader = RowReader.choose(name, list(columns), wanted) if columns else None
    for number, record in itertools.chain(first, following):
        where = f"{kind} {number} of {name}"
        if isinstance(record, UnreadCell):
            yield BadRow(where, str(record))
        elif isinstance(record, dict) and reader:
            unnamed = f"{PurePath(name).name}#{number}"
            yield reader.row(where, record.get(reader.image), record.get(reader.caption), unnamed)
        else:
            yield BadRow(where, "it is not a JSON object")


def parse_document(text: str | bytes) -> Any:
    """The value of a JSON text. A key that an object has several times gets the list of its values.

    Raises:
        UnreadCell: The text is not JSON.
    """
    try:
        return json.loads(text, object_pairs_hook=_with_all_values)
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else getattr(error, "msg", first_line(error))
        raise UnreadCell(f"it is not JSON: {why}") from error


def _with_all_values(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    merged = dict(pairs)
    if len(merged) == len(pairs):
        return merged
    values: dict[str, list[Any]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return {key: several if len(several) > 1 else several[0] for key, several in values.items()}


def _json_value(line: str) -> object:
    """The value in a line, or the reason why it has none."""
    if not is_utf8(line):
        return UnreadCell(NOT_UTF8)
    try:
        return parse_document(line)
    except UnreadCell as error:
        return error


@dataclass(frozen=True)
class RowReader:
    """The reader of the two cells of a row that matter, which may hold anything.

    Attributes:
        image: The column of the image.
        caption: The column of the captions.
        captions_of: Function that takes the captions out of a cell.
    """

    image: str
    caption: str
    captions_of: Callable[[object], list[str]]

    @classmethod
    def choose(cls, name: str, header: list[str], wanted: WantedColumns) -> "RowReader":
        """The reader of a table with these columns.

        Raises:
            CocaSearchError: A wanted column is missing, or there twice.
        """
        image, caption = wanted.choose(name, header)
        return cls(image, caption, wanted.reader(caption))

    def row(self, where: str, image: object, text: object, unnamed: str) -> AnyRow:
        """The row of two cells; `unnamed` is the key of an image without a name."""
        column = self.image
        try:
            file, content = image_in(image)
            column = self.caption
            captions = self.captions_of(text)
        except UnreadCell as error:
            return BadRow(where, f"column {column!r}: {error}")
        except RecursionError:
            return BadRow(where, f"column {column!r}: nested too deeply")
        return Row(where, content or file, file or (unnamed if content else ""), captions)


def parquet_rows(path: Path, name: str, wanted: WantedColumns) -> Iterator[AnyRow]:
    """The rows of a Parquet file of paths, of encoded bytes, or of structs of both.

    Raises:
        CocaSearchError: A column is missing.
        pyarrow.ArrowException: The file is damaged.
    """
    schema = pq.read_schema(path)
    reader = RowReader.choose(name, schema.names, wanted)
    table = pq.read_table(path, columns=[reader.image, reader.caption])
    cells = _class_names(schema, reader.caption, table[reader.caption].to_pylist())
    for number, (image, cell) in enumerate(zip(table[reader.image], cells, strict=True)):
        yield reader.row(f"row {number} of {name}", image.as_py(), cell, f"{path.name}#{number}")


def _class_names(schema: pa.Schema, column: str, cells: list[Any]) -> list[Any]:
    """The cells with class numbers replaced by the names that the `datasets` library keeps in the file's metadata."""
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    names = metadata.get("info", {}).get("features", {}).get(column, {}).get("names")
    if not names:
        return cells
    return [names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else None for cell in cells]
