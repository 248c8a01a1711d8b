"""What captioned data is read into: images with their captions, and what had to be left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

from cocasearch.byte_range import ImageSource


@dataclass(frozen=True)
class CaptionedImage:
    """One image and all that is said about it.

    Attributes:
        image: The file, the part of a shard that holds it, or the encoded bytes where a table carries them.
        key: The path as written in the data, or the row where it has none ("train.parquet#17").
        captions: At least one, in the order of the data.
    """

    image: ImageSource
    key: str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class BadRow:
    """Something that was left out: `where` names the row or the image, `reason` says why."""

    where: str
    reason: str


@dataclass(frozen=True)
class CaptionedData(Sequence[CaptionedImage]):
    """The images of one source, a sequence of `CaptionedImage`, and what was left out of it.

    Attributes:
        source: As the user wrote it.
        images: Images that are there, in first-seen order.
        bad_rows: Rows without an image or words, or that cannot be understood, in order.
        missing: One for every image that is named but not there, in first-seen order.
        copies: After `unite_copies`, one for every file that counts as one image with another, and why.
    """

    source: str
    images: list[CaptionedImage]
    bad_rows: list[BadRow] = field(default_factory=list)
    missing: list[BadRow] = field(default_factory=list)
    copies: list[BadRow] = field(default_factory=list)

    @property
    def skipped(self) -> list[BadRow]:
        """All that was left out: rows first, then images."""
        return [*self.bad_rows, *self.missing]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[CaptionedImage]:
        return iter(self.images)

    @overload
    def __getitem__(self, index: int) -> CaptionedImage: ...
    @overload
    def __getitem__(self, index: slice) -> list[CaptionedImage]: ...
    def __getitem__(self, index: int | slice) -> CaptionedImage | list[CaptionedImage]:
        return self.images[index]


@dataclass(frozen=True)
class Row:
    """One row as a reader finds it, good or not: `image` and `captions` may be empty.

    Attributes:
        where: The row in words, such as "row 3 of data.csv".
        image: A path as written in the data, or where the image is.
        key: What the image is called.
        captions: What is said about it.
    """

    where: str
    image: str | bytes | ImageSource
    key: str
    captions: list[str]


Found = Row | BadRow
"""What readers give: a row that could be taken apart, or one that could not."""
