"""Muon in float32 takes the steps of torch's own, but for what that rounds to bfloat16."""

import pytest
import torch
from torch import Tensor, nn

from cocasearch.training.step import muon
from cocasearch.training.step.muon import Muon, orthogonal

SHAPES = ((24, 16), (16, 24), (20, 20))


def matrices() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(2)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def gradients(step: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


@pytest.mark.parametrize("is_fast", [False, True])
def test_steps_are_torchs(monkeypatch: pytest.MonkeyPatch, is_fast: bool) -> None:
    monkeypatch.setattr(muon, "is_faster_in_bfloat16", lambda _device: is_fast)
    ours, theirs = matrices(), matrices()
    settings = {"lr": 0.05, "weight_decay": 0.1}
    optimizers = Muon(ours, **settings), torch.optim.Muon(theirs, **settings)
    for step in range(5):
        for parameters in (ours, theirs):
            for parameter, gradient in zip(parameters, gradients(step), strict=True):
                parameter.grad = gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    started = matrices()
    for one, other, first in zip(ours, theirs, started, strict=True):
        moved = float((other - first).detach().norm())
        assert float((one - other).detach().norm()) < (1e-6 if is_fast else 0.02) * moved
    momenta = (optimizer.state_dict()["state"][0]["momentum_buffer"] for optimizer in optimizers)
    torch.testing.assert_close(*momenta)


def test_singular_values_come_near_one() -> None:
    group = torch.optim.Muon(matrices()).param_groups[0]
    for matrix in gradients(9):
        values = torch.linalg.svdvals(orthogonal(matrix, group))
        assert 0.5 < float(values.min()) <= float(values.max()) < 1.3
