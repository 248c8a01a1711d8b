from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cocasearch.errors import CocaSearchError
from cocasearch.images.decoding import read_image
from cocasearch.images.transforms import Preprocess, PreprocessConfig

# Images and what OpenCLIP 3.3.0 made of them, every fourth pixel of (3, 224, 224).
GOLDEN = Path(__file__).parents[1] / "golden" / "preprocess"


@pytest.mark.parametrize("name", ["big", "gray", "tall", "wide"])
def test_tensors_equal_open_clips_bit_for_bit(name: str) -> None:
    image, _ = read_image(GOLDEN / f"{name}.png")
    pixels = Preprocess(PreprocessConfig())(image)
    assert pixels.shape == (3, 224, 224)
    assert pixels.dtype == torch.float32
    expected = np.load(GOLDEN / "expected_224_every_4th.npz")[name]
    np.testing.assert_array_equal(pixels[:, ::4, ::4].numpy(), expected)


def test_squash_keeps_all_corners_and_shortest_crops_them(four_corners: Image.Image) -> None:
    tall = four_corners.resize((32, 320), Image.Resampling.NEAREST)
    squashed = Preprocess(PreprocessConfig(image_size=16, resize_mode="squash")).resize(tall)
    cropped = Preprocess(PreprocessConfig(image_size=16)).resize(tall)
    assert squashed.size == cropped.size == (16, 16)
    assert squashed.getpixel((0, 0)) == tall.getpixel((0, 0))
    assert squashed.getpixel((15, 15)) == tall.getpixel((31, 319))
    np.testing.assert_array_equal(cropped, tall.resize((16, 160), Image.Resampling.BICUBIC).crop((0, 72, 16, 88)))


def test_longest_pads_to_the_fill_color(four_corners: Image.Image) -> None:
    config = PreprocessConfig(image_size=24, resize_mode="longest", fill_color=7)
    padded = Preprocess(config).resize(four_corners)  # 96 x 64 fits as 24 x 16
    assert padded.getpixel((12, 3)) == padded.getpixel((12, 20)) == (7, 7, 7)
    assert padded.getpixel((0, 4)) == four_corners.getpixel((0, 0))
    assert padded.getpixel((23, 19)) == four_corners.getpixel((95, 63))


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (7, 5)])
def test_extreme_shapes_still_give_a_square(mode: str, size: tuple[int, int]) -> None:
    config = PreprocessConfig.from_dict({"image_size": 32, "resize_mode": mode})
    pixels = Preprocess(config)(Image.new("RGB", size, "white"))
    assert pixels.shape == (3, 32, 32)
    assert pixels.isfinite().all()


def test_a_config_survives_its_dict() -> None:
    config = PreprocessConfig(image_size=64, mean=(0.1, 0.2, 0.3), resize_mode="squash", interpolation="bilinear")
    assert PreprocessConfig.from_dict(config.to_dict()) == config


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    with pytest.raises(CocaSearchError, match=r"'image_sise'.*; did you mean 'image_size'"):
        PreprocessConfig.from_dict({"image_sise": 224})


@pytest.mark.parametrize(
    "values",
    [{"image_size": 0}, {"std": [0.2, 0.2, 0.0]}, {"mean": [0.5]}, {"resize_mode": "crop"}, {"interpolation": "box"}],
)
def test_values_out_of_range_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(CocaSearchError):
        PreprocessConfig.from_dict(values)
