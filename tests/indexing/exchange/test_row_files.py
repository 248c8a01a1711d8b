"""Rows come out of a file as they went in, of each kind, and a file that broke off is none."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.exchange.row_files import check_ending, writing_rows

ROWS = [
    {"path": 'a,"b".jpg', "taken_at": datetime(2024, 6, 1, 18, 30, tzinfo=UTC), "vector": [0.1234567, 1.0]},
    {"path": "größe.jpg", "taken_at": None, "vector": None},
]
BATCH = pa.RecordBatch.from_pylist(ROWS)


def written(file: Path) -> Path:
    with writing_rows(file, BATCH.schema) as add:
        add(BATCH.slice(0, 1))
        add(BATCH.slice(1))
    return file


def test_parquet_holds_the_rows_as_they_are(tmp_path: Path) -> None:
    assert pq.read_table(written(tmp_path / "rows.parquet")).to_pylist() == ROWS


def test_json_lines_hold_times_and_rounded_numbers(tmp_path: Path) -> None:
    lines = written(tmp_path / "rows.JSONL").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"path": 'a,"b".jpg', "taken_at": "2024-06-01T18:30:00+00:00", "vector": [0.123457, 1.0]},
        {"path": "größe.jpg", "taken_at": None, "vector": None},
    ]
    assert "größe" in lines[1]


def test_csv_holds_lists_as_json(tmp_path: Path) -> None:
    with written(tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert first == {"path": 'a,"b".jpg', "taken_at": "2024-06-01T18:30:00+00:00", "vector": "[0.123457, 1.0]"}
    assert second == {"path": "größe.jpg", "taken_at": "", "vector": ""}


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_a_failure_leaves_the_file_that_was_there(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"rows{ending}"
    file.write_text("mine")
    with pytest.raises(RuntimeError), writing_rows(file, BATCH.schema) as add:
        add(BATCH)
        raise RuntimeError
    assert [one.name for one in tmp_path.iterdir()] == [file.name]
    assert file.read_text() == "mine"


def test_an_ending_of_no_kind_is_refused() -> None:
    check_ending(Path("rows.Parquet"))
    with pytest.raises(CocaSearchError, match=r"rows\.xlsx has none of these endings") as caught:
        check_ending(Path("out/rows.xlsx"))
    assert caught.value.hint == "give another name, such as rows.parquet"
