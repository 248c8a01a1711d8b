"""Packed models compute what the layers they replace compute."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.inference.prepacked_linear import PrepackedLinear, can_prepack, prepack_linear_layers

pytestmark = pytest.mark.skipif(not can_prepack(torch.float32), reason="this PyTorch has no oneDNN")


@pytest.mark.parametrize("shape", [(1, 48), (7, 48), (3, 5, 48), (2, 0, 48)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_packed_layer_equals_the_layer(shape: tuple[int, ...], has_bias: bool) -> None:
    linear, x = nn.Linear(48, 80, bias=has_bias).requires_grad_(False), torch.randn(shape)
    torch.testing.assert_close(PrepackedLinear(linear)(x), linear(x), atol=1e-5, rtol=1e-5)
    expected = nn.functional.gelu(linear(x))
    torch.testing.assert_close(PrepackedLinear(linear, "gelu")(x), expected, atol=1e-5, rtol=1e-5)


def test_rows_that_are_not_contiguous_are_read_right() -> None:
    linear, x = nn.Linear(8, 8).requires_grad_(False), torch.randn(4, 3, 8)
    torch.testing.assert_close(PrepackedLinear(linear)(x[:, 1]), linear(x[:, 1]))
    torch.testing.assert_close(PrepackedLinear(linear)(x.transpose(0, 1)), linear(x.transpose(0, 1)))


def test_a_packed_model_equals_the_model(tiny_loaded: Callable[[int], LoadedModel], pixels: torch.Tensor) -> None:
    model = tiny_loaded(0).model
    prepacked, ids = copy.deepcopy(model), torch.tensor([[1, 20, 30, 2], [1, 40, 2, 0], [1, 2, 0, 0], [1, 50, 60, 70]])
    prepack_linear_layers(prepacked)
    assert not any(isinstance(layer, nn.Linear) for layer in prepacked.modules())
    with torch.inference_mode():
        expected, output = model(pixels, ids), prepacked(pixels, ids)
    torch.testing.assert_close(output.image_embedding, expected.image_embedding, atol=1e-6, rtol=0)
    torch.testing.assert_close(output.text_embedding, expected.text_embedding, atol=1e-6, rtol=0)
    torch.testing.assert_close(output.caption_logits, expected.caption_logits, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_types_that_a_cpu_cannot_pack_are_computed_all_the_same(tiny_model_folder: Path, dtype: str) -> None:
    """As on a CPU without AVX-512, for which oneDNN can be told to take this one when a process starts."""
    program = (
        "import sys, torch; from cocasearch import CaptionOptions, Captioner, load_model;"
        "model = load_model(sys.argv[1], dtype=sys.argv[2]);"
        "captions = Captioner(model).caption_pixels(torch.zeros(2, 3, 32, 32), CaptionOptions(max_length=6));"
        "print(len(captions), model.dtype)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, tiny_model_folder, dtype],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == f"2 torch.{dtype}\n", run.stderr
