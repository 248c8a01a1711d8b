"""Reader of folders of images, each with a text of the same name beside it."""

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import Generic, TypeVar

from cocasearch.captioned_data.captioned_image import AnyRow, BadRow, CaptionedData, CaptionedImage, Row
from cocasearch.captioned_data.cells import UnreadCell
from cocasearch.captioned_data.columns import WantedColumns
from cocasearch.captioned_data.samples import METADATA, SampleReader
from cocasearch.captioned_data.unicode_names import composed
from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import is_image_name, walk_folders
from cocasearch.images.formats import RAW_SUFFIXES

_NO_IMAGE = "no photo"
_Name = TypeVar("_Name", bound=PurePath)


class SidecarNames(Generic[_Name]):
    """The assignment of side-cars to images by their names alone, in either form of Unicode.

    `c.png.txt` belongs to `c.png`. `c.txt` belongs to the one image `c.*` that has no side-car of its whole name; if
    several have none, it belongs to none. A RAW file leaves it to a developed image of the same name.

    Args:
        images: The images of one folder, or of several.
        texts: The side-cars there.
    """

    def __init__(self, images: Iterable[_Name], texts: Iterable[_Name]) -> None:
        self._images = {_key(image): image for image in images}
        self._texts: dict[str, list[_Name]] = {}  # by the name or the stem of an image
        for text in texts:
            self._texts.setdefault(_stem(text), []).append(text)
        raw = {key for key, image in self._images.items() if image.suffix.lower() in RAW_SUFFIXES}
        developed = {_stem(image) for key, image in self._images.items() if key not in raw}
        self._of_stem: dict[str, list[_Name]] = {}
        for key, image in self._images.items():
            stem = _stem(image)
            if stem not in self._images and not (key in raw and stem in developed):
                self._of_stem.setdefault(stem.casefold(), []).append(image)  # one name on many disks

    def sidecars_of(self, image: _Name) -> list[_Name]:
        """The side-cars of an image; none where that is not clear."""
        if own := self._texts.get(_key(image)):
            return own
        stem = _stem(image)
        return self._texts.get(stem, []) if self._claimants(stem) == [image] else []

    def _claimants(self, stem: str) -> list[_Name]:
        """The images that a side-car of this stem may belong to."""
        images = self._of_stem.get(stem.casefold(), [])
        return [one for one in images if _stem(one) == stem and _key(one) not in self._texts]

    def why_nobodys(self, text: _Name) -> str | None:
        """The reason why a side-car belongs to no image; None if it belongs to one."""
        stem = _stem(text)
        claimants = self._claimants(stem)
        if stem in self._images or len(claimants) == 1:
            return None
        if claimants:
            return f"it may be of {claimants[0].name} or {claimants[1].name}: call it {claimants[0].name}{text.suffix}"
        others = self._of_stem.get(stem.casefold())
        return f"{others[0].name} has a side-car of its whole name, which is read instead" if others else _NO_IMAGE

    def path_for(self, image: _Name) -> _Name:
        """The path for an image's side-car, with the image's whole name if other images have its stem."""
        is_alone = self._of_stem.get(_stem(image).casefold()) == [image]
        return image.with_suffix(".txt") if is_alone else image.with_name(f"{image.name}.txt")


def sidecar_rows(folder: Path, wanted: WantedColumns) -> Iterator[AnyRow]:
    """The rows of the images in a folder and below it with the captions of their side-cars.

    Raises:
        CocaSearchError: A key that the user names is nowhere.
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
    images = [file for file in files if is_image_name(file.name)]
    texts = [file for file in files if not is_image_name(file.name)]
    notes = {_stem(text): text for text in texts if _ending(text.name) == METADATA}
    captions = [text for text in texts if _ending(text.name) != METADATA]
    names = SidecarNames(images, captions)
    nobodys = [(str(text), reason) for text in captions if (reason := names.why_nobodys(text))]
    yield from (BadRow(name, reason) for name, reason in nobodys if reason != _NO_IMAGE)
    for image in images:
        if reader.image({_ending(image.name): image}):
            beside = {_ending(text.name): start / text for text in names.sidecars_of(image)}
            if note := notes.get(_key(image), notes.get(_stem(image))):
                beside[METADATA] = start / note
            yield _row(reader, str(image), beside)
    yield from (Row(name, "", name, ["without a photo"]) for name, reason in nobodys if reason == _NO_IMAGE)
    yield from skipped
    reader.refuse_unmet()


def read_sidecars(folder: Path) -> CaptionedData:
    """The images in a folder and below it that have captions beside them. Other data files there are ignored.

    Raises:
        CocaSearchError: There are none.
    """
    data = CaptionedData(str(folder), [])
    for row in sidecar_rows(folder, WantedColumns()):
        if isinstance(row, Row) and row.image and row.captions:
            data.images.append(CaptionedImage(folder / str(row.image), row.key, tuple(row.captions)))
        else:
            reason = row.reason if isinstance(row, BadRow) else "no caption" if row.image else _NO_IMAGE
            data.bad_rows.append(BadRow(row.where, reason))
    if not data.images:
        raise CocaSearchError(
            f"no photo in {folder} has a side-car with a caption",
            hint=f"cocasearch caption {shlex.quote(str(folder))} --sidecar",
        )
    return data


def _row(reader: SampleReader, name: str, texts: dict[str, Path]) -> AnyRow:
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
