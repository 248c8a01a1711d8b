"""A folder of pictures, each with a text beside it of the same name."""

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import Generic, TypeVar

from cocasearch.captioned_data.captioned_image import BadRow, CaptionedData, CaptionedImage, Found, Row
from cocasearch.captioned_data.cells import UnreadCell
from cocasearch.captioned_data.columns import WantedColumns
from cocasearch.captioned_data.samples import METADATA, SampleReader
from cocasearch.captioned_data.unicode_names import composed
from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import RAW_SUFFIXES, is_image_name, walk_folders

_NO_PICTURE = "no picture"
_Name = TypeVar("_Name", bound=PurePath)


class SidecarNames(Generic[_Name]):
    """Which side-cars are of which pictures, by their names alone, in whichever form of Unicode.

    `c.png.txt` is of `c.png`. `c.txt` is of the one picture `c.*` that has no side-car of its whole name; where several
    have none, nobody can tell whose it is. A raw file leaves it to a developed picture of its name.

    Args:
        pictures: Those of one folder, or of several.
        texts: The side-cars there.
    """

    def __init__(self, pictures: Iterable[_Name], texts: Iterable[_Name]) -> None:
        self._pictures = {_key(picture): picture for picture in pictures}
        self._texts: dict[str, list[_Name]] = {}  # by the name or the stem of a picture
        for text in texts:
            self._texts.setdefault(_stem(text), []).append(text)
        raw = {key for key, picture in self._pictures.items() if picture.suffix.lower() in RAW_SUFFIXES}
        developed = {_stem(picture) for key, picture in self._pictures.items() if key not in raw}
        self._of_stem: dict[str, list[_Name]] = {}
        for key, picture in self._pictures.items():
            stem = _stem(picture)
            if stem not in self._pictures and not (key in raw and stem in developed):
                self._of_stem.setdefault(stem.casefold(), []).append(picture)  # one name on many disks

    def of(self, picture: _Name) -> list[_Name]:
        """The side-cars of a picture; none where nobody can tell."""
        if own := self._texts.get(_key(picture)):
            return own
        stem = _stem(picture)
        return self._texts.get(stem, []) if self._claimants(stem) == [picture] else []

    def _claimants(self, stem: str) -> list[_Name]:
        """The pictures that a side-car of this stem may be of."""
        pictures = self._of_stem.get(stem.casefold(), [])
        return [one for one in pictures if _stem(one) == stem and _key(one) not in self._texts]

    def why_nobodys(self, text: _Name) -> str | None:
        """Why a side-car is of no picture; None if it is of one."""
        stem = _stem(text)
        claimants = self._claimants(stem)
        if stem in self._pictures or len(claimants) == 1:
            return None
        if claimants:
            return f"it may be of {claimants[0].name} or {claimants[1].name}: call it {claimants[0].name}{text.suffix}"
        others = self._of_stem.get(stem.casefold())
        return f"{others[0].name} has a side-car of its whole name, which is read instead" if others else _NO_PICTURE

    def place(self, picture: _Name) -> _Name:
        """Where the side-car of a picture is to be written: under its whole name if others have its stem."""
        is_alone = self._of_stem.get(_stem(picture).casefold()) == [picture]
        return picture.with_suffix(".txt") if is_alone else picture.with_name(f"{picture.name}.txt")


def sidecar_rows(folder: Path, wanted: WantedColumns) -> Iterator[Found]:
    """The pictures in a folder and below it with the captions of their side-cars, and what is left out, and why.

    Raises:
        CocaSearchError: A key that the user means is nowhere.
    """
    start = folder.absolute()
    reader = SampleReader(str(folder), wanted)
    skipped: list[BadRow] = []
    walk = walk_folders(
        start,
        lambda path, why: skipped.append(BadRow(path.relative_to(start).as_posix(), why)),
        is_wanted=lambda name: is_image_name(name) or _ending(name) in reader.endings,
    )
    files = sorted(PurePosixPath(inner, name) for inner, entries in walk for name, _, _ in entries)
    pictures = [file for file in files if is_image_name(file.name)]
    texts = [file for file in files if not is_image_name(file.name)]
    notes = {_stem(text): text for text in texts if _ending(text.name) == METADATA}
    captions = [text for text in texts if _ending(text.name) != METADATA]
    names = SidecarNames(pictures, captions)
    nobodys = [(str(text), reason) for text in captions if (reason := names.why_nobodys(text))]
    yield from (BadRow(name, reason) for name, reason in nobodys if reason != _NO_PICTURE)
    for picture in pictures:
        if reader.picture({_ending(picture.name): picture}):
            beside = {_ending(text.name): start / text for text in names.of(picture)}
            if note := notes.get(_key(picture), notes.get(_stem(picture))):
                beside[METADATA] = start / note
            yield _row(reader, str(picture), beside)
    yield from (Row(name, "", name, ["without a picture"]) for name, reason in nobodys if reason == _NO_PICTURE)
    yield from skipped
    reader.refuse_unmet()


def read_sidecars(folder: Path) -> CaptionedData:
    """The pictures in a folder and below it that have captions beside them, whatever other data lies there.

    Raises:
        CocaSearchError: There are none.
    """
    data = CaptionedData(str(folder), [])
    for row in sidecar_rows(folder, WantedColumns()):
        if isinstance(row, Row) and row.image and row.captions:
            data.images.append(CaptionedImage(folder / str(row.image), row.key, tuple(row.captions)))
        else:
            reason = row.reason if isinstance(row, BadRow) else "no caption" if row.image else _NO_PICTURE
            data.bad_rows.append(BadRow(row.where, reason))
    if not data.images:
        raise CocaSearchError(
            f"no photo in {folder} has a side-car with a caption",
            hint=f"cocasearch caption {shlex.quote(str(folder))} --sidecar",
        )
    return data


def _row(reader: SampleReader, name: str, texts: dict[str, Path]) -> Found:
    try:
        return Row(name, name, name, reader.captions({kind: text.read_bytes() for kind, text in texts.items()}))
    except UnreadCell as error:
        return BadRow(name, str(error))


def _key(file: PurePath) -> str:
    return composed(str(file))


def _stem(file: PurePath) -> str:
    return composed(str(file.with_suffix("")))


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()
