"""A folder of pictures, each with a text beside it of the same name."""

from collections.abc import Iterator
from pathlib import Path

from cocasearch.captioned_data.records import BadRow, Found, Row
from cocasearch.captioned_data.tables import NOT_UTF8

SIDECAR_SUFFIXES = (".txt", ".caption")  # in the order in which their captions are put together
NOT_A_PICTURE = {*SIDECAR_SUFFIXES, ".cls", ".csv", ".json", ".jsonl", ".npy", ".npz", ".tsv"}
_SURELY_A_PICTURE = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"}


def sidecar_rows(folder: Path) -> Iterator[Found]:
    """The pictures in a folder and below it with the captions of their side-cars; then side-cars without a picture.

    Of `c.png`, `c.png.txt` is a side-car as well as `c.txt`; where both are there, the longer name alone is read, since
    the shorter may be another picture's.
    """
    files = [file for file in sorted(folder.rglob("*")) if not file.name.startswith(".") and file.is_file()]
    texts: dict[Path, list[Path]] = {}
    for kind in SIDECAR_SUFFIXES:
        for file in files:
            if file.suffix.lower() == kind:
                texts.setdefault(file.with_suffix(""), []).append(file)
    unread = dict(texts)
    overruled: dict[Path, Path] = {}
    for file in files:
        stem, suffix = file.with_suffix(""), file.suffix.lower()
        owner = file if file in texts else stem
        if suffix not in NOT_A_PICTURE and (owner in texts or suffix in _SURELY_A_PICTURE):
            unread.pop(owner, None)
            overruled.setdefault(stem, file)
            yield _row_of(file.relative_to(folder).as_posix(), texts.get(owner, []))
    for stem, sidecars in unread.items():
        for sidecar in sidecars:
            name = sidecar.relative_to(folder).as_posix()
            if stem in overruled:
                yield BadRow(name, f"{overruled[stem].name} has a side-car of its whole name, which is read instead")
            else:
                yield Row(name, "", name, ["without a picture"])


def _row_of(name: str, sidecars: list[Path]) -> Found:
    captions: list[str] = []
    for sidecar in sidecars:
        lines = lines_of(sidecar.read_bytes())
        if lines is None:
            return BadRow(name, f"{sidecar.name}: {NOT_UTF8}")
        captions += lines
    return Row(name, name, name, captions)


def lines_of(content: bytes) -> list[str] | None:
    """The captions of a side-car, one a line; None if it is no text in UTF-8."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return [line.strip() for line in text.splitlines() if line.strip()]
