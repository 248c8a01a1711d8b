"""The convolutional encoder's shapes, its padding, and fresh weights that can learn."""

import pytest
import torch
import torch.nn.functional as F

from cocasearch.model.config import EfficientNetLiteConfig
from cocasearch.model.efficientnet_lite import EfficientNetLite, SameConv


@pytest.mark.parametrize(("height", "width", "tokens"), [(64, 64, 4), (65, 64, 6), (33, 31, 2), (32, 97, 4), (1, 1, 1)])
def test_a_token_for_every_32_pixels_begun(height: int, width: int, tokens: int) -> None:
    with torch.no_grad():
        assert EfficientNetLite(EfficientNetLiteConfig())(torch.zeros(1, 3, height, width)).shape == (1, tokens, 1280)


def test_tokens_run_row_by_row() -> None:
    encoder = EfficientNetLite(EfficientNetLiteConfig(blocks=((1, 3, 1, 1, 16),), head_channels=8))
    pixels = torch.zeros(2, 3, 16, 16)
    pixels[1, :, 0, 12:] = 5  # top right
    with torch.no_grad():
        first, second = encoder(pixels)
    changed = (first - second).abs().amax(dim=1).reshape(8, 8)
    assert changed[0, 7] > 1e-3
    assert changed[4:].max() == changed[:, :3].max() == 0


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_odd_padding_pixel_goes_to_the_end(size: int, kernel: int, stride: int) -> None:
    convolution = SameConv(1, 1, kernel, stride=stride)
    x = torch.randn(1, 1, size, size)
    outputs = -(-size // stride)
    total = (outputs - 1) * stride + kernel - size
    padded = F.pad(x, [total // 2, -(-total // 2)] * 2)
    expected = F.conv2d(padded, convolution.weight, convolution.bias, stride)
    assert expected.shape[-1] == outputs
    torch.testing.assert_close(convolution(x), expected)


def test_a_fresh_encoder_tells_images_apart() -> None:
    torch.manual_seed(0)
    encoder = EfficientNetLite(EfficientNetLiteConfig())
    with torch.no_grad():
        tokens = encoder(torch.randn(4, 3, 64, 64))
    assert tokens.std(dim=0).mean() > 0.1 * tokens.mean() > 0
