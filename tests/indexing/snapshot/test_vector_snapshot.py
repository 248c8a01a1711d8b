from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from cocasearch.indexing.snapshot.snapshot_files import open_snapshot, write_snapshot
from cocasearch.indexing.store.record_rows import SNAPSHOT_SCHEMA
from cocasearch.indexing.store.table import IndexTable

DIMENSION = 8


def brute_force(table, vector):
    rows = [row for batch in table.batches(["path", "embedding"]) for row in batch.to_pylist()]
    scores = np.array([row["embedding"] for row in rows]) @ vector
    return [(rows[at]["path"], scores[at]) for at in np.argsort(-scores)]


def test_a_search_finds_what_brute_force_over_the_table_finds(tmp_path, table, record):
    snapshot = open_snapshot(tmp_path, "images-1")
    for seed in range(100, 110):
        vector = record("query", seed).embedding
        expected = brute_force(table, vector)[:7]
        positions, scores = snapshot.nearest(vector, 7)
        assert [row["path"] for row in snapshot.rows_at(positions)] == [path for path, _ in expected]
        np.testing.assert_allclose(scores, [score for _, score in expected], atol=1e-3)


def test_a_row_finds_itself_with_score_one_and_what_is_printed_of_it(tmp_path, table, record):
    snapshot = open_snapshot(tmp_path, "images-1")
    positions, (score,) = snapshot.nearest(record("9.png", 9).embedding, 1)
    (row,) = snapshot.rows_at(positions)
    assert row["id"] == record("9.png").id
    assert (row["root"], row["path"], row["part"], row["caption"]) == ("1", "9.png", "", "caption of 9.png")
    assert score == pytest.approx(1, abs=1e-3) and score <= 1


def test_more_hits_than_rows_are_all_rows(tmp_path, table, record):
    positions, scores = open_snapshot(tmp_path, "images-1").nearest(record("q").embedding, 1000)
    assert sorted(positions) == list(range(50)) and len(scores) == 50


def test_only_rows_that_may_compete_are_found_and_all_of_them(tmp_path, table, record):
    snapshot = open_snapshot(tmp_path, "images-1")
    rng = np.random.default_rng(0)
    for share in (0, 0.1, 0.5, 1):
        among = rng.random(50) < share
        vector = record("query", 100).embedding
        everything, scores = snapshot.nearest(vector, 50)
        positions, best = snapshot.nearest(vector, 7, among)
        np.testing.assert_array_equal(positions, everything[among[everything]][:7])
        np.testing.assert_array_equal(best, scores[among[everything]][:7])


def test_rows_come_in_the_order_asked_for_whatever_batch_they_lie_in(tmp_path, table, record):
    (whole,) = table.batches([*SNAPSHOT_SCHEMA.names, "embedding"])
    write_snapshot(tmp_path, "images-1", table.version, DIMENSION, [whole.slice(0, 30), whole.slice(30)])
    snapshot = open_snapshot(tmp_path, "images-1")
    assert [batch.num_rows for batch in snapshot.rows.to_batches()] == [30, 20]
    positions = np.array([49, 0, 30, 29, 7, 30])
    paths = snapshot.rows["path"].to_pylist()
    assert [row["path"] for row in snapshot.rows_at(positions)] == [paths[at] for at in positions]
    ids = pa.chunked_array([[record("44.png").id], ["unknown"], [record("0.png").id]])
    assert snapshot.positions_of(ids).tolist() == [paths.index("44.png"), -1, paths.index("0.png")]


def test_the_newest_photos_come_first_and_those_without_a_date_last(tmp_path, record):
    table = IndexTable.create(tmp_path, "images-1", DIMENSION)
    days = [3, None, 9, 1, None, 5]
    dates = [day and datetime(2024, 6, day) for day in days]
    table.add([record(f"{day}-{at}.png", at, taken_at=dates[at]) for at, day in enumerate(days)])
    snapshot = open_snapshot(tmp_path, "images-1")
    everything = snapshot.newest(10, np.ones(6, bool))
    assert [row["path"][0] for row in snapshot.rows_at(everything)] == ["9", "5", "3", "1", "N", "N"]
    assert snapshot.rows_at(snapshot.newest(1, np.array([1, 1, 0, 1, 0, 0], bool)))[0]["taken_at"] == dates[0]


def test_an_empty_table_has_an_empty_snapshot(tmp_path, record):
    IndexTable.create(tmp_path, "images-1", DIMENSION)
    snapshot = open_snapshot(tmp_path, "images-1")
    positions, scores = snapshot.nearest(record("q").embedding, 5)
    assert len(positions) == len(scores) == len(snapshot.rows_at(positions)) == len(snapshot) == 0
    assert not snapshot.has_captions
