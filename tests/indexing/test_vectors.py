from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from cocasearch.indexing import vectors
from cocasearch.indexing.snapshots import open_snapshot, write_snapshot
from cocasearch.indexing.table import IndexTable
from cocasearch.indexing.vector_file import no_vectors
from cocasearch.indexing.vectors import ROW_SCHEMA, VectorSnapshot

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
        assert [row.path for row in snapshot.rows_at(positions)] == [path for path, _ in expected]
        np.testing.assert_allclose(scores, [score for _, score in expected], atol=1e-3)


def test_a_row_finds_itself_with_score_one_and_what_is_printed_of_it(tmp_path, table, record):
    snapshot = open_snapshot(tmp_path, "images-1")
    positions, (score,) = snapshot.nearest(record("9.png", 9).embedding, 1)
    (row,) = snapshot.rows_at(positions)
    assert (row.root, row.path, row.caption, row.id) == ("1", "9.png", "caption of 9.png", record("9.png").id)
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


@pytest.fixture
def hard_to_tell_apart():
    """A snapshot of 60 vectors: the same ones, others that differ by less than half precision tells, and tiny ones."""
    rng = np.random.default_rng(3)
    few = rng.normal(size=(6, DIMENSION)).astype(np.float32)
    few /= np.linalg.norm(few, axis=1, keepdims=True)
    rows = np.concatenate([np.tile(few, (5, 1)), few + 1e-4, few - 1e-3, few * 1e-6, -few, np.zeros_like(few)])
    rng.shuffle(rows)
    index = no_vectors(DIMENSION)
    index.add(rows)
    names = pa.Table.from_pylist([{"id": f"{at}"} for at in range(len(rows))], ROW_SCHEMA)
    return VectorSnapshot(index, names, 1), few


@pytest.mark.parametrize("top_k", [1, 5, 11, 60])
@pytest.mark.parametrize("share", [0.1, 0.5, None])
def test_threads_share_the_rows_and_find_what_one_finds(hard_to_tell_apart, monkeypatch, top_k, share):
    snapshot, queries = hard_to_tell_apart
    among = None if share is None else np.random.default_rng(top_k).random(len(snapshot)) < share
    for query in queries:
        monkeypatch.setattr(vectors, "_parts", lambda count: [range(count)])
        alone, expected = snapshot.nearest(query, top_k, among)
        monkeypatch.setattr(vectors, "_parts", lambda count: [range(2), range(2, 3), range(3, 31), range(31, count)])
        positions, scores = snapshot.nearest(query, top_k, among)
        np.testing.assert_array_equal(scores, expected)
        assert len(set(positions.tolist())) == len(alone)
        assert among is None or among[positions].all()
        certain = scores > scores[-1]  # of the last ones that score the same either may be taken
        assert set(positions[certain]) == set(alone[certain])


@pytest.mark.parametrize("count", [0, 1, 40_000, 70_000, 1_000_003])
def test_every_row_is_in_one_part(count, monkeypatch):
    monkeypatch.setattr("faiss.omp_get_max_threads", lambda: 3)
    parts = vectors._parts(count)
    assert [at for part in parts for at in (part.start, part.stop)][1:-1:2] == [part.start for part in parts[1:]]
    assert (parts[0].start, parts[-1].stop, len(parts)) == (0, count, max(1, min(3, count // 32_768)))


def test_rows_come_in_the_order_asked_for_whatever_batch_they_lie_in(tmp_path, table, record):
    (whole,) = table.batches([*ROW_SCHEMA.names, "embedding"])
    write_snapshot(tmp_path, "images-1", table.version, DIMENSION, [whole.slice(0, 30), whole.slice(30)])
    snapshot = open_snapshot(tmp_path, "images-1")
    assert [batch.num_rows for batch in snapshot.rows.to_batches()] == [30, 20]
    positions = np.array([49, 0, 30, 29, 7, 30])
    paths = snapshot.rows["path"].to_pylist()
    assert [row.path for row in snapshot.rows_at(positions)] == [paths[at] for at in positions]
    ids = pa.chunked_array([[record("44.png").id], ["unknown"], [record("0.png").id]])
    assert snapshot.positions_of(ids).tolist() == [paths.index("44.png"), -1, paths.index("0.png")]


def test_the_newest_photos_come_first_and_those_without_a_date_last(tmp_path, record):
    table = IndexTable.create(tmp_path, "images-1", DIMENSION)
    days = [3, None, 9, 1, None, 5]
    dates = [day and datetime(2024, 6, day) for day in days]
    table.add([record(f"{day}-{at}.png", at, taken_at=dates[at]) for at, day in enumerate(days)])
    snapshot = open_snapshot(tmp_path, "images-1")
    everything = snapshot.newest(10, np.ones(6, bool))
    assert [row.path[0] for row in snapshot.rows_at(everything)] == ["9", "5", "3", "1", "N", "N"]
    assert snapshot.rows_at(snapshot.newest(1, np.array([1, 1, 0, 1, 0, 0], bool)))[0].taken_at == dates[0]


def test_an_empty_table_has_an_empty_snapshot(tmp_path, record):
    IndexTable.create(tmp_path, "images-1", DIMENSION)
    snapshot = open_snapshot(tmp_path, "images-1")
    positions, scores = snapshot.nearest(record("q").embedding, 5)
    assert len(positions) == len(scores) == len(snapshot.rows_at(positions)) == len(snapshot) == 0
    assert not snapshot.has_captions
