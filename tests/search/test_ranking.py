"""Rankings of made-up rows against the obvious way: all rows first, then the condition."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from cocasearch.indexing.snapshot.snapshot_files import open_snapshot
from cocasearch.indexing.store.records import ImageRecord, record_id
from cocasearch.indexing.store.table import IndexTable
from cocasearch.search.ranking import Ranker

ROWS, DIMENSION = 400, 16
WORDS = np.array(["dog", "cat", "beach", "car", "red", "night", "house", "tree", "man", "woman", "child", "snow"])
CONDITIONS = {
    "taken_at >= '2024-06-01' and camera like '%Pixel%' and caption like '%dog%'": lambda row: (
        row.taken_at and row.taken_at >= datetime(2024, 6, 1) and "Pixel" in (row.camera or "") and "dog" in row.caption
    ),
    "latitude between 10 and 50 or size < 300": lambda row: (
        (row.latitude and 10 <= row.latitude <= 50) or row.size < 300
    ),
    "width * height > 500000": lambda row: row.width * row.height > 500_000,
    "camera is null": lambda row: row.camera is None,
    "false": lambda row: False,
    "true": lambda row: True,
}


def made_up(at: int) -> ImageRecord:
    rng = np.random.default_rng(at)
    vector = rng.standard_normal(DIMENSION).astype(np.float32)
    return ImageRecord(
        id=record_id("1", f"{at}.jpg"),
        root="1",
        path=f"{at}.jpg",
        content_hash="0" * 32,
        size=int(rng.integers(1, 5_000)),
        mtime_ns=0,
        width=int(rng.integers(1, 1_000)),
        height=int(rng.integers(1, 1_000)),
        format="JPEG",
        taken_at=datetime(2023, 1, 1) + timedelta(days=int(rng.integers(0, 900))) if rng.random() < 0.8 else None,
        latitude=float(rng.uniform(-90, 90)) if rng.random() < 0.5 else None,
        longitude=None,
        camera=str(rng.choice(["Google Pixel 8", "Canon EOS"])) if rng.random() < 0.7 else None,
        caption=" ".join(rng.choice(WORDS, int(rng.integers(1, 9)))),
        caption_score=0.5,
        caption_logprob=-1.0,
        model_fingerprint="f",
        embedding=vector / np.linalg.norm(vector),
        missing_since=datetime(2024, 1, 1, tzinfo=UTC) if at % 10 == 0 else None,
    )


@pytest.fixture(scope="module")
def records():
    return [made_up(at) for at in range(ROWS)]


@pytest.fixture(scope="module")
def ranker(tmp_path_factory, records):
    index = tmp_path_factory.mktemp("ranking")
    table = IndexTable.create(index, "images-1", DIMENSION)
    table.add(records[:300])
    table.compact()
    table.add(records[300:])  # not in the full-text index
    return Ranker(index, "images-1", open_snapshot(index, "images-1"), {})


@pytest.fixture(scope="module")
def doubted(tmp_path_factory, records):
    """The same with confidences: every third caption is unsure, every third sure, every third not judged."""
    index = tmp_path_factory.mktemp("doubted")
    judged = [replace(record, caption_confidence=(0.4999, 0.5, None)[at % 3]) for at, record in enumerate(records)]
    table = IndexTable.create(index, "images-1", DIMENSION)
    table.add(judged[:300])
    table.compact()
    table.add(judged[300:])
    return Ranker(index, "images-1", open_snapshot(index, "images-1"), {})


@pytest.fixture
def vector():
    vector = np.random.default_rng(7).standard_normal(DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def path(ranker, row):
    return ranker._snapshot.rows_at(np.array([row.position]))[0]["path"]


def meeting(records, condition):
    return {row.path: row for row in records if not row.missing_since and CONDITIONS[condition](row)}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_gives_what_filtering_all_rows_and_then_ranking_gives(ranker, records, vector, condition):
    met = meeting(records, condition)
    everything = ranker.by_vector(vector, ROWS)
    expected = [row for row in everything if path(ranker, row) in met]
    assert len(everything) == ROWS * 0.9 and len(expected) == len(met)
    assert ranker.by_vector(vector, 10, condition) == expected[:10]
    best = sorted(met.values(), key=lambda row: -float(row.embedding @ vector))[:3]
    assert [path(ranker, row) for row in ranker.by_vector(vector, 3, condition)] == [row.path for row in best]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_words_in_captions_compete_likewise(ranker, records, condition):
    met = meeting(records, condition)
    everything = ranker.by_words("dogs at night", ROWS)
    assert {path(ranker, row) for row in everything} == {
        row.path for row in records if not row.missing_since and {"dog", "night"} & {*row.caption.split()}
    }
    expected = [row for row in everything if path(ranker, row) in met]
    assert ranker.by_words("dogs at night", ROWS, condition) == expected
    assert [row.text_score for row in ranker.by_words("dogs at night", 5, condition)] == [
        row.text_score for row in expected[:5]
    ]


@pytest.mark.parametrize("condition", [None, *CONDITIONS])
def test_both_are_fused_by_their_ranks_among_those_that_compete(ranker, vector, condition):
    by_vector = {row.position: (at, row) for at, row in enumerate(ranker.by_vector(vector, ROWS, condition), 1)}
    by_words = {row.position: (at, row) for at, row in enumerate(ranker.by_words("red car", ROWS, condition), 1)}
    fused = ranker.by_both(vector, "red car", ROWS, condition)
    assert {row.position for row in fused} == by_vector.keys()
    for row in fused:
        rank, found = by_vector[row.position]
        text_rank, by_text = by_words.get(row.position, (None, None))
        assert (row.vector_rank, row.score) == (rank, found.score)
        assert (row.text_rank, row.text_score) == (text_rank, by_text and by_text.text_score)
        assert row.fused_score == pytest.approx(1 / (60 + rank) + (1 / (60 + text_rank) if text_rank else 0))
    assert fused == sorted(fused, key=lambda row: (-row.fused_score, row.vector_rank))
    assert ranker.by_both(vector, "red car", 7, condition) == fused[:7]


def test_every_caption_with_a_word_has_its_rank(tmp_path, vector):
    count = 10_200
    table = IndexTable.create(tmp_path, "images-1", DIMENSION)
    table.add([replace(made_up(1), id=f"{at:016x}", caption=f"snow {'on ice ' * (at % 3)}") for at in range(count)])
    table.index_captions(anew=True)
    ranker = Ranker(tmp_path, "images-1", open_snapshot(tmp_path, "images-1"), {})
    rows = ranker.by_both(vector, "snow", count)
    assert {row.text_rank for row in rows} == {row.vector_rank for row in rows} == {*range(1, count + 1)}
    assert ranker.by_both(vector, "snow", 50) == rows[:50]


def test_any_number_of_hits_may_be_asked_for(ranker, vector):
    for most in (10**10, 10**30):
        assert ranker.by_words("dogs at night", most) == ranker.by_words("dogs at night", ROWS)
        assert ranker.by_both(vector, "red car", most) == ranker.by_both(vector, "red car", ROWS)
        assert ranker.by_vector(vector, most) == ranker.by_vector(vector, ROWS)
        assert ranker.by_date(most, "true") == ranker.by_date(ROWS, "true")


def test_a_smallest_score_cuts_vectors_and_both(ranker, vector):
    everything = ranker.by_vector(vector, ROWS)
    least = everything[20].score
    assert ranker.by_vector(vector, ROWS, min_score=least) == everything[:21]
    assert {row.position for row in ranker.by_both(vector, "red car", ROWS, min_score=least)} == {
        row.position for row in everything[:21]
    }
    assert ranker.by_both(vector, "red car", ROWS, min_score=1.0) == []


def test_a_list_is_newest_first(ranker, records):
    condition = "camera is null"
    met = meeting(records, condition)
    listed = [met[path(ranker, row)].taken_at for row in ranker.by_date(ROWS, condition)]
    dated = [time for time in listed if time]
    assert len(listed) == len(met) and dated == sorted(dated, reverse=True) == listed[: len(dated)]
    assert ranker.by_date(3, condition) == ranker.by_date(ROWS, condition)[:3]


def is_unsure(ranker, row):
    return int(path(ranker, row).removesuffix(".jpg")) % 3 == 0


@pytest.mark.parametrize("condition", [None, *CONDITIONS])
@pytest.mark.parametrize("top_k", [1, 7, ROWS])
def test_unsure_captions_are_left_out_of_a_search_for_words_exactly(doubted, condition, top_k):
    everything = doubted.by_words("dogs at night", ROWS, condition, all_captions=True)
    sure = [row for row in everything if not is_unsure(doubted, row)]
    assert doubted.by_words("dogs at night", top_k, condition) == sure[:top_k]
    assert condition == "false" or len(sure) < len(everything)


def test_photos_with_unsure_captions_are_hits_of_a_hybrid_search_by_their_vector_alone(doubted, vector):
    rows = doubted.by_both(vector, "dogs at night", ROWS)
    assert len(rows) == ROWS * 0.9
    assert {row.text_rank for row in rows if is_unsure(doubted, row)} == {None}
    ranked = sorted((row for row in rows if row.text_rank), key=lambda row: row.text_rank)
    words = doubted.by_words("dogs at night", ROWS)
    assert [(row.position, row.text_score) for row in ranked] == [(row.position, row.text_score) for row in words]
    everything = doubted.by_both(vector, "dogs at night", ROWS, all_captions=True)
    assert any(row.text_rank for row in everything if is_unsure(doubted, row))


def test_a_search_by_vector_does_not_care_how_sure_captions_are(doubted, ranker, vector):
    assert doubted.by_vector(vector, ROWS) == ranker.by_vector(vector, ROWS)
