import numpy as np
import pytest

from cocasearch.evaluation import retrieval_metrics
from cocasearch.evaluation.retrieval_metrics import (
    RetrievalScores,
    distinct_texts,
    ranks_both_ways,
    right_ranks,
    summarise,
)


def scores_of(images: np.ndarray, texts: np.ndarray, pairs: np.ndarray) -> RetrievalScores:
    return RetrievalScores(*map(summarise, ranks_both_ways(images, texts, pairs)))


def unit_rows(rng: np.random.Generator, count: int, width: int = 8) -> np.ndarray:
    rows = rng.standard_normal((count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_equal_captions_are_one_text_right_for_each_of_its_images() -> None:
    distinct = distinct_texts([["A dog.", "a dog", "A cat"], ["a DOG!", "!!!"]])
    assert distinct.texts == ("A dog.", "A cat", "!!!")
    assert distinct.pairs.tolist() == [[0, 0], [0, 1], [1, 0], [1, 2]]


def test_ranks_count_the_wrong_candidates_before_the_best_right_one() -> None:
    candidates = np.eye(4, dtype=np.float32)
    queries = np.array([[0.9, 0.8, 0.7, 0.6], [0.9, 0.8, 0.7, 0.6]], dtype=np.float32)
    pairs = np.array([[0, 3], [1, 0], [0, 1]])  # the first query has two right answers, in any order
    assert right_ranks(queries, candidates, pairs).tolist() == [2, 1]


def test_ranks_equal_sorting_whatever_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    queries, candidates = unit_rows(rng, 23), unit_rows(rng, 31)
    pairs = np.array([[q, c] for q in range(23) for c in rng.choice(31, 3, replace=False)])
    order = np.argsort(-(queries @ candidates.T), axis=1).tolist()
    expected = [1 + min(order[query].index(right) for q, right in pairs if q == query) for query in range(23)]
    for scores_at_once in (1, 100, 1 << 23):
        monkeypatch.setattr(retrieval_metrics, "CHUNK_SCORES", scores_at_once)
        assert right_ranks(queries, candidates, pairs).tolist() == expected


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_embeddings_that_tell_nothing_find_nothing(value: float) -> None:
    same = np.full((20, 4), value, dtype=np.float32)
    scores = scores_of(same, same, np.stack([np.arange(20)] * 2, axis=1))
    assert scores.text_to_image.at == {1: 0.0, 5: 0.0, 10: 0.0}
    assert scores.image_to_text.median_rank == 20


def test_labels_give_accuracy_one_way_and_names_found_the_other() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 6, 200)
    labels[:6] = range(6)
    images, names = unit_rows(rng, 200), unit_rows(rng, 6)
    images += 0.3 * names[labels]
    distinct = distinct_texts([[f"a photo of a {'abcdef'[label]}"] for label in labels])
    scores = scores_of(images, names, distinct.pairs)
    cosines = images @ names.T
    assert scores.image_to_text.at[1] == pytest.approx(np.mean(cosines.argmax(1) == labels))
    assert scores.text_to_image.at[1] == np.mean(labels[cosines.argmax(0)] == np.arange(6))
    assert 0 < scores.image_to_text.at[1] < 1


def test_perfect_embeddings_find_everything() -> None:
    rows = unit_rows(np.random.default_rng(2), 30)
    scores = scores_of(rows, rows, np.stack([np.arange(30)] * 2, axis=1))
    expected = {"recall@1": 1.0, "recall@5": 1.0, "recall@10": 1.0, "median_rank": 1.0}
    assert scores.text_to_image.to_dict() == scores.image_to_text.to_dict() == expected
