import faiss
import numpy as np
import pytest

from cocasearch.indexing.snapshot import exact_search
from cocasearch.indexing.snapshot.exact_search import ExactSearch
from cocasearch.indexing.snapshot.faiss_file import no_rough_vectors, no_vectors, widest_error

DIMENSION = 8


def in_both_kinds(vectors):
    """The same vectors in half precision and in eight bits."""
    exact = no_vectors(vectors.shape[1])
    exact.add(vectors)
    kept = exact.reconstruct_n(0, len(vectors))
    rough = no_rough_vectors(vectors.shape[1], kept.min(), kept.max())
    rough.add(kept)
    return exact, rough


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture
def hard_to_tell_apart():
    """60 vectors: the same ones, others that differ by less than half precision tells, and tiny ones."""
    rng = np.random.default_rng(3)
    few = unit(rng.normal(size=(6, DIMENSION)))
    rows = np.concatenate([np.tile(few, (5, 1)), few + 1e-4, few - 1e-3, few * 1e-6, -few, np.zeros_like(few)])
    rng.shuffle(rows)
    return rows, few


@pytest.mark.parametrize("top_k", [1, 5, 11, 60])
@pytest.mark.parametrize("share", [0.1, 0.5, None])
@pytest.mark.parametrize("shortlist", [4, 11, 1_024])
def test_threads_share_the_vectors_and_find_what_one_finds(hard_to_tell_apart, monkeypatch, top_k, share, shortlist):
    rows, queries = hard_to_tell_apart
    exact, rough = in_both_kinds(rows)
    among = None if share is None else np.random.default_rng(top_k).random(len(rows)) < share
    monkeypatch.setattr(exact_search, "_SHORTLIST", shortlist)
    monkeypatch.setattr(exact_search, "_FEW", shortlist + 1)
    monkeypatch.setattr(exact_search, "_MOST_FROM_SHORTLIST", shortlist)
    for query in queries:
        monkeypatch.setattr(exact_search, "_parts", lambda count: [range(count)])
        alone, expected = ExactSearch(exact).nearest(query, top_k, among)
        monkeypatch.setattr(
            exact_search, "_parts", lambda count: [range(2), range(2, 3), range(3, 31), range(31, count)]
        )
        positions, scores = ExactSearch(exact, rough).nearest(query, top_k, among)
        np.testing.assert_array_equal(scores, expected)
        assert len(set(positions.tolist())) == len(alone)
        assert among is None or among[positions].all()
        certain = scores > scores[-1]  # of the last ones that score the same either may be taken
        assert set(positions[certain]) == set(alone[certain])


@pytest.mark.parametrize("count", [0, 1, 40_000, 70_000, 1_000_003])
def test_every_row_is_in_one_part(count, monkeypatch):
    monkeypatch.setattr("faiss.omp_get_max_threads", lambda: 3)
    parts = exact_search._parts(count)
    assert [at for part in parts for at in (part.start, part.stop)][1:-1:2] == [part.start for part in parts[1:]]
    assert (parts[0].start, parts[-1].stop, len(parts)) == (0, count, max(1, min(3, count // 32_768)))


@pytest.fixture(scope="module")
def library():
    """20,000 photos of 200 scenes in half precision and in eight bits, and questions about some."""
    rng = np.random.default_rng(0)
    scenes = unit(rng.normal(size=(200, 64)))
    photos = unit(scenes[rng.integers(200, size=20_000)] + rng.normal(size=(20_000, 64)) / 8)
    return *in_both_kinds(photos), unit(scenes[:20] + rng.normal(size=(20, 64)) / 8)


@pytest.mark.parametrize("top_k", [1, 10, 32])
@pytest.mark.parametrize("share", [0.2, None])
def test_a_shortlist_gives_what_all_vectors_give_without_reading_them(library, monkeypatch, top_k, share):
    exact, rough, queries = library
    among = None if share is None else np.random.default_rng(1).random(exact.ntotal) < share
    expected = [ExactSearch(exact).nearest(query, top_k, among) for query in queries]
    monkeypatch.setattr(exact_search, "_FEW", 3_000)
    monkeypatch.setattr(exact, "search", None)
    for query, (positions, scores) in zip(queries, expected, strict=True):
        found = ExactSearch(exact, rough).nearest(query, top_k, among)
        np.testing.assert_array_equal(found[0], positions)
        np.testing.assert_array_equal(found[1], scores)


def test_what_eight_bits_cannot_tell_apart_is_looked_for_among_all(monkeypatch):
    monkeypatch.setattr(exact_search, "_FEW", 3_000)
    rng = np.random.default_rng(2)
    scene = unit(rng.normal(size=64))
    exact, rough = in_both_kinds(unit(scene + rng.normal(size=(20_000, 64)) / 2_000))
    missed = 0
    for query in unit(scene + rng.normal(size=(20, 64)) / 50):
        expected, expected_scores = ExactSearch(exact).nearest(query, 10)
        positions, scores = ExactSearch(exact, rough).nearest(query, 10)
        np.testing.assert_array_equal(scores, expected_scores)
        np.testing.assert_array_equal(positions, expected)
        missed += len(set(expected) - set(rough.search(query[None], exact_search._SHORTLIST)[1][0]))
    assert missed > 20  # a shortlist alone would not do


@pytest.mark.parametrize("outlier", [1, 30])
def test_no_score_in_eight_bits_is_off_by_more_than_the_search_allows_for(outlier):
    rng = np.random.default_rng(4)
    scale = np.where(np.arange(64) == 5, outlier, 1)  # as in encoders in which one number is always large
    exact, rough = in_both_kinds(unit(rng.normal(size=(3_000, 64)) * scale))
    for query in (*unit(rng.normal(size=(20, 64)) * scale), np.eye(64, dtype=np.float32)[5]):
        scores, rough_scores = np.empty(3_000, np.float32), np.empty(3_000, np.float32)
        for index, row in ((exact, scores), (rough, rough_scores)):
            found, (positions,) = index.search(query[None], 3_000)
            row[positions] = found[0]
        worst = np.abs(scores - rough_scores).max()
        allowed = widest_error(rough) * np.abs(query).sum() + exact_search._ROUNDING
        assert 0.02 * allowed < worst <= allowed


def test_a_vector_that_differs_between_the_two_kinds_is_told(library):
    exact, rough, _ = library
    other = faiss.clone_index(rough)
    codes = rough.sa_encode(rough.reconstruct_n(0, rough.ntotal))
    codes[7, 3] ^= 0x10
    other.reset()
    other.add_sa_codes(codes)
    sound = [ExactSearch(exact, other).is_sound(at) for at in range(20)]
    assert [at for at in range(20) if not sound[at]] == [7]
    assert all(ExactSearch(exact, rough).is_sound(at) for at in range(2_000))
