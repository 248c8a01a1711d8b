"""bfloat16 weights are trained as exactly as float32 ones, which plain AdamW cannot."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from cocasearch.training.step.split_adamw import SplitAdamW, joined, split

SETTINGS = {"lr": 1e-5, "betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.1}


def gradients(step: int) -> Tensor:
    return torch.randn(50, 7, generator=torch.Generator().manual_seed(step))


def trained(weight: Tensor, build: Callable[..., torch.optim.Optimizer], steps: int = 30) -> tuple[Tensor, object]:
    parameter = nn.Parameter(weight.clone())
    optimizer = build([{"params": [parameter]}], **SETTINGS)
    for step in range(steps):
        parameter.grad = gradients(step).to(parameter.dtype)
        optimizer.step()
    return parameter.detach(), optimizer.state[parameter]


def test_halves_make_the_whole_bit_for_bit() -> None:
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(10_000, generator=rng) * 10 ** (torch.rand(10_000, generator=rng) * 20 - 10)
    weight[:4] = torch.tensor([0.0, -0.0, 1.0, 3.3e38])
    upper, lower = split(weight)
    assert torch.equal(joined(upper, lower).view(torch.int32), weight.view(torch.int32))
    plain = weight.bfloat16()
    ties = (weight.view(torch.int32) & 0xFFFF) == 0x8000  # to even there, up here
    assert torch.equal(upper[~ties], plain[~ties])


def test_float32_weights_are_trained_as_by_torch() -> None:
    ours, state = trained(gradients(99), SplitAdamW)
    torchs, _ = trained(gradients(99), torch.optim.AdamW)
    torch.testing.assert_close(ours, torchs, rtol=1e-6, atol=1e-7)
    assert "lower" not in state


def test_bfloat16_weights_hold_exact_float32_ones() -> None:
    start = gradients(99).bfloat16()
    rounded = [gradients(step).bfloat16().float() for step in range(30)]
    parameter = nn.Parameter(start.float())
    optimizer = torch.optim.AdamW([parameter], **SETTINGS)
    for gradient in rounded:
        parameter.grad = gradient
        optimizer.step()
    upper, state = trained(start, SplitAdamW)
    assert upper.dtype == torch.bfloat16
    torch.testing.assert_close(joined(upper, state["lower"]), parameter.detach(), rtol=1e-6, atol=1e-7)


def test_plain_adamw_leaves_bfloat16_weights_where_they_are() -> None:
    ends = []
    for build in (torch.optim.AdamW, SplitAdamW):
        parameter = nn.Parameter(torch.full((100,), 0.7, dtype=torch.bfloat16))
        optimizer = build([{"params": [parameter]}], **{**SETTINGS, "weight_decay": 0})
        for _ in range(300):  # each step goes the same way, by 1e-5
            parameter.grad = torch.ones_like(parameter)
            optimizer.step()
        ends.append(parameter.detach().float())
    assert (ends[0] == 0.69921875).all()
    torch.testing.assert_close(ends[1], torch.full((100,), 0.69921875 - 0.003), atol=0.002, rtol=0)
    assert (ends[1] < 0.699).all()


def test_its_state_comes_back_as_it_was() -> None:
    first, again = (nn.Parameter(gradients(99).bfloat16()) for _ in range(2))
    optimizers = [SplitAdamW([{"params": [parameter]}], **SETTINGS) for parameter in (first, again)]
    for step in range(5):
        first.grad = gradients(step).bfloat16()
        optimizers[0].step()
    again.data.copy_(first.data)
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    for parameter, optimizer in zip((first, again), optimizers, strict=True):
        parameter.grad = gradients(7).bfloat16()
        optimizer.step()
    assert torch.equal(first, again)
    states = [optimizer.state[p] for p, optimizer in zip((first, again), optimizers, strict=True)]
    for name in ("lower", "exp_avg", "exp_avg_sq"):
        assert torch.equal(states[0][name], states[1][name])
        assert states[1][name].dtype == (torch.int16 if name == "lower" else torch.float32)
