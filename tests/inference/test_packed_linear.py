"""Packed models compute what the layers they replace compute."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.inference.packed_linear import PackedLinear, can_pack, pack_linear_layers

pytestmark = pytest.mark.skipif(not can_pack(), reason="this PyTorch has no oneDNN")


@pytest.mark.parametrize("shape", [(1, 48), (7, 48), (3, 5, 48), (2, 0, 48)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_packed_layer_equals_the_layer(shape: tuple[int, ...], has_bias: bool) -> None:
    linear, x = nn.Linear(48, 80, bias=has_bias).requires_grad_(False), torch.randn(shape)
    torch.testing.assert_close(PackedLinear(linear)(x), linear(x), atol=1e-5, rtol=1e-5)
    expected = nn.functional.gelu(linear(x))
    torch.testing.assert_close(PackedLinear(linear, "gelu")(x), expected, atol=1e-5, rtol=1e-5)


def test_rows_that_are_not_contiguous_are_read_right() -> None:
    linear, x = nn.Linear(8, 8).requires_grad_(False), torch.randn(4, 3, 8)
    torch.testing.assert_close(PackedLinear(linear)(x[:, 1]), linear(x[:, 1]))
    torch.testing.assert_close(PackedLinear(linear)(x.transpose(0, 1)), linear(x.transpose(0, 1)))


def test_a_packed_model_equals_the_model(tiny_loaded: Callable[[int], LoadedModel], pixels: torch.Tensor) -> None:
    model = tiny_loaded(0).model
    packed, ids = copy.deepcopy(model), torch.tensor([[1, 20, 30, 2], [1, 40, 2, 0], [1, 2, 0, 0], [1, 50, 60, 70]])
    pack_linear_layers(packed)
    assert not any(isinstance(layer, nn.Linear) for layer in packed.modules())
    with torch.inference_mode():
        expected, output = model(pixels, ids), packed(pixels, ids)
    torch.testing.assert_close(output.image_embedding, expected.image_embedding, atol=1e-6, rtol=0)
    torch.testing.assert_close(output.text_embedding, expected.text_embedding, atol=1e-6, rtol=0)
    torch.testing.assert_close(output.caption_logits, expected.caption_logits, atol=1e-4, rtol=1e-5)
