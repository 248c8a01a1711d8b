"""Ids are drawn where the cumulative distribution reaches a number, and never where it does not grow."""

import pytest
import torch

from cocasearch.inference.generation.sampling import PickAtRandom, draw
from cocasearch.inference.generation.token_rules import TokenRules

ALMOST_ONE = 1 - 2**-24  # the largest that torch.rand gives


@pytest.mark.parametrize(("number", "drawn"), [(0.0, 1), (0.29, 1), (0.31, 2), (0.59, 2), (0.61, 4), (ALMOST_ONE, 4)])
def test_an_id_without_probability_is_never_drawn(number: float, drawn: int) -> None:
    probabilities = torch.tensor([[0.0, 0.3, 0.3, 0.0, 0.4, 0.0]])
    assert draw(probabilities, torch.tensor([[number]])).tolist() == [[drawn]]


def test_probabilities_need_not_add_up_to_one() -> None:
    assert draw(torch.tensor([[0.1, 0.3]]), torch.tensor([[0.3]])).tolist() == [[1]]


def test_the_log_probability_is_the_models_own_whatever_shaped_the_draw() -> None:
    logits = torch.tensor([[0.0, 0.0, 1.0, 2.0, 3.0]])
    rules = TokenRules(sot_id=0, eot_id=1, pad_id=0, min_length=9, max_length=10, repetition_penalty=2.0)
    pick = PickAtRandom(rules, torch.zeros(1, 1), temperature=0.1, top_k=1)
    ids, logprobs = pick(logits, torch.tensor([[0, 4]]), torch.tensor([0]), 0)
    assert ids.tolist() == [[3]]  # 4 would be likeliest, and has been said
    torch.testing.assert_close(logprobs, logits.log_softmax(-1)[:, 3:4])
