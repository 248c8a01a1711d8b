"""Captioned pictures in any of the usual layouts -> one `CaptionedImage` per picture.

Receives a data file or folder; hands on pictures (a path, or the encoded bytes) with their captions, in first-seen
order. It opens no picture: a missing or broken one shows when it is decoded. It knows nothing about models.

    CSV, TSV      a header; the separator is detected
    JSONL         one object per line
    Parquet       picture paths, encoded bytes, or the `image` struct of both; a folder of shards is read as one
    .tar          WebDataset shards: `0001.jpg` with `0001.txt`; a folder of shards is read as one
    folder        pictures with `.txt` side-cars, one caption per line
"""

import csv
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cocasearch.errors import CocaSearchError

IMAGE_COLUMNS = ("filepath", "image", "path", "file_name")
CAPTION_COLUMNS = ("title", "caption", "text")
LABEL_COLUMNS = ("name", "names", "label")
SIDECAR_SUFFIX = ".txt"
NOT_A_PICTURE = {SIDECAR_SUFFIX, ".caption", ".cls", ".csv", ".json", ".jsonl", ".npy", ".npz", ".tsv"}

_Row = tuple[str | bytes, str, list[str]]  # picture, key, captions


@dataclass(frozen=True)
class CaptionedImage:
    """One picture and all that is said about it.

    Attributes:
        image: The file, or the encoded bytes where the data carries them.
        key: The path as written in the data, or the row where it has none ("train.parquet#17").
        captions: At least one, in the order of the data.
    """

    image: Path | bytes
    key: str
    captions: tuple[str, ...]


def read_captioned_data(
    path: Path, *, image_key: str | None = None, caption_key: str | None = None, label_template: str | None = None
) -> list[CaptionedImage]:
    """Every picture of a data file or folder with its captions, rows of the same picture put together.

    Relative picture paths start at the data file's folder. Rows without a picture or without words are left out.
    A label column (`name`, `names`, `label`) gives its first synonym: "goldfish, Carassius auratus" is "goldfish".

    Args:
        path: A .csv, .tsv, .jsonl, .parquet or .tar file, a folder of shards, or pictures with .txt side-cars.
        image_key: The column of the pictures, where its name is not one of the usual.
        caption_key: The column of the captions, likewise.
        label_template: Words around a label, such as "a photo of a {name}"; a column named by `caption_key` is
            then read as labels, while the usual caption columns stay as they are.

    Raises:
        CocaSearchError: The path is missing, of an unknown kind, lacks a column, is damaged, or holds no captions.
    """
    wanted = _Wanted(image_key, caption_key, label_template)
    if not path.exists():
        raise CocaSearchError(f"there is no captioned data at {path}")
    rows = _folder_rows(path, wanted) if path.is_dir() else _file_rows(path, wanted)
    data = _grouped(rows, path if path.is_dir() else path.parent)
    if not data:
        raise CocaSearchError(f"{path} holds no captioned pictures", hint=_hint(path))
    return data


@dataclass(frozen=True)
class _Wanted:
    """Which columns the user means, and how a cell of them becomes captions."""

    image_key: str | None
    caption_key: str | None
    label_template: str | None

    def __post_init__(self) -> None:
        if self.label_template is not None and "{name}" not in self.label_template:
            raise CocaSearchError(f"the label template {self.label_template!r} has no place for the {{name}}")

    def columns(self, path: Path, found: list[str]) -> tuple[str, str]:
        """The image and the caption column among those found."""
        image = _pick(path, found, "image", self.image_key, IMAGE_COLUMNS)
        return image, _pick(path, found, "caption", self.caption_key, CAPTION_COLUMNS + LABEL_COLUMNS)

    def reader(self, path: Path, column: str) -> Callable[[object], list[str]]:
        """What turns a cell of the caption column into captions; for labels, into one at most."""
        if column not in LABEL_COLUMNS and (self.label_template is None or column != self.caption_key):
            return lambda cell: _words(cell, f"column {column!r} of {path}")
        template = self.label_template or "{name}"

        def read_label(cell: object) -> list[str]:
            names = ",".join(_words(cell, f"column {column!r} of {path}")).split(",")
            return [template.replace("{name}", name.strip()) for name in names if name.strip()][:1]

        return read_label


def _words(cell: object, where: str) -> list[str]:
    """The texts of a cell: none, one, or a list of them."""
    cells = cell if isinstance(cell, list) else [] if cell is None else [cell]
    texts = [text for text in cells if isinstance(text, str)]
    if len(texts) < len(cells):
        raise CocaSearchError(f"{where} holds {cell!r}, which is not words", hint="name another with --caption-key")
    return [text.strip() for text in texts if text.strip()]


def _pick(path: Path, found: list[str], role: str, key: str | None, usual: tuple[str, ...]) -> str:
    for name in (key,) if key else usual:
        if name in found:
            return name
    if not found:
        raise CocaSearchError(f"{path} is empty")
    missing = f"no column {key!r}" if key else f"no {role} column"
    raise CocaSearchError(
        f"{path} has {missing}; its columns are: {', '.join(found)}", hint=f"name it with --{role}-key COLUMN"
    )


def _grouped(rows: Iterable[_Row], folder: Path) -> list[CaptionedImage]:
    keys: dict[str | bytes, str] = {}
    captions: dict[str | bytes, list[str]] = {}
    for image, key, texts in rows:
        if image and texts:
            keys.setdefault(image, key)
            captions.setdefault(image, []).extend(texts)
    return [
        CaptionedImage(image if isinstance(image, bytes) else folder / image, keys[image], tuple(texts))
        for image, texts in captions.items()
    ]


def _hint(path: Path) -> str:
    files = sorted(file.name for file in path.iterdir() if file.suffix in _READERS) if path.is_dir() else []
    if files:
        return f"give one of the data files in it: {', '.join(files)}"
    return "give a .csv, .tsv, .jsonl, .parquet or .tar file, or a folder of pictures with .txt side-cars"


def _file_rows(path: Path, wanted: _Wanted) -> Iterator[_Row]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise CocaSearchError(f"{path} is of no known kind of captioned data", hint=_hint(path))
    try:
        yield from reader(path, wanted)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException, tarfile.TarError) as error:
        raise CocaSearchError(f"cannot read {path}: {str(error).splitlines()[0]}") from error


def _folder_rows(folder: Path, wanted: _Wanted) -> Iterator[_Row]:
    shards = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".parquet", ".tar"))
    for shard in shards:
        yield from _file_rows(shard, wanted)
    if not shards:
        yield from _sidecar_rows(folder, wanted)


def _sidecar_rows(folder: Path, wanted: _Wanted) -> Iterator[_Row]:
    files = [file for file in sorted(folder.rglob("*")) if not file.name.startswith(".")]
    sidecars = {file.with_suffix("") for file in files if file.suffix == SIDECAR_SUFFIX}
    for file in files:
        if file.with_suffix("") in sidecars and file.suffix.lower() not in NOT_A_PICTURE and file.is_file():
            text = file.with_suffix(SIDECAR_SUFFIX).read_text(encoding="utf-8", errors="replace")
            name = file.relative_to(folder).as_posix()
            yield name, name, _sidecar_captions(text)


def _tar_rows(path: Path, wanted: _Wanted) -> Iterator[_Row]:
    """The samples of a WebDataset shard: members next to each other with the same name up to the suffix."""
    name, image, captions = "", b"", list[str]()
    with tarfile.open(path) as shard:
        for member in shard:
            file = shard.extractfile(member)
            if file is None:
                continue
            stem, suffix = str(PurePosixPath(member.name).with_suffix("")), PurePosixPath(member.name).suffix.lower()
            if stem != name:
                yield image, name, captions
                name, image, captions = stem, b"", []
            if suffix == SIDECAR_SUFFIX:
                captions = _sidecar_captions(file.read().decode("utf-8", errors="replace"))
            elif suffix not in NOT_A_PICTURE:
                image = file.read()
    yield image, name, captions


def _sidecar_captions(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _delimited_rows(path: Path, wanted: _Wanted) -> Iterator[_Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        separator = max("\t,;|", key=header.count)
        split = _tab_separated if separator == "\t" else lambda lines: csv.reader(lines, delimiter=separator)
        columns = [name.strip() for name in next(iter(split([header])), [])]
        image, caption = wanted.columns(path, columns)
        image_at, caption_at = columns.index(image), columns.index(caption)
        captions = wanted.reader(path, caption)
        for number, cells in enumerate(split(file), start=1):
            if len(cells) == len(columns):
                yield cells[image_at].strip(), cells[image_at].strip(), captions(cells[caption_at])
            elif cells:
                raise CocaSearchError(
                    f"row {number} of {path} has {len(cells)} cells where the header has {len(columns)}"
                )


def _tab_separated(lines: Iterable[str]) -> Iterator[list[str]]:
    """Cells of one line per row: a quotation mark that opens a caption must not swallow the rows that follow."""
    for line in lines:
        line = line.rstrip("\r\n")
        yield [_unquoted(cell) for cell in line.split("\t")] if line else []


def _unquoted(cell: str) -> str:
    inner = cell[1:-1].replace('""', "\0")  # a doubled mark is the written form of one
    return inner.replace("\0", '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner else cell


def _jsonl_rows(path: Path, wanted: _Wanted) -> Iterator[_Row]:
    columns: tuple[str, str] | None = None
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            record = _json_object(line, f"line {number} of {path}")
            columns = columns or wanted.columns(path, list(record))
            name = str(record.get(columns[0]) or "")
            yield name, name, wanted.reader(path, columns[1])(record.get(columns[1]))


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise CocaSearchError(f"{where} is not JSON: {error.msg}") from error
    if not isinstance(record, dict):
        raise CocaSearchError(f"{where} is not a JSON object")
    return record


def _parquet_rows(path: Path, wanted: _Wanted) -> Iterator[_Row]:
    schema = pq.read_schema(path)
    image, caption = wanted.columns(path, schema.names)
    table = pq.read_table(path, columns=[image, caption])
    captions = wanted.reader(path, caption)
    cells = _class_names(schema, caption, table[caption].to_pylist())
    for number, ((name, content), cell) in enumerate(zip(_pictures(table[image]), cells, strict=True)):
        yield content or name, name or f"{path.name}#{number}", captions(cell)


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


_READERS: dict[str, Callable[[Path, _Wanted], Iterator[_Row]]] = {
    ".csv": _delimited_rows,
    ".tsv": _delimited_rows,
    ".jsonl": _jsonl_rows,
    ".parquet": _parquet_rows,
    ".tar": _tar_rows,
}
