"""Caption records in, one file of them or side-cars out, so that a stopped run loses none.

Knows nothing about models and opens no picture.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from cocasearch.errors import CocaSearchError


@dataclass(frozen=True)
class CaptionRecord:
    """One picture's caption and how it came about.

    Attributes:
        path: The picture, absolute.
        caption: Plain text.
        caption_score: Cosine of the image and its own caption.
        caption_logprob: Mean log-probability per caption token.
        model: Name and fingerprint of the model.
        decoding: The `CaptionOptions` as JSON.
    """

    path: str
    caption: str
    caption_score: float | None
    caption_logprob: float | None
    model: str
    decoding: str


class CaptionSink(Protocol):
    """Where the captions of a run go."""

    def has(self, picture: Path, model: str, decoding: str) -> bool:
        """Whether this picture needs no caption any more."""

    def add(self, record: CaptionRecord) -> None:
        """Keep one caption, safe from here on."""

    def finish(self) -> None:
        """Complete what is kept; called once, after the last `add`."""


class CaptionList:
    """Captions in memory, to be printed."""

    def __init__(self) -> None:
        self.records: list[CaptionRecord] = []

    def has(self, picture: Path, model: str, decoding: str) -> bool:
        """Never: each run starts with none."""
        return False

    def add(self, record: CaptionRecord) -> None:
        """Keep one caption."""
        self.records.append(record)

    def finish(self) -> None:
        """Nothing is left to do."""


class CaptionFile:
    """One .parquet, .csv or .jsonl file of captions, rows sorted by path.

    Until `finish` they are lines of `NAME.partial`, where a stopped run's successor finds them.

    Args:
        file: Where to write.
        overwrite: Whether a finished file may be replaced.

    Raises:
        CocaSearchError: Another ending, a folder that does not exist, or a finished file and not `overwrite`.
    """

    def __init__(self, file: Path, *, overwrite: bool = False) -> None:
        _check(file, overwrite)
        self._file = file
        self._partial = file.with_name(f"{file.name}.partial")
        self._records = {record.path: record for record in _read_partial(self._partial)}

    def has(self, picture: Path, model: str, decoding: str) -> bool:
        """Whether a stopped run captioned this picture with the same model in the same way."""
        record = self._records.get(str(picture))
        return record is not None and (record.model, record.decoding) == (model, decoding)

    def add(self, record: CaptionRecord) -> None:
        """Keep one caption, safe from here on."""
        self._records[record.path] = record
        with self._partial.open("a", encoding="utf-8") as lines:
            lines.write(_line(record))

    def finish(self) -> None:
        """Write the file itself, in one step."""
        complete = self._partial.with_suffix(".complete")
        _WRITERS[self._file.suffix.lower()](complete, sorted(self._records.values(), key=lambda record: record.path))
        complete.replace(self._file)
        self._partial.unlink(missing_ok=True)


class Sidecars:
    """A text file beside each picture: `dog.jpg` has `dog.txt`.

    Args:
        overwrite: Whether side-cars that exist are written anew; else their pictures are left out.
    """

    def __init__(self, *, overwrite: bool = False) -> None:
        self._overwrite = overwrite
        self._owners: dict[Path, Path] = {}

    def has(self, picture: Path, model: str, decoding: str) -> bool:
        """Whether the side-car stays: it exists, or belongs to another picture of this run (`dog.png`)."""
        sidecar = picture.with_suffix(".txt")
        owner = self._owners.setdefault(sidecar, picture)
        return owner != picture or (sidecar.exists() and not self._overwrite)

    def add(self, record: CaptionRecord) -> None:
        """Write one caption beside its picture, in one step."""
        sidecar = Path(record.path).with_suffix(".txt")
        complete = sidecar.with_name(f".{sidecar.name}.partial")
        complete.write_text(record.caption + "\n", encoding="utf-8")
        complete.replace(sidecar)

    def finish(self) -> None:
        """Nothing is left to do."""


def _check(file: Path, overwrite: bool) -> None:
    if file.suffix.lower() not in _WRITERS:
        raise CocaSearchError(f"captions are written as {', '.join(_WRITERS)}, which {file} does not end with")
    if not file.absolute().parent.is_dir():
        raise CocaSearchError(f"there is no folder {file.parent} for {file.name}", hint=f"mkdir -p {file.parent}")
    if file.exists() and not overwrite:
        raise CocaSearchError(f"{file} exists already", hint="the same command with --overwrite, or another --out")


def _line(record: CaptionRecord) -> str:
    return json.dumps(asdict(record), ensure_ascii=False) + "\n"


def _read_partial(partial: Path) -> Iterator[CaptionRecord]:
    """The whole lines of a stopped run; a line that a crash cut short is left out."""
    lines = partial.read_text(encoding="utf-8", errors="replace").split("\n") if partial.exists() else []
    for line in lines:
        try:
            yield CaptionRecord(**json.loads(line))
        except (ValueError, TypeError):
            continue


def _write_parquet(file: Path, records: Sequence[CaptionRecord]) -> None:
    numbers = {"caption_score": pa.float32(), "caption_logprob": pa.float32()}
    schema = pa.schema([(field.name, numbers.get(field.name, pa.string())) for field in fields(CaptionRecord)])
    pq.write_table(pa.Table.from_pylist([asdict(record) for record in records], schema=schema), file)


def _write_csv(file: Path, records: Sequence[CaptionRecord]) -> None:
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, [field.name for field in fields(CaptionRecord)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(record) for record in records)


def _write_jsonl(file: Path, records: Sequence[CaptionRecord]) -> None:
    file.write_text("".join(_line(record) for record in records), encoding="utf-8")


_WRITERS: dict[str, Callable[[Path, Sequence[CaptionRecord]], None]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
}
