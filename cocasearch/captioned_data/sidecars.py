"""A folder of pictures, each with a text beside it of the same name."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from cocasearch.captioned_data.records import BadRow, CaptionedData, CaptionedImage, Found, Row
from cocasearch.captioned_data.tables import NOT_UTF8
from cocasearch.errors import CocaSearchError

SIDECAR_SUFFIXES = (".txt", ".caption")  # in the order in which their captions are put together
NOT_A_PICTURE = {*SIDECAR_SUFFIXES, ".cls", ".csv", ".json", ".jsonl", ".npy", ".npz", ".tsv"}
_SURELY_A_PICTURE = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"}
_NO_PICTURE = "no picture"


class SidecarNames:
    """Which side-cars are of which pictures, by their names alone.

    `c.png.txt` is of `c.png`. `c.txt` is of the one picture `c.*` that has no side-car of its whole name; where several
    have none, nobody can tell whose it is. A raw file leaves it to a developed picture of its name.

    Args:
        pictures: Those of one folder, or of several.
        texts: The side-cars there.
        raw_suffixes: Endings of raw files, in lower case.
    """

    def __init__(
        self, pictures: Iterable[Path], texts: Iterable[Path], raw_suffixes: Collection[str] = frozenset()
    ) -> None:
        self._pictures = dict.fromkeys(pictures)
        self._texts: dict[Path, list[Path]] = {}  # by the name or the stem of a picture
        for text in texts:
            self._texts.setdefault(text.with_suffix(""), []).append(text)
        raw = {picture for picture in self._pictures if picture.suffix.lower() in raw_suffixes}
        developed = {picture.with_suffix("") for picture in self._pictures if picture not in raw}
        self._of_stem: dict[str, list[Path]] = {}
        for picture in self._pictures:
            stem = picture.with_suffix("")
            if stem not in self._pictures and not (picture in raw and stem in developed):
                self._of_stem.setdefault(_folded(stem), []).append(picture)

    def of(self, picture: Path) -> list[Path]:
        """The side-cars of a picture; none where nobody can tell."""
        if own := self._texts.get(picture):
            return own
        stem = picture.with_suffix("")
        return self._texts.get(stem, []) if self.claimants(stem) == [picture] else []

    def claimants(self, stem: Path) -> list[Path]:
        """The pictures that a side-car of this stem may be of."""
        pictures = self._of_stem.get(_folded(stem), [])
        return [one for one in pictures if one.with_suffix("") == stem and one not in self._texts]

    def why_nobodys(self, text: Path) -> str | None:
        """Why a side-car is of no picture; None if it is of one."""
        stem = text.with_suffix("")
        claimants = self.claimants(stem)
        if stem in self._pictures or len(claimants) == 1:
            return None
        if claimants:
            return f"it may be of {claimants[0].name} or {claimants[1].name}: call it {claimants[0].name}{text.suffix}"
        others = self._of_stem.get(_folded(stem))
        return f"{others[0].name} has a side-car of its whole name, which is read instead" if others else _NO_PICTURE

    def place(self, picture: Path) -> Path:
        """Where the side-car of a picture is to be written: under its whole name if others have its stem."""
        is_alone = self._of_stem.get(_folded(picture.with_suffix(""))) == [picture]
        return picture.with_suffix(".txt") if is_alone else picture.with_name(f"{picture.name}.txt")


def _folded(stem: Path) -> str:
    """`A` and `a` are one name on many disks."""
    return str(stem).casefold()


def sidecar_rows(folder: Path) -> Iterator[Found]:
    """The pictures in a folder and below it with the captions of their side-cars, and side-cars that are of none."""
    files = [file for file in sorted(folder.rglob("*")) if not file.name.startswith(".") and file.is_file()]
    texts = [file for kind in SIDECAR_SUFFIXES for file in files if file.suffix.lower() == kind]
    pictures = _pictures(files, {text.with_suffix("") for text in texts})
    names = SidecarNames(pictures, texts)
    nobodys = [(text.relative_to(folder).as_posix(), reason) for text in texts if (reason := names.why_nobodys(text))]
    yield from (BadRow(name, reason) for name, reason in nobodys if reason != _NO_PICTURE)
    yield from (_row_of(picture.relative_to(folder).as_posix(), names.of(picture)) for picture in pictures)
    yield from (Row(name, "", name, ["without a picture"]) for name, reason in nobodys if reason == _NO_PICTURE)


def _pictures(files: list[Path], named: set[Path]) -> list[Path]:
    """The pictures among files: by their suffix, or if a side-car names them and no other picture is there for it."""
    sure = {file.with_suffix("") for file in files if file.suffix.lower() in _SURELY_A_PICTURE}
    by_stem_alone = named - sure
    return [
        file
        for file in files
        if (suffix := file.suffix.lower()) in _SURELY_A_PICTURE
        or (suffix not in NOT_A_PICTURE and (file in named or file.with_suffix("") in by_stem_alone))
    ]


def read_sidecars(folder: Path) -> CaptionedData:
    """The pictures in a folder and below it that have captions beside them, whatever other data lies there.

    Raises:
        CocaSearchError: There are none.
    """
    data = CaptionedData(str(folder), [])
    for row in sidecar_rows(folder):
        if isinstance(row, Row) and row.image and row.captions:
            data.images.append(CaptionedImage(folder / str(row.image), row.key, tuple(row.captions)))
        else:
            reason = row.reason if isinstance(row, BadRow) else "no caption" if row.image else _NO_PICTURE
            data.bad_rows.append(BadRow(row.where, reason))
    if not data.images:
        raise CocaSearchError(
            f"no photo in {folder} has a side-car with a caption", hint="cocasearch caption --sidecar"
        )
    return data


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
