from collections.abc import Callable
from datetime import datetime

import pytest
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from cocasearch.images.decoding import read_image
from cocasearch.images.metadata import ImageMetadata

Encode = Callable[..., bytes]
Read = Callable[..., ImageMetadata]


@pytest.fixture
def read_back(encoded: Encode) -> Read:
    """Writes tags into a JPEG and gives the metadata read from it."""

    def write_and_read(base: dict | None = None, details: dict | None = None, gps: dict | None = None) -> ImageMetadata:
        exif = Image.Exif()
        exif.update(base or {})
        exif.get_ifd(ExifTags.IFD.Exif).update(details or {})
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps or {})
        return read_image(encoded(Image.new("RGB", (16, 8)), "JPEG", exif=exif))[1]

    return write_and_read


def place(latitude: tuple, north: str, longitude: tuple, east: str) -> dict:
    tags = ExifTags.GPS
    return {
        tags.GPSLatitude: latitude,
        tags.GPSLatitudeRef: north,
        tags.GPSLongitude: longitude,
        tags.GPSLongitudeRef: east,
    }


def test_a_picture_without_notes_has_none(read_back: Read) -> None:
    assert read_back() == ImageMetadata(width=16, height=8, format="JPEG")


def test_the_moment_of_exposure_beats_the_moment_of_editing(read_back: Read) -> None:
    base = {ExifTags.Base.DateTime: "2024:01:01 00:00:00"}
    details = {ExifTags.Base.DateTimeOriginal: "2019:07:14 18:30:05"}
    assert read_back(base, details).taken_at == datetime(2019, 7, 14, 18, 30, 5)
    assert read_back(base).taken_at == datetime(2024, 1, 1)


@pytest.mark.parametrize("written", ["0000:00:00 00:00:00", "    :  :     :  :  ", "yesterday", ""])
def test_a_date_that_is_none_is_none(read_back: Read, written: str) -> None:
    assert read_back(details={ExifTags.Base.DateTimeOriginal: written}).taken_at is None


def test_south_and_west_are_negative(read_back: Read) -> None:
    metadata = read_back(gps=place((33.0, 51.0, 24.48), "S", (70.0, 30.0, 0.0), "W"))
    assert metadata.latitude == pytest.approx(-33.8568, abs=1e-4)
    assert metadata.longitude == pytest.approx(-70.5, abs=1e-6)


@pytest.mark.parametrize("latitude", [(IFDRational(0, 0),) * 3, (95.0, 0.0, 0.0)], ids=["0/0", "beyond the pole"])
def test_a_place_that_is_none_is_none(read_back: Read, latitude: tuple) -> None:
    metadata = read_back(gps=place(latitude, "N", (10.0, 0.0, 0.0), "E"))
    assert (metadata.latitude, metadata.longitude) == (None, None)


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("NIKON CORPORATION", "NIKON D50", "NIKON D50"),
        ("OLYMPUS\0", "X-2\0\0", "OLYMPUS X-2"),
        ("Apple", "", "Apple"),
        ("", "Pixel 7", "Pixel 7"),
    ],
)
def test_the_camera_is_one_phrase(read_back: Read, make: str, model: str, camera: str) -> None:
    assert read_back({ExifTags.Base.Make: make, ExifTags.Base.Model: model}).camera == camera


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_broken_exif_block_does_not_cost_the_picture(encoded: Encode) -> None:
    content = encoded(Image.new("RGB", (16, 8)), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff\xff\xff")
    image, metadata = read_image(content)
    assert image.size == (16, 8)
    assert metadata.camera is None
