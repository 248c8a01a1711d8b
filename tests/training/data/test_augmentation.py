"""Views: the same for the same seed, within the picture, as different as the config says and no more."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cocasearch.errors import CocaSearchError
from cocasearch.training.config_groups import AugmentationConfig
from cocasearch.training.data.augmentation import _random_box, augment

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
    rng = random.Random(0)
    for _ in range(500):
        left, top, right, bottom = _random_box(size, AugmentationConfig(min_area=0.6), rng)
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_area", 0.0),
        ("min_area", 1.1),
        ("max_area", 0.5),
        ("min_ratio", 0.0),
        ("max_ratio", 0.5),
        ("color", 1.0),
        ("color", -0.1),
        ("hue", 0.6),
        ("gray_probability", 1.5),
        ("erase_count", 0),
    ],
)
def test_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(CocaSearchError, match=f"{name} must be from .* not {value}"):
        AugmentationConfig(**{name: value})


def test_half_of_the_views_may_lose_their_sharpness() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    sharp, mixed = (
        views(noise, AugmentationConfig(min_area=1.0, flip=False, color=0.0, coarsest=coarsest)) for coarsest in (0, 8)
    )
    assert 10 <= sum(not np.array_equal(*pair) for pair in zip(sharp, mixed, strict=True)) <= 30
    assert min(view.std() for view in mixed) < 0.6 * min(view.std() for view in sharp)


def boxes(size: tuple[int, int], config: AugmentationConfig) -> np.ndarray:
    """Many boxes as rows of width and height, in pixels."""
    rng = random.Random(0)
    left, top, right, bottom = np.array([_random_box(size, config, rng) for _ in range(2000)]).T
    return np.stack([right - left, bottom - top], axis=1)


def test_area_and_ratio_of_a_crop_lie_where_they_are_asked_to() -> None:
    config = AugmentationConfig(min_area=0.2, max_area=0.3, min_ratio=0.9, max_ratio=1.5)
    width, height = boxes((400, 200), config).T
    area, ratio = width * height / (400 * 200), width / height / (400 / 200)
    assert (area.min(), area.max()) == pytest.approx((0.2, 0.3), abs=1e-3)
    assert (ratio.min(), ratio.max()) == pytest.approx((0.9, 1.5), abs=5e-3)
    assert np.median(ratio) == pytest.approx(math.sqrt(0.9 * 1.5), abs=0.03)  # its logarithm is even


def test_undistorted_crops_have_their_ratio_in_pixels() -> None:
    config = AugmentationConfig(min_area=0.2, max_area=0.3, undistorted=True)
    width, height = boxes((400, 200), config).T
    assert ((width / height).min(), (width / height).max()) == pytest.approx((3 / 4, 4 / 3), abs=5e-3)
    assert (width * height / (400 * 200)).min() == pytest.approx(0.2, abs=1e-3)
    # A picture so long that no box of this area fits gives the largest that does.
    width, height = boxes((1000, 100), config).T
    assert (width / height).max() <= 4 / 3 + 1e-9
    assert height.max() == pytest.approx(100)


def test_some_views_lose_their_colors() -> None:
    red = Image.new("RGB", (50, 50), "red")
    config = AugmentationConfig(min_area=1.0, flip=False, color=0.0, gray_probability=0.5)
    gray = [(view[:, :, 0] == view[:, :, 1]).all() for view in views(red, config)]
    assert 10 <= sum(gray) <= 30


def test_hues_turn_and_only_as_often_as_asked() -> None:
    red = Image.new("RGB", (50, 50), (200, 40, 40))
    config = AugmentationConfig(min_area=1.0, flip=False, color=0.0, hue=0.1, color_probability=0.5)
    turned = [view for view in views(red, config) if abs(view[0, 0] - (200, 40, 40)).max() > 2]
    assert 10 <= len(turned) <= 30
    assert all(view[0, 0, 0] == 200 and view[0, 0, 1:].min() == pytest.approx(40, abs=1) for view in turned)
    # 0.1 of the circle from red: to orange or pink, whose second channel has 0.6 of the range
    assert max(view[0, 0, 1:].max() for view in turned) <= 40 + 0.65 * 160


@pytest.mark.parametrize("count", [1, 4])
def test_rectangles_are_erased(count: int) -> None:
    white = Image.new("RGB", (50, 50), "white")
    config = replace(NONE, erase_probability=0.5, erase_count=count)
    erased = [(view[:, :, 0] == 122).mean() for view in views(white, config)]
    assert 10 <= sum(share > 0 for share in erased) <= 30
    assert max(erased) <= 0.36
    one, several = (views(white, replace(NONE, erase_probability=1.0, erase_count=n)) for n in (1, 4))
    assert np.mean([len(np.unique(v)) for v in one]) == np.mean([len(np.unique(v)) for v in several]) == 4
    assert any(len(runs_of(view)) > 1 for view in several)
    assert all(len(runs_of(view)) == 1 for view in one)


def runs_of(view: np.ndarray) -> set[int]:
    """In how many pieces the rows that are touched at all are blotted out, as a set of bounds."""
    touched = (view[:, :, 0] == 122).any(axis=1).astype(int)
    columns = {tuple(np.flatnonzero(row == 122)) for row in view[:, :, 0][touched == 1]}
    return set(map(hash, columns))
