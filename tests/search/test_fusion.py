import numpy as np
import pytest

from cocasearch.search.fusion import K, fuse


def fuse_naively(n_rows, other, top_k):
    """Over dictionaries, every row."""
    fused = {place: 1 / (K + place + 1) for place in range(n_rows)}
    ranks = dict(zip(other, range(1, len(other) + 1), strict=True))
    for place, rank in ranks.items():
        fused[place] += 1 / (K + rank)
    best = sorted(fused, key=lambda place: (-fused[place], place))[:top_k]
    return [(fused[place], place + 1, ranks.get(place, 0)) for place in best]


@pytest.mark.parametrize(("n_rows", "n_other"), [(0, 0), (1, 0), (1, 1), (30, 7), (30, 30), (1_000, 40)])
@pytest.mark.parametrize("top_k", [1, 10, 2_000])
def test_fusing_is_the_sum_over_all_rows(n_rows, n_other, top_k):
    other = np.random.default_rng(n_rows).permutation(n_rows)[:n_other]
    fused = fuse(n_rows, other, top_k)
    assert [(row.rank, row.other_rank) for row in fused] == [row[1:] for row in fuse_naively(n_rows, other, top_k)]
    np.testing.assert_allclose(
        [row.fused_score for row in fused], [row[0] for row in fuse_naively(n_rows, other, top_k)]
    )


def test_first_in_both_wins_with_twice_the_papers_share():
    assert fuse(5, np.array([0, 4]), 1)[0] == (pytest.approx(2 / 61), 1, 1)
