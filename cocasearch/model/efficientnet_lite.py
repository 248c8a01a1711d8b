"""The convolutional image encoder: pixels (B, 3, S, S) in, tokens (B, N, D) out, N = ceil(S / 32) squared.

EfficientNet-Lite (Google, Apache-2.0) without its classifier: inverted bottlenecks, ReLU6, no squeeze-excitation.
Batch norms are folded into the convolutions, which therefore have biases; padding is TensorFlow's "same", whose odd
pixel goes to the right and the bottom.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocasearch.model.config import EfficientNetLiteConfig


class SameConv(nn.Conv2d):
    """A convolution whose output has ceil(size / stride) positions, padded as TensorFlow pads."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups)

    def reset_parameters(self) -> None:
        """He's initial values: without batch norms nothing else carries the signal through fifty layers."""
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        # How much is padded depends on the size of the input, which torch's own padding does not look at.
        top, bottom, left, right = (
            *_same_padding(x.shape[-2], kernel, stride),
            *_same_padding(x.shape[-1], kernel, stride),
        )
        if top == bottom == left == right:  # the convolution pads by itself, without a copy of its input
            return F.conv2d(x, self.weight, self.bias, self.stride, (top, left), self.dilation, self.groups)
        padded = F.pad(x, [left, right, top, bottom])
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels to add before and after `size` of them, so that the kernel finds ceil(size / stride) places."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


# Rounding the first, largest maps to bfloat16 turns vectors most: of 200 photos' cosines with float32 the least is
# 0.992 with all of the encoder rounded, and 0.9995 with these spared.
_PRECISE_BLOCKS = 4
# In inference on a CPU, where these maps of 32 images would take 0.4 GB and leave its cache between operations.
_IMAGES_AT_ONCE = 4


class InvertedBottleneck(nn.Module):
    """Expand, depthwise, project; a residual where input and output have the same shape."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        # Inverted: wide inside, narrow outside, so that what is kept between blocks is small. The wide convolution is
        # depthwise (one filter a channel) and therefore cheap.
        self.expand = SameConv(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = SameConv(inner, inner, kernel, stride=stride, groups=inner)
        self.project = SameConv(inner, outputs, 1)
        self.has_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.expand is None else F.relu6(self.expand(x), inplace=True)  # (B, inner, H, W)
        # No activation after the projection: cutting off the negative half of so few channels would lose too much.
        output: Tensor = self.project(F.relu6(self.depthwise(inner), inplace=True))
        return x + output if self.has_residual else output


class EfficientNetLite(nn.Module):
    """Stem, inverted bottlenecks, head; the grid of head features row by row as tokens.

    The last blocks and the head, which hold most of the arithmetic, may have a shorter number type than the rest.
    """

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__()
        self.stem = SameConv(3, config.stem_channels, 3, stride=2)  # (B, 32, S / 2, S / 2)
        self.blocks = nn.ModuleList()
        channels = config.stem_channels
        for repeats, kernel, stride, expansion, outputs in config.blocks:
            for repeat in range(repeats):  # the first of a stage changes size and channels, the others keep them
                self.blocks.append(
                    InvertedBottleneck(
                        channels, outputs, kernel=kernel, stride=stride if repeat == 0 else 1, expansion=expansion
                    )
                )
                channels = outputs
        self.head = SameConv(channels, config.head_channels, 1)  # (B, D, S / 32, S / 32)

    def to_dtype(self, dtype: torch.dtype) -> None:
        """Let the last blocks and the head compute in `dtype`, in place."""
        for part in (*self.blocks[_PRECISE_BLOCKS:], self.head):
            part.to(dtype)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.tokens(self.feature_maps(pixels, _PRECISE_BLOCKS), _PRECISE_BLOCKS).to(pixels.dtype)

    def feature_maps(self, pixels: Tensor, blocks: int) -> Tensor:
        """The maps (B, C, H, W) after the stem and the first `blocks` blocks, from pixels (B, 3, S, S)."""
        in_pieces = pixels.device.type == "cpu" and not torch.is_grad_enabled()
        pieces = torch.split(pixels, _IMAGES_AT_ONCE) if in_pieces else (pixels,)
        # The first blocks stay in the type of the pixels, the rest may be rounded: see `_PRECISE_BLOCKS`.
        # A piece's maps stay in the CPU's cache from one layer to the next; in training all maps are kept anyway.
        x = torch.cat([self._large_maps(piece, blocks) for piece in pieces]).to(self.head.weight.dtype)
        for block in self.blocks[_PRECISE_BLOCKS:blocks]:
            x = block(x)
        return x

    def tokens(self, feature_maps: Tensor, blocks: int) -> Tensor:
        """The tokens (B, N, D), in the head's type, from `feature_maps` with the same number of blocks."""
        x = feature_maps.to(self.head.weight.dtype)
        for block in self.blocks[blocks:]:
            x = block(x)
        # (B, D, S / 32, S / 32) -> (B, N, D): without positions, which the convolutions' padding tells well enough.
        return F.relu6(self.head(x), inplace=True).flatten(2).transpose(1, 2)

    def _large_maps(self, pixels: Tensor, blocks: int) -> Tensor:
        x = F.relu6(self.stem(pixels), inplace=True)
        for block in self.blocks[: min(blocks, _PRECISE_BLOCKS)]:
            x = block(x)
        return x
