"""A file of captions for a person to look through and correct, and what they have done with it.

    path                the photo
    caption             its words: left as they are, corrected, or emptied for a photo without a caption
    caption_confidence  probability from 0 to 1 that they are right
    right               yes if they are right as they are
    photo               tells the photo and its caption again when the file is taken back

CSV or TSV, as a spreadsheet opens and saves them, or JSON lines. Knows nothing about indexes.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cocasearch.atomic_files import replacing
from cocasearch.errors import CocaSearchError
from cocasearch.json_values import parse_json, shown

COLUMNS = ("path", "caption", "caption_confidence", "right", "photo")

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = ".jsonl"
_KEY = re.compile(r"photo-([0-9a-f]{16})-([0-9a-f]{32})-([0-9a-f]{8})")  # no spreadsheet takes that for a number
_YES, _NO = {"yes", "y", "true", "1", "x", "right"}, {"", "no", "n", "false", "0"}


class PhotoKey(NamedTuple):
    """The row of a photo, its content, and what its caption was."""

    id: str
    content_hash: str
    digest: str

    @classmethod
    def of(cls, id: str, content_hash: str, caption: str) -> "PhotoKey":
        """The key of a row with a caption."""
        return cls(id, content_hash, _digest(caption))

    def __str__(self) -> str:
        return f"photo-{self.id}-{self.content_hash}-{self.digest}"


@dataclass(frozen=True)
class Reviewed:
    """A row of the file for a person to look at."""

    path: str
    caption: str
    caption_confidence: float
    photo: PhotoKey


@dataclass(frozen=True)
class Correction:
    """A row of the file as it came back.

    Attributes:
        caption: None where it was emptied.
        is_right: Whether it was marked as right.
        path: The photo, as the file names it; empty where it does not.
    """

    photo: PhotoKey
    caption: str | None
    is_right: bool
    path: str = field(default="", compare=False)

    @property
    def is_decided(self) -> bool:
        """Whether a person has decided anything."""
        return self.is_changed or self.is_right

    @property
    def is_changed(self) -> bool:
        """Whether the caption is another than it was."""
        return _digest(self.caption or "") != self.photo.digest


def write_review(rows: Sequence[Reviewed], file: Path) -> None:
    """Put rows into a file, in their order.

    Raises:
        CocaSearchError: The file cannot be written, or its ending is none of those known.
    """
    separator = _separator(file)
    cells = [
        {
            "path": row.path,
            "caption": row.caption,
            "caption_confidence": round(row.caption_confidence, 3),
            "right": "",
            "photo": str(row.photo),
        }
        for row in rows
    ]
    try:
        with replacing(file) as partial:
            if separator is None:
                lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in cells)
                partial.write_text(lines, encoding="utf-8")
                return
            with partial.open("w", encoding="utf-8-sig", newline="") as text:  # the mark tells spreadsheets of UTF-8
                writer = csv.DictWriter(text, COLUMNS, delimiter=separator, lineterminator="\n")
                writer.writeheader()
                writer.writerows(cells)
    except OSError as error:
        raise CocaSearchError(f"cannot write {file}: {str(error.strerror or error).lower()}") from error


def read_corrections(file: Path) -> list[Correction]:
    """The rows of a file that a person has looked through, each photo once.

    Raises:
        CocaSearchError: It is not there, cannot be read, or is no such file; or a photo has two different captions.
    """
    separator = _separator(file)
    try:
        text = file.read_text(encoding="utf-8-sig")
        rows = _json_rows(text) if separator is None else _table_rows(text, separator)
        return list(_unique(_correction(row, number) for number, row in rows).values())
    except UnicodeDecodeError as error:
        raise _refusal(file, "is not in UTF-8: save it as 'CSV UTF-8'") from error
    except OSError as error:
        raise _refusal(file, f"cannot be read: {str(error.strerror or error).lower()}") from error
    except csv.Error as error:
        raise _refusal(file, f"is no table that can be read ({error})") from error
    except ValueError as error:
        raise _refusal(file, str(error)) from error


def check_ending(file: Path) -> None:
    """Refuse a file of another kind.

    Raises:
        CocaSearchError: Its ending is none of those known.
    """
    _separator(file)


def _separator(file: Path) -> str | None:
    """What separates columns; None for JSON lines."""
    suffix = file.suffix.lower()
    if suffix not in (*_SEPARATORS, _JSON_LINES):
        known = ", ".join((*_SEPARATORS, _JSON_LINES))
        message = f"captions are reviewed in files that end with {known}, and {file} does not"
        raise CocaSearchError(
            message, hint="in a spreadsheet, it can be saved as 'CSV UTF-8'" if file.exists() else None
        )
    return _SEPARATORS.get(suffix)


def _table_rows(text: str, separator: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with the numbers of their lines, the first row being line 2; spreadsheets may have put other separators."""
    if not text.strip():
        raise ValueError("is empty")
    header = text.partition("\n")[0]
    separator = max((separator, ";", "\t", ","), key=header.count)
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    _require(table.fieldnames or ())
    for row in table:
        if None in row:
            raise ValueError(f"has more cells than columns in line {table.line_num}: quote what holds a separator")
        if any(row.values()):
            yield table.line_num, row


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                row = parse_json(line)
            except ValueError as error:
                raise ValueError(f"has no JSON in line {number}") from error
            if not isinstance(row, dict):
                raise ValueError(f"has no JSON object in line {number}")
            _require(row)
            yield number, row


def _require(names: Iterable[str]) -> None:
    if missing := [name for name in ("caption", "photo") if name not in names]:
        raise ValueError(f"has no column '{missing[0]}'")


def _correction(row: dict[str, Any], number: int) -> tuple[int, Correction]:
    key = _KEY.fullmatch(str(row["photo"] or "").strip())
    if key is None:
        raise ValueError(f"names no photo in line {number}: its column 'photo' is not as it was written")
    right = str(row.get("right") or "").strip().lower()
    if right not in _YES | _NO:
        raise ValueError(f"has '{shown(right)}' in the column 'right' of line {number}, which is yes or empty")
    if not isinstance(row["caption"], str | None):
        raise ValueError(f"has a caption that is no text in line {number}")
    words = " ".join((row["caption"] or "").split())
    if words.encode(errors="replace").decode() != words:  # half of a character, as JSON can spell it
        raise ValueError(f"has a caption that is no text in line {number}")
    photo, path = PhotoKey(*key.groups()), str(row.get("path") or "")
    return number, Correction(photo, words or None, right in _YES, path)


def _unique(corrections: Iterable[tuple[int, Correction]]) -> dict[str, Correction]:
    """The corrections by the ids of their photos."""
    found: dict[str, Correction] = {}
    for number, correction in corrections:
        if found.setdefault(correction.photo.id, correction) != correction:
            raise ValueError(f"has two different rows for one photo, the second in line {number}")
    if not found:
        raise ValueError("holds no captions")
    return found


def _digest(caption: str) -> str:
    return hashlib.blake2b(" ".join(caption.split()).encode(), digest_size=4).hexdigest()


def _refusal(file: Path, what: str) -> CocaSearchError:
    return CocaSearchError(f"{file} {what}; nothing was changed", hint="correct that, and run the same command again")
