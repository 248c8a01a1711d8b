import io
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from cocasearch.captioned_data import CaptionedImage
from cocasearch.captioned_data.duplicates.near_duplicates import (
    Twin,
    _candidates,
    find_twins,
    find_twins_between,
    hash_images,
)
from cocasearch.paths import sample_photos_folder

PHOTOS = sorted(sample_photos_folder().glob("*.jpg"))


def captioned(*images: Path | bytes) -> list[CaptionedImage]:
    return [CaptionedImage(image, f"picture {number}", ("words",)) for number, image in enumerate(images)]


def recompressed(file: Path, quality: int) -> bytes:
    content = io.BytesIO()
    with Image.open(file) as image:
        image.convert("RGB").save(content, "JPEG", quality=quality)
    return content.getvalue()


def test_twins_are_found_whether_exact_or_nearly_so(tmp_path: Path) -> None:
    shutil.copy(PHOTOS[0], tmp_path / "copy.jpg")
    images = captioned(
        *PHOTOS[:4], recompressed(PHOTOS[2], 50), tmp_path / "copy.jpg", b"none", recompressed(PHOTOS[2], 30)
    )
    hashes = hash_images(images)
    assert hashes.unreadable == {6: "not an image that can be read"}
    assert find_twins(hashes) == [Twin(2, 4, False), Twin(0, 5, True), Twin(2, 7, False)]
    assert find_twins(hash_images(captioned(*PHOTOS))) == []


def test_unreadable_images_of_the_same_bytes_are_twins_all_the_same() -> None:
    assert find_twins(hash_images(captioned(b"torn", b"other", b"torn"))) == [Twin(0, 2, True)]


def test_images_that_are_also_among_others_are_found_once() -> None:
    others = captioned(PHOTOS[1], PHOTOS[3], PHOTOS[1].read_bytes())
    images = captioned(PHOTOS[0], PHOTOS[1], recompressed(PHOTOS[3], 60), PHOTOS[1].read_bytes(), b"")
    twins = find_twins_between(hash_images(images), hash_images(others))
    assert twins == [Twin(0, 1, True), Twin(1, 2, False), Twin(0, 3, True)]
    assert find_twins_between(hash_images(captioned()), hash_images(others)) == []


def test_progress_reaches_the_end() -> None:
    told: list[tuple[int, int]] = []
    hash_images(captioned(*PHOTOS[:3]), lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 3)


def test_many_images_are_searched_in_cells_and_hardly_a_copy_is_missed() -> None:
    chance = np.random.default_rng(0)
    stored = chance.normal(size=(12_000, 35)).astype(np.float32)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    copies = stored[::20] + 0.05 * chance.normal(size=(600, 35)).astype(np.float32)  # cosines around 0.96
    copies /= np.linalg.norm(copies, axis=1, keepdims=True)
    found = [20 * row in near for row, near in _candidates(copies, stored)]
    assert len(found) == 600
    assert np.mean(found) > 0.97
