"""Copies of a photo are told from other photos, on the sample photographs."""

import io
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from cocasearch.captioned_data.duplicates.perceptual_hash import (
    SKETCH_SIZE,
    is_same_image,
    read_perceptual_hash,
    read_thumbnail,
    sketch,
    thumbnail,
)
from cocasearch.images.decoding import read_image
from cocasearch.paths import sample_photos_folder

PHOTOS = sorted(sample_photos_folder().glob("*.jpg"))


def as_jpeg(image: Image.Image, quality: int) -> bytes:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return content.getvalue()


def cropped(image: Image.Image, share: float) -> Image.Image:
    width, height = image.size
    return image.crop((round(width * share), round(height * share), round(width * (1 - share)), height))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda image: image.resize((image.width // 2, image.height // 2)),
    "larger": lambda image: image.resize((image.width * 2, image.height * 2)),
    "cropped": lambda image: cropped(image, 0.02),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.75),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_changed_copy_is_the_same_image(kind: str) -> None:
    assert len(PHOTOS) >= 15
    for file in PHOTOS:
        copy = as_jpeg(COPIES[kind](read_image(file)[0]), 60)
        assert float(read_perceptual_hash(file).sketch @ read_perceptual_hash(copy).sketch) > 0.9, file.name
        assert is_same_image(read_thumbnail(file), read_thumbnail(copy)), file.name


def test_other_photos_and_a_photo_without_its_left_fifth_are_other_images() -> None:
    thumbnails = [read_thumbnail(file) for file in PHOTOS]
    assert not any(is_same_image(*pair) for pair in combinations(thumbnails, 2))
    for file, whole in zip(PHOTOS, thumbnails, strict=True):
        image, _ = read_image(file)
        part = image.crop((image.width // 5, 0, image.width, image.height))
        assert not is_same_image(whole, thumbnail(part))


def chart(heights: tuple[int, ...], colour: str) -> Image.Image:
    image = Image.new("RGB", (200, 150), "white")
    pen = ImageDraw.Draw(image)
    for number, height in enumerate(heights):
        pen.rectangle((20 + 40 * number, 140 - height, 45 + 40 * number, 140), fill=colour)
    return image


def test_drawings_alike_but_for_a_bar_or_a_colour_are_other_images() -> None:
    one = chart((30, 90, 60, 100), "green")
    assert sketch(one) @ sketch(chart((30, 90, 60, 80), "green")) > 0.9  # a candidate, and no more
    for other in (chart((30, 90, 60, 80), "green"), chart((30, 90, 60, 100), "brown")):
        assert not is_same_image(thumbnail(one), thumbnail(other))
    assert is_same_image(thumbnail(one), read_thumbnail(as_jpeg(one, 50)))


def test_a_sketch_is_a_unit_row_and_nothing_for_one_colour() -> None:
    for file in PHOTOS:
        assert np.linalg.norm(read_perceptual_hash(file).sketch) == pytest.approx(1, abs=1e-5)
    assert sketch(Image.new("RGB", (50, 40), "red")).tolist() == [0.0] * SKETCH_SIZE


def test_a_look_knows_the_full_size() -> None:
    image_hash = read_perceptual_hash(PHOTOS[0])
    with Image.open(PHOTOS[0]) as opened:
        assert (image_hash.width, image_hash.height) == opened.size
