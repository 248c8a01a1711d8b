"""Preprocessing of upright RGB images to normalised model input.

The numbers are OpenCLIP's: PIL's antialiased resize, a centred crop or padding, pixels scaled to 0..1, then
normalised per channel.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from PIL import Image

from cocasearch.errors import CocaSearchError
from cocasearch.json_values import build, shown

OPENAI_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # per channel R, G, B, of pixels in 0..1
OPENAI_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_LONGEST = 64  # times its shortest side that an image is looked at
_RESIZE_MODES = ("shortest", "longest", "squash")
_LARGEST_SIDE = 4096
_FARTHEST = 1e4  # of a mean from 0, where pixels reach 1, or of a deviation


@dataclass(frozen=True)
class PreprocessConfig:
    """How an image becomes model input; saved in the model folder beside the weights.

    Args:
        image_size: Side of the square model input, in pixels.
        mean: Per-channel mean (R, G, B) of pixels in 0..1, subtracted.
        std: Per-channel standard deviation, divided by.
        interpolation: PIL's filter for resizing.
        resize_mode: "shortest" fits the shortest side and crops the centre, "longest" fits the longest side and
            pads, "squash" resizes both sides and changes the aspect ratio but loses no part of the image.
        fill_color: Gray level 0..255 of the padding in mode "longest".
    """

    image_size: int = 224
    mean: tuple[float, float, float] = OPENAI_CLIP_MEAN
    std: tuple[float, float, float] = OPENAI_CLIP_STD
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize_mode: Literal["shortest", "longest", "squash"] = "shortest"
    fill_color: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.image_size <= _LARGEST_SIDE:
            raise CocaSearchError(f"image_size must be from 1 to {_LARGEST_SIDE} pixels, not {self.image_size}")
        if self.interpolation not in _RESAMPLING:
            raise CocaSearchError(
                f"interpolation must be one of {list(_RESAMPLING)}, not '{shown(self.interpolation)}'"
            )
        if self.resize_mode not in _RESIZE_MODES:
            raise CocaSearchError(f"resize_mode must be one of {list(_RESIZE_MODES)}, not '{shown(self.resize_mode)}'")
        for name, values, least in (("mean", self.mean, -_FARTHEST), ("std", self.std, 1 / _FARTHEST)):
            if len(values) != 3 or not all(least <= value <= _FARTHEST for value in values):
                raise CocaSearchError(f"{name} needs 3 values from {least:g} to {_FARTHEST:g}, one for each colour")
        if not 0 <= self.fill_color <= 255:
            raise CocaSearchError(f"fill_color must be from 0 to 255, not {self.fill_color}")

    def to_dict(self) -> dict[str, Any]:
        """The config as plain JSON types; `from_dict` reads it back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The config that `to_dict` wrote; missing keys take their defaults.

        Raises:
            CocaSearchError: A key is unknown (the message names the nearest known one) or a value is out of range.
        """
        try:
            return build(cls, values)
        except ValueError as error:
            raise CocaSearchError(f"the model's preprocessing is none: {error}") from error


class Preprocess:
    """The preprocessing of an upright RGB image to a (3, S, S) float32 tensor, S = `config.image_size`.

    It is deterministic and safe to call from several threads at once.
    """

    def __init__(self, config: PreprocessConfig) -> None:
        self.config = config
        # Normalising maps 256 levels per channel, so a table gives the exact floats without threads of torch's own,
        # which would fight over the cores with the threads that decode.
        levels = torch.arange(256, dtype=torch.float32) / 255
        mean, std = (torch.tensor(values, dtype=torch.float32)[:, None] for values in (config.mean, config.std))
        self._normalised_levels = ((levels - mean) / std).numpy()  # (3, 256)

    @property
    def min_decode_side(self) -> int:
        """Shortest side in pixels that an image may be decoded at without a visible change to its tensor."""
        return 2 * self.config.image_size

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """The normalised pixels (3, S, S), float32, of an upright RGB image."""
        pixels = np.asarray(self.resize(image))  # (S, S, 3) uint8
        planes = [self._normalised_levels[channel].take(pixels[:, :, channel]) for channel in range(3)]
        return torch.from_numpy(np.stack(planes))

    def resize(self, image: Image.Image) -> Image.Image:
        """The image as the model will see it, (S, S) RGB, before normalising."""
        match self.config.resize_mode:
            case "shortest":
                return self._crop_centre(self._scale(_without_far_ends(image), to_side=min(image.size)))
            case "longest":
                return self._pad(self._scale(image, to_side=max(image.size)))
            case "squash":
                return self._resample(image, (self.config.image_size, self.config.image_size))

    def _scale(self, image: Image.Image, *, to_side: int) -> Image.Image:
        """The image scaled so that a side of `to_side` pixels becomes `image_size`."""
        size = self.config.image_size
        # Rounding down is torchvision's for the shortest side, to the nearest OpenCLIP's own for the longest.
        whole = int if to_side == min(image.size) else round
        width, height = (size if side == to_side else max(1, whole(size * side / to_side)) for side in image.size)
        return self._resample(image, (width, height))

    def _resample(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        return image.resize(size, _RESAMPLING[self.config.interpolation])

    def _crop_centre(self, image: Image.Image) -> Image.Image:
        size = self.config.image_size
        left, top = (round((side - size) / 2) for side in image.size)
        return image.crop((left, top, left + size, top + size))

    def _pad(self, image: Image.Image) -> Image.Image:
        size, gray = self.config.image_size, self.config.fill_color
        canvas = Image.new("RGB", (size, size), (gray, gray, gray))
        canvas.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
        return canvas


def _without_far_ends(image: Image.Image) -> Image.Image:
    """The image, or the middle of a very long or high one, which could not be scaled up within memory."""
    most = _LONGEST * min(image.size)
    left, top = (max(0, (side - most) // 2) for side in image.size)
    return image.crop((left, top, image.width - left, image.height - top)) if left or top else image
