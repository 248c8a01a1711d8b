"""Layers that compute their input again give the gradients of those that keep it, and keep less."""

import pytest
import torch
from torch import Tensor, nn

from cocasearch.model.layers import SelfAttentionBlock
from cocasearch.model.recomputing import gelu_linear, norm_linear

X = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def layers() -> tuple[nn.LayerNorm, nn.Linear]:
    torch.manual_seed(1)
    norm, linear = nn.LayerNorm(16), nn.Linear(16, 12)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm, linear


def gradients(output: Tensor, x: Tensor, *modules: nn.Module) -> list[Tensor]:
    weights = torch.linspace(-1, 2, output.numel()).view_as(output)
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return [output.detach(), *torch.autograd.grad((output * weights).sum(), [x, *parameters])]


@pytest.mark.parametrize("layout", [(3, 5, 16), (15, 16)])
def test_gradients_are_those_of_the_plain_layers(layers: tuple[nn.LayerNorm, nn.Linear], layout: tuple[int]) -> None:
    norm, linear = layers
    x = X.reshape(layout).clone().requires_grad_()
    pairs = (
        (gelu_linear(x, linear), linear(nn.functional.gelu(x)), (linear,)),
        (norm_linear(x, norm, linear), linear(norm(x)), (norm, linear)),
    )
    for found, expected, modules in pairs:
        assert type(found.grad_fn) is not type(expected.grad_fn)
        for ours, plain in zip(gradients(found, x, *modules), gradients(expected, x, *modules), strict=True):
            torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)


def kept_bytes(block: nn.Module) -> int:
    kept: dict[int, int] = {}
    own = {parameter.data_ptr() for parameter in block.parameters()}

    def keep(x: Tensor) -> Tensor:
        if x.untyped_storage().data_ptr() not in own:
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    x = torch.randn(4, 50, 64).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        output = block(x)
    assert output.requires_grad
    return sum(kept.values())


def test_a_block_keeps_less(monkeypatch: pytest.MonkeyPatch) -> None:
    block = SelfAttentionBlock(64, 4)
    lean = kept_bytes(block)
    monkeypatch.setattr("cocasearch.model.recomputing._can_recompute", lambda x, linear: False)
    assert lean < 0.7 * kept_bytes(block)
