"""One indexed image as a row: its file, its metadata, its caption and its vector.

Hands Arrow tables to the image table. Knows neither where rows are stored nor how vectors come about.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cocasearch.images.timed_reading import open_regular
from cocasearch.inference.caption_confidence import SURE_FROM

CaptionAuthor = Literal["model", "human"]
"""Who has written a caption, or let it stand: the index's model or a person."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """Everything the index knows about one image.

    Attributes:
        id: 16 hex digits, the same for the same root and path in every run.
        root: Key of the root in the manifest.
        path: POSIX path relative to that root.
        content_hash: BLAKE2b of the file, 32 hex digits.
        size: Bytes.
        mtime_ns: Last change of the file, nanoseconds since 1970.
        width: Pixels, upright.
        height: Pixels, upright.
        format: As the decoder names it: "JPEG", "PNG".
        caption_score: Cosine of the image and its own caption.
        caption_logprob: Mean log-probability per caption token.
        model_fingerprint: The model that made vector and caption.
        embedding: (E,) unit row, float32.
        missing_since: When the file was first not found where it was, UTC in whole seconds; None while it is there.
        caption_confidence: Probability that the caption is right, 0 to 1; None if nobody has judged it, or a person has
            written it.
        caption_by: Who has written the caption, or decided that there is none ("human"); None where nobody has.
        remark: What is wrong with the file around its pixels, which are all there; None if nothing is known to be.
    """

    id: str
    root: str
    path: str
    content_hash: str
    size: int
    mtime_ns: int
    width: int
    height: int
    format: str
    taken_at: datetime | None
    latitude: float | None
    longitude: float | None
    camera: str | None
    caption: str | None
    caption_score: float | None
    caption_logprob: float | None
    model_fingerprint: str
    embedding: NDArray[np.float32]
    missing_since: datetime | None = None
    caption_confidence: float | None = None
    caption_by: CaptionAuthor | None = None
    remark: str | None = None


class StoredCaption(NamedTuple):
    """The caption of a row with all that is stored about it; see `ImageRecord`."""

    caption: str | None
    caption_score: float | None = None
    caption_logprob: float | None = None
    caption_confidence: float | None = None
    caption_by: CaptionAuthor | None = None


MISSING_SINCE = pa.field("missing_since", pa.timestamp("s", tz="UTC"))
CAPTION_CONFIDENCE = pa.field("caption_confidence", pa.float32())
CAPTION_BY = pa.field("caption_by", pa.string())
REMARK = pa.field("remark", pa.string())
_MISFITS = (pa.ArrowException, ValueError, OverflowError, TypeError)  # raised over a value that a column cannot hold
LATER_COLUMNS = (MISSING_SINCE, CAPTION_CONFIDENCE, CAPTION_BY, REMARK)
"""Those that earlier schemas had not, in the order in which they came."""


def author_of(caption: str | None) -> CaptionAuthor | None:
    """Who has written what a model has given as its caption: nobody if that is nothing."""
    return None if caption is None else "model"


def record_id(root: str, path: str) -> str:
    """The id of the image at `path` under `root`: 16 hex digits."""
    return hashlib.blake2b(f"{root}\0{path}".encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def hash_file(file: Path) -> str:
    """What tells a file's content from another's: BLAKE2b, 32 hex digits."""
    with open_regular(file) as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def record_schema(dimension: int) -> pa.Schema:
    """The columns of the image table for vectors of `dimension` numbers."""
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("root", pa.string(), nullable=False),
            pa.field("path", pa.string(), nullable=False),
            pa.field("content_hash", pa.string(), nullable=False),
            pa.field("size", pa.int64(), nullable=False),
            pa.field("mtime_ns", pa.int64(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("format", pa.string(), nullable=False),
            pa.field("taken_at", pa.timestamp("s")),
            pa.field("latitude", pa.float64()),
            pa.field("longitude", pa.float64()),
            pa.field("camera", pa.string()),
            pa.field("caption", pa.string()),
            pa.field("caption_score", pa.float32()),
            pa.field("caption_logprob", pa.float32()),
            pa.field("model_fingerprint", pa.string(), nullable=False),
            pa.field("embedding", pa.list_(pa.float32(), dimension), nullable=False),
            *LATER_COLUMNS,
        ]
    )


def unsure_captions(rows: pa.Table | pa.RecordBatch) -> pa.Array | pa.ChunkedArray:
    """Which rows, with `caption` and `caption_confidence`, have an unsure caption: true or false each."""
    doubted = pc.less(rows.column("caption_confidence"), pa.scalar(SURE_FROM, pa.float32()))
    return pc.and_(pc.is_valid(rows.column("caption")), doubted).fill_null(False)


def records_to_table(records: Sequence[ImageRecord], schema: pa.Schema) -> pa.Table:
    """The records as an Arrow table of `schema`, in the same order.

    What a column cannot hold, such as a number too large, becomes nothing there.

    Raises:
        ValueError, OverflowError, TypeError: A value that no row goes without cannot be stored.
    """
    embeddings = np.stack([record.embedding for record in records]).astype(np.float32, copy=False)
    if not np.isfinite(embeddings).all():
        raise ValueError("a vector holds what is no number")
    vectors = pa.FixedSizeListArray.from_arrays(embeddings.ravel(), type=schema.field("embedding").type)
    plain: dict[str, Any] = {
        field.name: _column([getattr(record, field.name) for record in records], field)
        for field in schema
        if field.name != "embedding"
    }
    return pa.table(plain | {"embedding": vectors}, schema=schema)


def _column(values: Sequence[object], field: pa.Field) -> pa.Array:
    """Values as a column, without those that it cannot hold and floats that are no finite numbers."""
    try:
        column = pa.array(values, field.type)
    except _MISFITS:
        if not field.nullable:
            raise
        column = pa.array([value if _fits(value, field.type) else None for value in values], field.type)
    if pa.types.is_floating(field.type):
        column = pc.if_else(pc.is_finite(column), column, None)
    if column.null_count and not field.nullable:
        raise ValueError(f"there is no {field.name}")
    return column


def _fits(value: object, kind: pa.DataType) -> bool:
    try:
        pa.array([value], kind)
    except _MISFITS:
        return False
    return True


def rows_in_new_places(
    rows: pa.Table, places: Sequence[tuple[str, str, str, int, str]], sources: Sequence[int]
) -> pa.Table:
    """Rows of the image table for files of the same content elsewhere.

    Args:
        rows: Whole rows.
        places: Root, path, time of the last change (ns) and content hash of each of N files, with the id of its record
            first.
        sources: For each of the N files the position in `rows` of the row to take everything else from.
    """
    changed = dict(zip(("id", "root", "path", "mtime_ns", "content_hash"), zip(*places, strict=True), strict=True))
    taken = rows.take(pa.array(sources, pa.int64()))
    for name, values in (changed | {MISSING_SINCE.name: [None] * len(places)}).items():
        column = rows.schema.get_field_index(name)
        field = rows.schema.field(column)
        taken = taken.set_column(column, field, pa.array(values, field.type))
    return taken
