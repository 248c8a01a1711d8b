"""Training views: an upright RGB picture and a seed in, a randomly cropped, mirrored, tinted one out."""

import math
import random

from PIL import Image, ImageEnhance

from cocasearch.training.config_groups import AugmentationConfig

_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
_ERASED = (122, 116, 104)  # what models are normalised by, so that an erased place is near 0
_ERASED_AREA, _ERASED_RATIO = (0.02, 1 / 3), (0.3, 1 / 0.3)
Box = tuple[float, float, float, float]


def augment(image: Image.Image, config: AugmentationConfig, *, size: int, seed: int) -> Image.Image:
    """One view (size, size) of the picture; the same seed gives the same view."""
    rng = random.Random(seed)
    box = _random_box(image.size, config, rng)
    view = image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    if config.flip and rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    view = _tinted(view, config, rng)
    if 0 < config.coarsest < size and rng.random() < 0.5:
        side = rng.randint(config.coarsest, size)
        view = view.resize((side, side), Image.Resampling.BICUBIC).resize((size, size), Image.Resampling.BICUBIC)
    if _happens(config.erase_probability, rng):
        for _ in range(config.erase_count):
            _erase(view, config.erase_count, rng)
    return view


def _happens(probability: float, rng: random.Random) -> bool:
    # What is certain draws nothing, so that the other choices of a seed stay.
    return probability >= 1 or (probability > 0 and rng.random() < probability)


def _random_box(size: tuple[int, int], config: AugmentationConfig, rng: random.Random) -> Box:
    """A box within the picture, with a random share of its area and a random ratio of its sides."""
    width, height = size
    area = rng.uniform(config.min_area, config.max_area)
    ratio = math.exp(rng.uniform(math.log(config.min_ratio), math.log(config.max_ratio)))
    if config.undistorted:
        ratio *= height / width
    # Shares of both sides. What is too long is cut, and the other side is cut with it where nothing may be distorted.
    across, down = math.sqrt(area * ratio), math.sqrt(area / ratio)
    fit = max(across, down, 1.0) if config.undistorted else 1.0
    across, down = min(across / fit, 1.0) * width, min(down / fit, 1.0) * height
    left, top = rng.uniform(0, width - across), rng.uniform(0, height - down)
    return left, top, left + across, top + down


def _tinted(view: Image.Image, config: AugmentationConfig, rng: random.Random) -> Image.Image:
    if (config.color or config.hue) and _happens(config.color_probability, rng):
        if config.color:
            for enhancer in _ENHANCERS:
                view = enhancer(view).enhance(1 + config.color * rng.uniform(-1, 1))
        if config.hue:
            view = _turned(view, config.hue * rng.uniform(-1, 1))
    return view.convert("L").convert("RGB") if _happens(config.gray_probability, rng) else view


def _turned(view: Image.Image, turn: float) -> Image.Image:
    """The picture with its hues turned by a share of the colour circle."""
    hue, saturation, value = view.convert("HSV").split()
    hue = hue.point([(level + round(256 * turn)) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def _erase(view: Image.Image, count: int, rng: random.Random) -> None:
    """Blot out one of `count` rectangles, in place."""
    width, height = view.size
    area = rng.uniform(*_ERASED_AREA) / count * width * height
    stretch = math.exp(rng.uniform(math.log(_ERASED_RATIO[0]), math.log(_ERASED_RATIO[1])) / 2)
    across, down = min(width, round(math.sqrt(area) * stretch)), min(height, round(math.sqrt(area) / stretch))
    left, top = rng.randint(0, width - across), rng.randint(0, height - down)
    view.paste(_ERASED, (left, top, left + across, top + down))
