"""Views: the same for the same seed, within the picture, as different as the config says and no more."""

import random

import numpy as np
import pytest
from PIL import Image

from cocasearch.errors import CocaSearchError
from cocasearch.training.augmentation import _random_box, augment
from cocasearch.training.config import AugmentationConfig

NONE = AugmentationConfig(min_area=1.0, flip=False, color=0.0)


@pytest.fixture
def ramp() -> Image.Image:
    """Red grows to the right, green downwards."""
    pixels = np.zeros((60, 100, 3), dtype=np.uint8)
    pixels[:, :, 0] = np.linspace(40, 200, 100)[None, :]
    pixels[:, :, 1] = np.linspace(40, 200, 60)[:, None]
    return Image.fromarray(pixels)


def views(image: Image.Image, config: AugmentationConfig, count: int = 40) -> list[np.ndarray]:
    return [np.asarray(augment(image, config, size=32, seed=seed)).astype(float) for seed in range(count)]


def test_the_seed_decides(ramp: Image.Image) -> None:
    first, again, other = (augment(ramp, AugmentationConfig(), size=32, seed=seed) for seed in (5, 5, 6))
    assert first.size == (32, 32)
    assert first.tobytes() == again.tobytes() != other.tobytes()


@pytest.mark.parametrize("size", [(100, 60), (1, 500), (333, 17), (5000, 4001)])
def test_boxes_lie_within_the_picture_and_keep_their_share(size: tuple[int, int]) -> None:
    chance = random.Random(0)
    for _ in range(500):
        left, top, right, bottom = _random_box(size, 0.6, chance)
        assert 0 <= left < right <= size[0] + 1e-9
        assert 0 <= top < bottom <= size[1] + 1e-9
        width, height = (right - left) / size[0], (bottom - top) / size[1]
        assert 0.5 < width * height <= 1 + 1e-9  # a stretched box may have to be cut
        assert 3 / 4 - 1e-9 <= width / height <= 4 / 3 + 1e-9


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (1000, 701)])
def test_pictures_of_any_shape_have_views(size: tuple[int, int]) -> None:
    for seed in range(20):
        assert augment(Image.new("RGB", size, "red"), AugmentationConfig(), size=32, seed=seed).size == (32, 32)


def test_nothing_changes_what_is_to_stay(ramp: Image.Image) -> None:
    plain = np.asarray(ramp.resize((32, 32), Image.Resampling.BICUBIC)).astype(float)
    stretched = views(ramp, NONE)  # the aspect ratio alone still varies
    assert all(abs(view.mean(axis=(0, 1)) - plain.mean(axis=(0, 1))).max() < 15 for view in stretched)
    assert all((view[:, :, 2] == 0).all() for view in stretched)


def test_half_of_the_views_are_mirrored(ramp: Image.Image) -> None:
    mirrored = [view[:, 0, 0].mean() > view[:, -1, 0].mean() for view in views(ramp, AugmentationConfig(color=0.0))]
    assert 10 <= sum(mirrored) <= 30
    assert not any(view[:, 0, 0].mean() > view[:, -1, 0].mean() for view in views(ramp, NONE))
    assert not any(view[0, :, 1].mean() > view[-1, :, 1].mean() for view in views(ramp, AugmentationConfig()))


def test_colors_change_as_much_as_asked() -> None:
    gray = Image.new("RGB", (50, 50), (100, 100, 100))
    levels = [view.mean() for view in views(gray, AugmentationConfig(color=0.2))]
    assert 78 <= min(levels) < 90 < 110 < max(levels) <= 122
    assert {view.mean() for view in views(gray, NONE)} == {100}


@pytest.mark.parametrize(("name", "value"), [("min_area", 0.0), ("min_area", 1.1), ("color", 1.0), ("color", -0.1)])
def test_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(CocaSearchError, match=f"{name} must be from .* not {value}"):
        AugmentationConfig(**{name: value})


def test_half_of_the_views_may_lose_their_sharpness() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    sharp, mixed = (views(noise, AugmentationConfig(1.0, False, 0.0, coarsest=coarsest)) for coarsest in (0, 8))
    assert 10 <= sum(not np.array_equal(*pair) for pair in zip(sharp, mixed, strict=True)) <= 30
    assert min(view.std() for view in mixed) < 0.6 * min(view.std() for view in sharp)
