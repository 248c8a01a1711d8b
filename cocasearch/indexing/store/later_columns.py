"""Columns that image tables of older schemas lack: read as nothing, and added by the next run that writes.

Knows nothing of what they mean beyond what is true of rows that were written before them.
"""

import re
from collections.abc import Sequence

import pyarrow as pa
from lancedb.table import Table

from cocasearch.indexing.store.records import CAPTION_BY, CAPTION_CONFIDENCE, LATER_COLUMNS, REMARK

_WRITTEN_BY = {CAPTION_BY.name: "nvl2(caption_logprob, 'model', NULL)"}
"""What is so of a row from before a column: only models have given captions a log-probability."""

_SQL_KINDS = {CAPTION_BY.name: "string", CAPTION_CONFIDENCE.name: "float", REMARK.name: "string"}


def lacks_columns(schema: pa.Schema) -> bool:
    """Whether a table is of an older schema."""
    return any(column.name not in schema.names for column in LATER_COLUMNS)


def add_columns(table: Table) -> None:
    """Add the columns that a table lacks, in the order in which schemas got them; what is there already stays."""
    for column in LATER_COLUMNS:
        if column.name not in table.schema.names:
            table.add_columns({column.name: _WRITTEN_BY[column.name]} if column.name in _WRITTEN_BY else column)


def with_columns(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """A batch with all of the `columns`, in their order: nothing is known of those that its table lacks."""
    for column in LATER_COLUMNS:
        if column.name in columns and column.name not in batch.schema.names:
            batch = batch.append_column(column, pa.nulls(batch.num_rows, column.type))
    return batch.select(list(columns))


def without_columns(condition: str, schema: pa.Schema) -> str:
    """An SQL condition for a table that may lack columns that it names: nothing is known of them there."""
    kinds = {name: kind for name, kind in _SQL_KINDS.items() if name not in schema.names}
    if not kinds:
        return condition
    names = re.compile(rf"'(?:[^']|'')*'|[`\"]?\b({'|'.join(kinds)})\b[`\"]?", re.IGNORECASE)
    return names.sub(lambda found: f"cast(NULL as {kinds[found[1].lower()]})" if found[1] else found[0], condition)
