"""A folder of pictures, each with a text beside it of the same name."""

from collections.abc import Iterator
from pathlib import Path

from cocasearch.captioned_data.records import BadRow, Found, Row
from cocasearch.captioned_data.tables import NOT_UTF8

SIDECAR_SUFFIXES = (".txt", ".caption")  # in the order in which their captions are put together
NOT_A_PICTURE = {*SIDECAR_SUFFIXES, ".cls", ".csv", ".json", ".jsonl", ".npy", ".npz", ".tsv"}
_SURELY_A_PICTURE = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"}


def sidecar_rows(folder: Path) -> Iterator[Found]:
    """The pictures in a folder and below it with the captions of their side-cars; then side-cars without a picture."""
    files = [file for file in sorted(folder.rglob("*")) if not file.name.startswith(".") and file.is_file()]
    texts: dict[Path, list[Path]] = {}
    for kind in SIDECAR_SUFFIXES:
        for file in files:
            if file.suffix.lower() == kind:
                texts.setdefault(file.with_suffix(""), []).append(file)
    alone = dict(texts)
    for file in files:
        stem, suffix = file.with_suffix(""), file.suffix.lower()
        if suffix not in NOT_A_PICTURE and (stem in texts or suffix in _SURELY_A_PICTURE):
            alone.pop(stem, None)
            yield _row_of(file.relative_to(folder).as_posix(), texts.get(stem, []))
    for sidecars in alone.values():
        for sidecar in sidecars:
            name = sidecar.relative_to(folder).as_posix()
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
