"""Images with their captions, as captioned data is read, and what had to be skipped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

from cocasearch.byte_range import ImageSource


@dataclass(frozen=True)
class CaptionedImage:
    """An image and all its captions.

    Attributes:
        image: The file, the part of a shard that holds it, or the encoded bytes where a table carries them.
        key: The path as written in the data, or the row of an image without one ("train.parquet#17").
        captions: One caption or more, in the order of the data.
    """

    image: ImageSource
    key: str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class BadRow:
    """A row or image that was skipped: `where` names it, `reason` says why."""

    where: str
    reason: str


@dataclass(frozen=True)
class CaptionedData(Sequence[CaptionedImage]):
    """The images of one source, as a sequence of `CaptionedImage`, and what was skipped.

    Attributes:
        source: The source as the user wrote it.
        images: The images that exist, in first-seen order.
        bad_rows: Rows without an image or caption, or that cannot be understood, in order.
        missing: Images that are named but do not exist, in first-seen order.
        copies: After `unite_copies`, the files that count as one image with another, with the reason.
    """

    source: str
    images: list[CaptionedImage]
    bad_rows: list[BadRow] = field(default_factory=list)
    missing: list[BadRow] = field(default_factory=list)
    copies: list[BadRow] = field(default_factory=list)

    @property
    def skipped(self) -> list[BadRow]:
        """Everything that was skipped: rows first, then images."""
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
    """A row as a reader takes it apart; `image` and `captions` may be empty.

    Attributes:
        where: The row in words, such as "row 3 of data.csv".
        image: The image's path as written in the data, or its place.
        key: The image's name.
        captions: Its captions.
    """

    where: str
    image: str | bytes | ImageSource
    key: str
    captions: list[str]


AnyRow = Row | BadRow
"""A row that a reader could take apart, or one that it could not."""
