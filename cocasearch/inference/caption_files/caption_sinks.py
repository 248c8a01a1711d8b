"""Sinks of caption records, above all a file of them, from which a stopped run loses none."""

import csv
import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from cocasearch.atomic_files import replacing
from cocasearch.errors import CocaSearchError
from cocasearch.inference.caption_confidence import is_sure
from cocasearch.json_values import build, parse_json

Layout = Literal["records", "imagefolder"]

_IMAGEFOLDER = {"path": "file_name", "caption": "text"}
NUMBERS = ("caption_score", "caption_logprob", "caption_confidence")  # the fields of a record that are no text


@dataclass(frozen=True)
class CaptionRecord:
    """An image's caption and how it was written.

    Attributes:
        path: Absolute path of the image.
        caption: Plain text.
        caption_score: Cosine of the image and its own caption.
        caption_logprob: Mean log-probability per caption token.
        model: Name and fingerprint of the model.
        decoding: The `CaptionOptions` as JSON.
        caption_confidence: Probability that the caption is right, 0 to 1; None if the model was never calibrated.
    """

    path: str
    caption: str
    caption_score: float | None
    caption_logprob: float | None
    model: str
    decoding: str
    caption_confidence: float | None = None


def is_below(confidence: float | None, below: float | None) -> bool:
    """Whether a caption's confidence is below a limit; False if either is unknown."""
    return below is not None and confidence is not None and confidence < below


class CaptionSink(Protocol):
    """A place to which the captions of a run go."""

    def has(self, image: Path, model: str, decoding: str) -> bool:
        """Whether this image needs no caption."""

    def add(self, record: CaptionRecord) -> None:
        """Store one caption safely."""

    def finish(self) -> None:
        """Complete what is stored; called once, after the last `add`."""


class CaptionList:
    """A sink that keeps captions in memory, to be printed."""

    def __init__(self) -> None:
        self.records: list[CaptionRecord] = []

    def has(self, image: Path, model: str, decoding: str) -> bool:
        """False: each run starts with none."""
        return False

    def add(self, record: CaptionRecord) -> None:
        """Keep one caption."""
        self.records.append(record)

    def finish(self) -> None:
        """Do nothing: the list is complete."""


class CaptionFile:
    """A sink that is a .parquet, .csv or .jsonl file, sorted by path, of captions by one model with one set of options.

    The rows of a finished file are kept, and their images need no new caption. Until `finish` the captions of a run are
    lines of `.NAME.cocasearch-captions`, where the next run finds them; lines that it has no use for stay there.

    Args:
        file: The file to write.
        overwrite: Whether a finished file is replaced instead of added to.
        only_sure: Whether the file may hold sure captions alone.
        layout: "records" for the fields of `CaptionRecord`; "imagefolder" for those of Hugging Face's `metadata.jsonl`:
            `file_name`, relative to the file's folder, and `text` in place of `path` and `caption`.
        below: Confidence, from 0 to 1, below which captions are replaced, however they were written.

    Raises:
        CocaSearchError: The suffix is another, the folder does not exist, a file of something else is there (which is
            never replaced), or one with unsure captions although only sure ones are wanted.
    """

    def __init__(
        self,
        file: Path,
        *,
        overwrite: bool = False,
        only_sure: bool = False,
        layout: Layout = "records",
        below: float | None = None,
    ) -> None:
        _check(file)
        self._file, self._layout, self._below = file, layout, below
        self._partial = file.with_name(f".{file.name}.cocasearch-captions")
        finished = {record.path: record for record in _read_finished(file)}
        self._records = {} if overwrite else finished
        if only_sure and not all(is_sure(record.caption_confidence) for record in self._records.values()):
            raise _refusal(file, "holds unsure captions")
        for path in self._records:
            self._refuse_elsewhere(Path(path))
        self._only_sure = only_sure
        self._made = {(record.model, record.decoding) for record in self._records.values()}
        self._left_over = {record.path: record for record in _read_partial(self._partial)}

    def has(self, image: Path, model: str, decoding: str) -> bool:
        """Whether this file or a stopped run has the image's caption by the same model with the same options.

        Raises:
            CocaSearchError: The finished file's captions were written otherwise, or its layout cannot name the image,
                which lies elsewhere.
        """
        if self._below is None and self._made - {(model, decoding)}:
            raise _refusal(self._file, "holds captions by another model or with other options")
        self._refuse_elsewhere(image)
        left = self._left_over.get(str(image))
        is_wanted = left is not None and (not self._only_sure or is_sure(left.caption_confidence))
        if left is not None and is_wanted and (left.model, left.decoding) == (model, decoding):
            self._records[left.path] = left
            return True
        record = self._records.get(str(image))
        return record is not None and not is_below(record.caption_confidence, self._below)

    def _refuse_elsewhere(self, image: Path) -> None:
        folder = _folder_of(self._file)
        if self._layout == "imagefolder" and not image.is_relative_to(folder):
            raise CocaSearchError(
                f"{self._file.name} names photos of its own folder, {folder}, where {image.name} does not lie",
                hint="an --out in the folder of the photos, or --layout records",
            )

    def add(self, record: CaptionRecord) -> None:
        """Keep one caption, safe from here on."""
        self._records[record.path] = record
        with self._partial.open("a", encoding="utf-8") as lines:
            lines.write(_line(asdict(record)))

    def finish(self) -> None:
        """Write the file itself, in one step."""
        records = sorted(self._records.values(), key=lambda record: record.path)
        with replacing(self._file) as complete:
            names = _IMAGEFOLDER if self._layout == "imagefolder" else {}
            rows = [{names.get(name, name): value for name, value in asdict(record).items()} for record in records]
            if names:
                folder = _folder_of(self._file)
                rows = [row | {"file_name": Path(row["file_name"]).relative_to(folder).as_posix()} for row in rows]
            _FORMATS[self._file.suffix.lower()].write(complete, rows)
        left = [record for path, record in self._left_over.items() if path not in self._records]
        if left:
            with replacing(self._partial) as complete:
                _write_jsonl(complete, list(map(asdict, left)))
        else:
            self._partial.unlink(missing_ok=True)


class _Format(NamedTuple):
    """The writer and the reader of one kind of file."""

    write: Callable[[Path, Sequence[dict[str, Any]]], None]
    read: Callable[[Path], Iterable[dict[str, Any]]]


def _check(file: Path) -> None:
    if file.suffix.lower() not in _FORMATS:
        message = f"captions are written as {', '.join(_FORMATS)}, and {file} has none of these endings"
        raise CocaSearchError(message, hint=f"--out {shlex.quote(str(file.with_suffix('.csv')))}")
    if not file.absolute().parent.is_dir():
        raise CocaSearchError(f"there is no folder {file.parent} for {file.name}", hint=f"mkdir -p {file.parent}")


def _folder_of(file: Path) -> Path:
    return file.absolute().parent.resolve()


def _refusal(file: Path, what: str) -> CocaSearchError:
    return CocaSearchError(f"{file} {what}", hint="the same command with --overwrite, or another --out")


def _read_finished(file: Path) -> list[CaptionRecord]:
    if not file.exists():
        return []
    own_names = {name: own for own, name in _IMAGEFOLDER.items()}
    try:
        rows = [
            {own_names.get(name, name): value for name, value in row.items()}
            | ({"path": str(_folder_of(file) / row["file_name"])} if "file_name" in row else {})
            for row in _FORMATS[file.suffix.lower()].read(file)
        ]
        if not rows and file.stat().st_size:
            raise ValueError("it has no captions")
        return [build(CaptionRecord, row) for row in rows]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, csv.Error, pa.ArrowException) as error:
        raise CocaSearchError(
            f"{file} exists already, is no file of captions that can be added to, and stays as it is",
            hint="another --out",
        ) from error


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _read_partial(partial: Path) -> Iterator[CaptionRecord]:
    """The captions of a stopped run; a line that a crash cut short is ignored."""
    lines = partial.read_text(encoding="utf-8", errors="replace").split("\n") if partial.exists() else []
    for line in lines:
        try:
            yield build(CaptionRecord, parse_json(line))
        except ValueError:
            continue


def _columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(rows[0]) if rows else [field.name for field in fields(CaptionRecord)]


def _write_parquet(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    numbers = dict.fromkeys(NUMBERS, pa.float32())
    schema = pa.schema([(name, numbers.get(name, pa.string())) for name in _columns(rows)])
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), file)


def _write_csv(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, _columns(rows), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _read_csv(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            yield row | {name: float(row[name]) if row.get(name) else None for name in NUMBERS}  # older ones lack one


def _write_jsonl(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    file.write_text("".join(map(_line, rows)), encoding="utf-8")


_FORMATS = {
    ".parquet": _Format(_write_parquet, lambda file: pq.read_table(file).to_pylist()),
    ".csv": _Format(_write_csv, _read_csv),
    ".jsonl": _Format(_write_jsonl, lambda file: map(parse_json, filter(None, file.read_text("utf-8").split("\n")))),
}
