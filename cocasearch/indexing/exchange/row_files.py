"""Rows into one file whose ending decides its kind: Parquet, CSV (lists as JSON), or JSON lines."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cocasearch.atomic_files import replacing
from cocasearch.errors import CocaSearchError

ENDINGS = (".parquet", ".csv", ".jsonl")
_DECIMALS = 6  # of numbers as text; of a vector's more are noise
_SHOWN = 60  # characters of a name


def check_ending(file: Path) -> None:
    """Refuse a file whose ending tells no kind.

    Raises:
        CocaSearchError: It is none of `ENDINGS`.
    """
    if file.suffix.lower() not in ENDINGS:
        raise CocaSearchError(
            f"rows are written as {', '.join(ENDINGS)}, and {file.name[-_SHOWN:]} has none of these endings",
            hint=f"give another name, such as {file.stem[:_SHOWN]}.parquet",
        )


@contextmanager
def writing_rows(file: Path, schema: pa.Schema) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """A function that adds rows of `schema` to what takes the place of `file` when the block ends well."""
    ending = file.suffix.lower()
    with replacing(file) as partial:
        if ending == ".parquet":
            with partial.open("wb") as sink, pq.ParquetWriter(sink, schema, compression="zstd") as rows:
                yield rows.write_batch
        else:
            with partial.open("w", encoding="utf-8", newline="") as text:
                if ending == ".csv":
                    table = csv.DictWriter(text, schema.names, lineterminator="\n")
                    table.writeheader()
                    yield lambda batch: table.writerows(
                        {name: json.dumps(value) if isinstance(value, list) else value for name, value in row.items()}
                        for row in map(_plain, batch.to_pylist())
                    )
                else:
                    yield lambda batch: text.writelines(
                        json.dumps(_plain(row), ensure_ascii=False) + "\n" for row in batch.to_pylist()
                    )


def _plain(value: Any) -> Any:
    """A value of JSON: times as ISO 8601, numbers rounded."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return round(value, _DECIMALS) if isinstance(value, float) else value
