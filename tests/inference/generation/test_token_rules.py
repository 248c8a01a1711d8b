"""What has been said counts for less, and what may not come next has no finite score."""

import torch

from cocasearch.inference.generation.token_rules import TokenRules, penalise_repetition

LOGITS = torch.tensor([[4.0, -1.0, 2.0, 3.0, 1.0]])
SAID = torch.tensor([[3, 1, 3]])


def test_repetition_lowers_positive_and_negative_logits_once() -> None:
    assert penalise_repetition(LOGITS, SAID, 2.0).tolist() == [[4.0, -2.0, 2.0, 1.5, 1.0]]
    assert penalise_repetition(LOGITS, SAID, 1.0) is LOGITS


def test_a_prompt_may_hold_ids_that_are_only_read() -> None:
    assert penalise_repetition(LOGITS, torch.tensor([[3, 99]]), 2.0).tolist() == [[4.0, -1.0, 2.0, 1.5, 1.0]]


def test_candidates_fall_and_keep_the_models_own_log_probabilities() -> None:
    rules = TokenRules(sot_id=0, eot_id=1, pad_id=0, min_length=2, max_length=9, repetition_penalty=2.0)
    found = rules.likeliest(LOGITS, SAID, 3)
    assert found.ids.tolist() == [[2, 3, 4]]  # 0 is forbidden, and 3 was lowered
    shaped = penalise_repetition(LOGITS, SAID, 2.0).log_softmax(-1)
    torch.testing.assert_close(found.scores, shaped[:, 2:5])
    torch.testing.assert_close(found.logprobs, LOGITS.log_softmax(-1)[:, 2:5])


def test_the_end_is_forbidden_only_before_the_shortest_length() -> None:
    rules = TokenRules(sot_id=0, eot_id=1, pad_id=7, min_length=4, max_length=9)
    assert (rules.forbidden(3), rules.forbidden(4)) == ([0, 7, 1], [0, 7])
    assert rules.is_end(torch.tensor([1, 2])).tolist() == [True, False]


def test_shaping_leaves_the_logits_as_they_are() -> None:
    before = LOGITS.clone()
    TokenRules(0, 1, 0, 2, 9).shape(LOGITS, SAID)
    assert torch.equal(LOGITS, before)
