"""Training views: an upright RGB picture and a seed in, a randomly cropped, mirrored, tinted one out."""

import math
import random

from PIL import Image, ImageEnhance

from cocasearch.training.config import AugmentationConfig

_MAX_LOG_RATIO = math.log(4 / 3)
_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def augment(image: Image.Image, config: AugmentationConfig, *, size: int, seed: int) -> Image.Image:
    """One view (size, size) of the picture; the same seed gives the same view."""
    chance = random.Random(seed)
    box = _random_box(image.size, config.min_area, chance)
    view = image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    if config.flip and chance.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if config.color:
        for enhancer in _ENHANCERS:
            view = enhancer(view).enhance(1 + config.color * chance.uniform(-1, 1))
    if 0 < config.coarsest < size and chance.random() < 0.5:
        side = chance.randint(config.coarsest, size)
        view = view.resize((side, side), Image.Resampling.BICUBIC).resize((size, size), Image.Resampling.BICUBIC)
    return view


def _random_box(size: tuple[int, int], min_area: float, chance: random.Random) -> tuple[float, float, float, float]:
    """A box within the picture with a random share of its area and an aspect ratio up to 4:3 from its own."""
    width, height = size
    area = chance.uniform(min_area, 1.0)
    stretch = math.exp(chance.uniform(-_MAX_LOG_RATIO, _MAX_LOG_RATIO) / 2)
    crop_width = min(math.sqrt(area) * stretch, 1.0) * width
    crop_height = min(math.sqrt(area) / stretch, 1.0) * height
    left, top = chance.uniform(0, width - crop_width), chance.uniform(0, height - crop_height)
    return left, top, left + crop_width, top + crop_height
