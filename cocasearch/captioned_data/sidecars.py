"""A folder of pictures, each with a text beside it of the same name."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cocasearch.captioned_data.cells import UnreadCell
from cocasearch.captioned_data.columns import WantedColumns
from cocasearch.captioned_data.records import BadRow, Found, Row
from cocasearch.captioned_data.samples import METADATA, SampleReader
from cocasearch.captioned_data.spellings import composed
from cocasearch.images.discovery import is_image_name, walk_folders


def sidecar_rows(folder: Path, wanted: WantedColumns) -> Iterator[Found]:
    """The pictures in a folder and below it with the captions of their side-cars; then what is left out, and why.

    Of `c.png`, `c.png.txt` is a side-car as well as `c.txt`; where both are there, the longer name alone is read, since
    the shorter may be another picture's.

    Raises:
        CocaSearchError: A key that the user means is nowhere.
    """
    start = folder.absolute()
    reader = SampleReader(str(folder), wanted)
    left_out: list[BadRow] = []
    walk = walk_folders(
        start,
        lambda path, why: left_out.append(BadRow(path.relative_to(start).as_posix(), why)),
        is_wanted=lambda name: is_image_name(name) or _ending(name) in reader.endings,
    )
    files = sorted(PurePosixPath(inner, name) for inner, entries in walk for name, _, _ in entries)
    texts: dict[str, dict[str, PurePosixPath]] = {}
    for file in files:
        if (kind := _ending(file.name)) in reader.endings:
            texts.setdefault(composed(str(file.with_suffix(""))), {})[kind] = file
    unread, overruled = dict(texts), dict[str, PurePosixPath]()
    for file in filter(lambda file: is_image_name(file.name), files):
        whole, stem = composed(str(file)), composed(str(file.with_suffix("")))
        own = texts.get(whole, {})
        is_whole = bool(own.keys() - {METADATA})
        unread.pop(whole if is_whole else stem, None)
        overruled.setdefault(stem, file)
        if reader.picture({_ending(file.name): file}):
            beside = own if is_whole else own | texts.get(stem, {})
            yield _row(reader, str(file), {kind: start / text for kind, text in beside.items()})
    for stem, kinds in unread.items():
        for text in (text for kind, text in kinds.items() if kind != METADATA):
            if stem in overruled:
                why = f"{overruled[stem].name} has a side-car of its whole name, which is read instead"
                yield BadRow(str(text), why)
            else:
                yield Row(str(text), "", str(text), ["without a picture"])
    yield from left_out
    reader.refuse_unmet()


def _row(reader: SampleReader, name: str, texts: dict[str, Path]) -> Found:
    try:
        return Row(name, name, name, reader.captions({kind: text.read_bytes() for kind, text in texts.items()}))
    except UnreadCell as error:
        return BadRow(name, str(error))


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()
