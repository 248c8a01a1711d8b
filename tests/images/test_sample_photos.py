from pathlib import Path

import pytest
from PIL import ExifTags, Image

from cocasearch.captioned_data import read_captioned_data
from cocasearch.evaluation.retrieval_metrics import distinct_texts
from cocasearch.images.decoding import read_image
from cocasearch.images.discovery import discover_images
from cocasearch.paths import sample_captions_file, sample_photos_folder

PHOTOS = [image.absolute for image in discover_images(sample_photos_folder())]


def source_rows() -> dict[str, list[str]]:
    """File name -> [title, author, source, licence]."""
    table = [
        line for line in (sample_photos_folder() / "SOURCES.md").read_text("utf-8").splitlines() if line[:1] == "|"
    ]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]
    return {name: rest for name, *rest in cells}


def test_every_photo_has_its_source_and_every_source_its_photo() -> None:
    assert len(PHOTOS) >= 12
    assert sorted(source_rows()) == [photo.name for photo in PHOTOS]


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.stem)
def test_a_photo_opens_is_small_and_freely_licensed(photo: Path) -> None:
    image, metadata = read_image(photo)
    assert 300 <= min(image.size) <= max(image.size) == max(metadata.width, metadata.height) <= 640
    title, author, source, licence = source_rows()[photo.name]
    assert all((title, author, source))
    assert licence.lstrip("[").startswith(("public domain", "CC0", "CC BY "))


def test_every_photo_has_its_name_and_captions_of_its_own() -> None:
    images = read_captioned_data(sample_captions_file()).images
    assert [image.key for image in images] == [photo.name for photo in PHOTOS]
    for image in images:
        assert image.key.removesuffix(".jpg").replace("-", " ") in image.captions[0]
        assert len(set(image.captions)) == 6
    assert len(distinct_texts([image.captions for image in images]).texts) == 6 * len(PHOTOS)


def test_one_photo_is_stored_on_its_side() -> None:
    photo = sample_photos_folder() / "two-dogs-at-window.jpg"
    with Image.open(photo) as stored:
        assert stored.getexif()[ExifTags.Base.Orientation] == 6
        assert stored.width > stored.height
    upright, _ = read_image(photo)
    assert upright.width < upright.height
