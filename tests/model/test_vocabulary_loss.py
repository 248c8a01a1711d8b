"""The loss over a vocabulary in groups of tokens gives what the plain one gives, and holds no more than a group."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cocasearch.model.vocabulary_loss import linear_cross_entropy

TOKENS, WIDTH, VOCABULARY = 37, 16, 301


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(TOKENS, WIDTH, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(VOCABULARY, WIDTH, generator=generator).requires_grad_()
    return states, weight, torch.randint(VOCABULARY, (TOKENS,), generator=generator)


def plain(states: Tensor, weight: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    return F.cross_entropy((states @ weight.T).float(), targets, reduction="sum", label_smoothing=label_smoothing)


@pytest.mark.parametrize("rows", [1, 8, 36, 37, 1000, None])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_loss_and_gradients_are_the_plain_ones(rows: int | None, label_smoothing: float) -> None:
    states, weight, targets = inputs()
    expected = plain(states, weight, targets, label_smoothing)
    wanted = torch.autograd.grad(expected * 0.3, (states, weight))
    found = linear_cross_entropy(states, weight, targets, label_smoothing=label_smoothing, rows_at_once=rows)
    gradients = torch.autograd.grad(found * 0.3, (states, weight))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    for ours, theirs in zip(gradients, wanted, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-6


@pytest.mark.parametrize("rows", [8, None])
def test_a_token_counts_as_often_as_it_is_worth(rows: int | None) -> None:
    states, weight, targets = inputs()
    worth = torch.linspace(-2, 3, TOKENS)
    expected = (F.cross_entropy(states @ weight.T, targets, reduction="none") * worth).sum()
    found = linear_cross_entropy(states, weight, targets, worth=worth, rows_at_once=rows)
    torch.testing.assert_close(found, expected)
    wanted = torch.autograd.grad(expected, (states, weight))
    torch.testing.assert_close(torch.autograd.grad(found, (states, weight)), wanted)


def test_in_bfloat16_it_is_as_near_as_the_plain_one() -> None:
    states, weight, targets = inputs(torch.bfloat16)
    exact = plain(states.double(), weight.double(), targets, 0.0)
    with torch.autocast("cpu", torch.bfloat16):
        found = linear_cross_entropy(states, weight, targets, rows_at_once=8)
    gradients = torch.autograd.grad(found, (states, weight))
    wanted = torch.autograd.grad(exact, (states, weight))
    assert found.item() == pytest.approx(exact.item(), rel=5e-3)
    for ours, theirs, like in zip(gradients, wanted, (states, weight), strict=True):
        assert ours.dtype == like.dtype
        assert float((ours.double() - theirs.double()).norm() / theirs.double().norm()) < 0.03


def test_without_targets_it_is_zero_and_moves_nothing() -> None:
    states, weight, targets = inputs()
    loss = linear_cross_entropy(states[:0], weight, targets[:0])
    (gradient,) = torch.autograd.grad(loss, (weight,))
    assert loss == 0
    assert not gradient.any()


def test_a_frozen_vocabulary_gets_no_gradient() -> None:
    states, weight, targets = inputs()
    weight.requires_grad_(False)
    linear_cross_entropy(states, weight, targets).backward()
    assert weight.grad is None
    assert states.grad is not None and states.grad.any()


class Largest(TorchDispatchMode):
    """The most numbers that one tensor of the vocabulary's width holds."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.ndim == 2 and result.shape[1] == VOCABULARY:
            self.rows = max(self.rows, len(result))
        return result


def test_logits_of_one_group_exist_at_a_time() -> None:
    states, weight, targets = inputs()
    with Largest() as seen:
        linear_cross_entropy(states, weight, targets, rows_at_once=20).backward()
    assert seen.rows == 20
