"""Image records as Arrow rows, whose columns are the fields of `ImageRecord`.

Knows neither where rows are stored nor how vectors come about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from types import NoneType
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cocasearch.indexing.store.records import COLUMNS, ImageRecord
from cocasearch.inference.caption_confidence import SURE_FROM

_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "time": pa.timestamp("s"),
    "utc": pa.timestamp("s", tz="UTC"),
}
_NULLABLE = {field.name for field in fields(ImageRecord) if NoneType in get_args(get_args(field.type)[0])}
_MISFITS = (pa.ArrowException, ValueError, OverflowError, TypeError)  # raised over a value that a column cannot hold

SNAPSHOT_SCHEMA = pa.schema([(name, _TYPES[column.arrow]) for name, column in COLUMNS.items() if column.in_snapshot])
"""What a snapshot carries of each row beside its vector."""


def record_schema(dimension: int) -> pa.Schema:
    """The columns of the image table for vectors of `dimension` numbers."""
    types = {**_TYPES, "vector": pa.list_(pa.float32(), dimension)}
    return pa.schema(
        [pa.field(name, types[column.arrow], nullable=name in _NULLABLE) for name, column in COLUMNS.items()]
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
    columns = {
        field.name: _column([getattr(record, field.name) for record in records], field)
        for field in schema
        if field.name != "embedding"
    }
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(embeddings.ravel(), type=schema.field("embedding").type)
    return pa.table(columns, schema=schema)


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
    return with_values(rows.take(pa.array(sources, pa.int64())), changed | {"missing_since": [None] * len(places)})


def with_values(rows: pa.Table, columns: Mapping[str, Sequence[object]]) -> pa.Table:
    """The same rows with other values in some columns."""
    for name, values in columns.items():
        at = rows.schema.get_field_index(name)
        field = rows.schema.field(at)
        rows = rows.set_column(at, field, pa.array(values, field.type))
    return rows
