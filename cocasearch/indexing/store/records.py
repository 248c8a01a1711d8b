"""One indexed image as a row: its file, its metadata, its caption and its vector.

`ImageRecord` says all that is known of a column: from it derive the table's schema (`record_rows`), the columns of
`--where` with their help, and those of snapshot and exports. Imports nothing heavy, since help is printed from it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from cocasearch.images.timed_reading import open_regular

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CaptionAuthor = Literal["model", "human"]
"""Who has written a caption, or let it stand: the index's model or a person."""


@dataclass(frozen=True, slots=True)
class ImageKey:
    """What tells one indexed thing from all others.

    Attributes:
        root: Key of its root in the manifest.
        path: POSIX path of its file relative to that root.
        part: Which part of the file it is; empty for a photo, which is all of its file.
    """

    root: str
    path: str
    part: str = ""

    @property
    def id(self) -> str:
        """The id of its row: 16 hex digits, the same in every run."""
        names = (self.root, self.path, self.part) if self.part else (self.root, self.path)
        return hashlib.blake2b("\0".join(names).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()

    def file(self, roots: Mapping[str, Path]) -> Path:
        """Its file, by the present folder of each root; of an unknown root, what is known of the path."""
        return roots.get(self.root, Path()) / self.path


@dataclass(frozen=True, slots=True)
class Column:
    """How a field of `ImageRecord` is stored and shown.

    Attributes:
        arrow: Name of its Arrow type.
        where: What it is, for those who write conditions; empty for a column that these cannot name.
        in_snapshot: Whether the snapshot carries it, so that a plain query can print it.
    """

    arrow: str
    where: str = ""
    in_snapshot: bool = False


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """Everything the index knows about one image.

    Attributes:
        id: That of its `ImageKey`, as are `root`, `path` and `part`.
        content_hash: BLAKE2b of the file, 32 hex digits.
        mtime_ns: Last change of the file, nanoseconds since 1970.
        width: Pixels, upright, as is `height`.
        format: As the decoder names it: "JPEG", "PNG".
        model_fingerprint: The model that made vector and caption.
        embedding: (E,) unit row, float32.
        missing_since: When the file was first not found where it was, UTC in whole seconds; None while it is there.
        caption_confidence: Probability that the caption is right; None if nobody has judged it, or a person has
            written it.
        caption_by: Who has written the caption, or decided that there is none ("human"); None where nobody has.
        remark: What is wrong with the file around its pixels, which are all there; None if nothing is known to be.
    """

    id: Annotated[str, Column("string", in_snapshot=True)]
    root: Annotated[str, Column("string", "key of the indexed folder", in_snapshot=True)]
    path: Annotated[str, Column("string", "the file", in_snapshot=True)]
    content_hash: Annotated[str, Column("string", in_snapshot=True)]
    size: Annotated[int, Column("int64", "bytes", in_snapshot=True)]
    mtime_ns: Annotated[int, Column("int64")]
    width: Annotated[int, Column("int32", "pixels", in_snapshot=True)]
    height: Annotated[int, Column("int32", "pixels", in_snapshot=True)]
    format: Annotated[str, Column("string", "such as JPEG", in_snapshot=True)]
    taken_at: Annotated[datetime | None, Column("time", "by the camera's clock", in_snapshot=True)]
    latitude: Annotated[float | None, Column("float64", "degrees", in_snapshot=True)]
    longitude: Annotated[float | None, Column("float64", "degrees", in_snapshot=True)]
    camera: Annotated[str | None, Column("string", "maker and model", in_snapshot=True)]
    caption: Annotated[str | None, Column("string", "its words", in_snapshot=True)]
    caption_score: Annotated[float | None, Column("float32", "cosine of photo and caption", in_snapshot=True)]
    caption_logprob: Annotated[float | None, Column("float32", "mean of its tokens")]
    model_fingerprint: Annotated[str, Column("string")]
    embedding: Annotated["NDArray[np.float32]", Column("vector")]
    missing_since: Annotated[datetime | None, Column("utc")] = None
    caption_confidence: Annotated[float | None, Column("float32", "from 0 to 1", in_snapshot=True)] = None
    caption_by: Annotated[CaptionAuthor | None, Column("string", "'model' or 'human'")] = None
    remark: Annotated[str | None, Column("string", "what is damaged around a photo's pixels")] = None
    part: Annotated[str, Column("string", in_snapshot=True)] = ""


COLUMNS: dict[str, Column] = {field.name: field.type.__metadata__[0] for field in fields(ImageRecord)}  # type: ignore[union-attr]
"""How each field is stored and shown, by its name, in the order of the table."""

WHERE_HELP = ", ".join(f"{name} ({column.where})" for name, column in COLUMNS.items() if column.where)
"""The columns that a condition may name, each with what it is."""


class StoredCaption(NamedTuple):
    """The caption of a row with all that is stored about it; see `ImageRecord`."""

    caption: str | None
    caption_score: float | None = None
    caption_logprob: float | None = None
    caption_confidence: float | None = None
    caption_by: CaptionAuthor | None = None


def author_of(caption: str | None) -> CaptionAuthor | None:
    """Who has written what a model has given as its caption: nobody if that is nothing."""
    return None if caption is None else "model"


def record_id(root: str, path: str) -> str:
    """The id of the photo at `path` under `root`: 16 hex digits."""
    return ImageKey(root, path).id


def hash_file(file: Path) -> str:
    """What tells a file's content from another's: BLAKE2b, 32 hex digits."""
    with open_regular(file) as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
