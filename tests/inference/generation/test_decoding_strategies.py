import torch

from cocasearch.inference.generation.beam_search import BeamSearch
from cocasearch.inference.generation.sampling import PickAtRandom, draw_noise
from cocasearch.inference.generation.token_rules import TokenRules

PROBABILITIES = torch.tensor([0.1, 0.4, 0.0, 0.3, 0.2])
EVENLY = (torch.arange(1000) + 0.5) / 1000
RULES = TokenRules(sot_id=1, eot_id=2, pad_id=0, min_length=4, max_length=6)


def shares(temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> list[float]:
    """How often each id is drawn when the noise covers [0, 1) evenly."""
    pick = PickAtRandom(RULES, EVENLY[:, None], temperature, top_k, top_p)
    specials = torch.full((1000, 3), float("-inf"))
    logits = torch.cat([specials, PROBABILITIES.log().expand(1000, -1)], 1)
    ids, _ = pick(logits, torch.ones(1000, 4, dtype=torch.int64), torch.arange(1000), 0)
    return [round(share, 2) for share in ((ids[:, 0] - 3).bincount(minlength=5) / 1000).tolist()]


def test_sampling_follows_the_distribution() -> None:
    assert shares() == [0.1, 0.4, 0.0, 0.3, 0.2]


def test_top_k_and_top_p_keep_the_likeliest_part() -> None:
    assert shares(top_k=2) == shares(top_p=0.6) == [0.0, 0.57, 0.0, 0.43, 0.0]
    assert shares(top_p=0.01) == shares(top_k=1) == [0.0, 1.0, 0.0, 0.0, 0.0]


def test_temperature_sharpens_before_the_cut() -> None:
    assert shares(temperature=0.5) == [0.03, 0.53, 0.0, 0.3, 0.13]
    assert shares(temperature=0.5, top_p=0.5) == [0.0, 1.0, 0.0, 0.0, 0.0]


def test_noise_depends_on_each_rows_seed_alone() -> None:
    noise = draw_noise([3, 4, 3], 5, torch.device("cpu"))
    assert noise[0].equal(noise[2]) and not noise[0].equal(noise[1])
    assert noise[1:].equal(draw_noise([4, 3], 5, torch.device("cpu")))


def test_rules_keep_specials_out_hold_the_end_back_and_force_it() -> None:
    logits = torch.zeros(1, 5)
    early, open_, last = (RULES.shape(logits, torch.ones(1, n, dtype=torch.int64)) for n in (1, 3, 5))
    assert early.isfinite().tolist() == [[False, False, False, True, True]]
    assert open_.isfinite().tolist() == [[False, False, True, True, True]]
    assert last.isfinite().tolist() == [[False, False, True, False, False]]
    free, forced = (RULES.likeliest(logits, torch.ones(1, n, dtype=torch.int64), 3) for n in (3, 5))
    assert forced.ids[0, 0] == 2 and forced.scores[0, 0] == free.scores[0, 0]  # it costs what it would cost freely
    assert forced.scores.isfinite().tolist() == [[True, False, False]]


def test_beams_are_distinct_and_their_rows_point_at_their_parents() -> None:
    generator = torch.Generator().manual_seed(0)
    search = BeamSearch(torch.ones(2, 1, dtype=torch.int64), TokenRules(1, 2, 0, 9, 9), num_beams=4)
    histories = [(1,), (1,)]
    for _ in range(5):
        step = search.advance(torch.randn(len(histories), 12, generator=generator))
        assert step is not None and step.rows is not None
        histories = [(*histories[row], i) for row, i in zip(step.rows.tolist(), step.ids.tolist(), strict=True)]
        assert len(set(histories[:4])) == len(set(histories[4:])) == 4
