"""The short cuts through the vocabulary against reading all of it."""

import pytest
import torch
from torch import Tensor

from cocasearch.inference.generation.logit_reads import log_sum_exp, top, top_allowed
from cocasearch.inference.generation.token_rules import TokenRules

NEVER = float("-inf")
SIZES = [5, 64, 320, 1000, 4096, 49408]
sized = pytest.mark.parametrize("size", SIZES)


def logits_of(size: int, scale: float, rows: int = 6) -> Tensor:
    return scale * torch.randn(rows, size, generator=torch.Generator().manual_seed(size))


@sized
@pytest.mark.parametrize("count", [1, 4, 13])
def test_the_largest_are_those_of_a_full_sort(size: int, count: int) -> None:
    count = min(count, size)
    for logits in (logits_of(size, 3.0), logits_of(size, 3.0).sort().values, -logits_of(size, 3.0).sort().values):
        expected = logits.topk(count)
        values, places = top(logits, count)
        assert values.equal(expected.values) and places.equal(expected.indices)


def test_ties_and_empty_places_give_the_largest_values_at_different_places() -> None:
    logits = logits_of(49408, 1.0).round().masked_fill(logits_of(49408, 1.0) > -2, NEVER)
    for count in (3, 40):
        values, places = top(logits, count)
        assert values.equal(logits.topk(count).values) and values.equal(logits.gather(1, places))
        assert all(len(set(row)) == count for row in places.tolist())


@sized
def test_what_is_forbidden_comes_last(size: int) -> None:
    logits = logits_of(size, 3.0)
    forbidden = logits[0].topk(2).indices.tolist()
    masked = logits.clone()
    masked[:, forbidden] = NEVER
    values, ids = top_allowed(logits, 4, forbidden)
    expected = masked.topk(4)
    assert values.equal(expected.values)
    finite = values.isfinite()
    assert ids[finite].equal(expected.indices[finite])


@sized
@pytest.mark.parametrize("scale", [0.01, 3.0, 300.0])
def test_the_sum_is_torchs(size: int, scale: float) -> None:
    logits = logits_of(size, scale)
    logits[:, 0] = NEVER
    torch.testing.assert_close(log_sum_exp(logits)[:, 0], logits.double().logsumexp(-1).float())


@sized
@pytest.mark.parametrize("length", [2, 6, 9])  # too short to end, free, and at its end
@pytest.mark.parametrize("penalty", [1.0, 1.7])
def test_the_likeliest_are_those_of_full_log_probabilities(size: int, length: int, penalty: float) -> None:
    rules = TokenRules(1, 2, 0, min_length=5, max_length=10, repetition_penalty=penalty)
    logits = logits_of(size, 3.0)
    before = logits.clone()
    sequences = torch.cat([logits.topk(2).indices, torch.ones(6, length - 2, dtype=torch.int64)], 1)
    count = min(10, size)
    found = rules.likeliest(logits, sequences, count)
    allowed, own = slow_log_probabilities(rules, logits, sequences)
    expected = allowed.topk(count)
    torch.testing.assert_close(found.scores, expected.values, atol=2e-6, rtol=1e-6)
    finite = expected.values.isfinite()
    assert found.ids[finite].equal(expected.indices[finite])
    torch.testing.assert_close(found.logprobs[finite], own.gather(1, found.ids)[finite], atol=2e-6, rtol=1e-6)
    assert found.ids[finite].equal(slow_ids(rules.shape(logits, sequences), count)[finite])
    assert logits.equal(before)


def slow_log_probabilities(rules: TokenRules, logits: Tensor, sequences: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities (R, V) to choose by, and as the model has them: every step over the whole vocabulary."""
    shaped = logits.clone()
    for row, ids in enumerate(sequences.tolist()):
        for i in set(ids) if rules.repetition_penalty != 1 else ():
            penalty = rules.repetition_penalty
            shaped[row, i] = shaped[row, i] * penalty if shaped[row, i] < 0 else shaped[row, i] / penalty
    allowed = shaped.log_softmax(-1)
    length = sequences.shape[1] + 1
    if length == rules.max_length:
        end = allowed[:, rules.eot_id].clone()
        allowed.fill_(NEVER)[:, rules.eot_id] = end
    elif length < rules.min_length:
        allowed[:, rules.eot_id] = NEVER
    allowed[:, [rules.sot_id, rules.pad_id]] = NEVER
    return allowed, logits.log_softmax(-1)


def slow_ids(logits: Tensor, count: int) -> Tensor:
    return logits.sort(descending=True, stable=True).indices[:, :count]
