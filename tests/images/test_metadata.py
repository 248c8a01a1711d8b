from collections.abc import Callable
from datetime import datetime
from random import Random

import pytest
from images.tiny_tiff import directory, exif_block
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


def test_an_image_without_notes_has_none(read_back: Read) -> None:
    assert read_back() == ImageMetadata(width=16, height=8, format="JPEG")


def test_the_moment_of_exposure_beats_the_moment_of_editing(read_back: Read) -> None:
    base = {ExifTags.Base.DateTime: "2024:01:01 00:00:00"}
    details = {ExifTags.Base.DateTimeOriginal: "2019:07:14 18:30:05"}
    assert read_back(base, details).taken_at == datetime(2019, 7, 14, 18, 30, 5)
    assert read_back(base).taken_at == datetime(2024, 1, 1)


@pytest.mark.parametrize(
    "written",
    [
        "0000:00:00 00:00:00",
        "    :  :     :  :  ",
        "yesterday",
        "",
        "2019:02:31 00:00:00",
        "0001:01:01 00:00:00",
        "9999:01:01 00:00:00",
    ],
)
def test_a_date_that_is_none_is_none(read_back: Read, written: str) -> None:
    assert read_back(details={ExifTags.Base.DateTimeOriginal: written}).taken_at is None


def test_south_and_west_are_negative(read_back: Read) -> None:
    metadata = read_back(gps=place((33.0, 51.0, 24.48), "S", (70.0, 30.0, 0.0), "W"))
    assert metadata.latitude == pytest.approx(-33.8568, abs=1e-4)
    assert metadata.longitude == pytest.approx(-70.5, abs=1e-6)


@pytest.mark.parametrize(
    "latitude",
    [(IFDRational(0, 0),) * 3, (IFDRational(1, 0), 0.0, 0.0), (95.0, 0.0, 0.0), (1.0,) * 4],
    ids=["0/0", "1/0", "beyond the pole", "four parts"],
)
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
def test_a_broken_exif_block_does_not_cost_the_image(encoded: Encode) -> None:
    content = encoded(Image.new("RGB", (16, 8)), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff\xff\xff")
    image, metadata = read_image(content)
    assert image.size == (16, 8)
    assert metadata.camera is None


@pytest.mark.parametrize("written", ["2019:07:14 18:30:05.123", "2019-07-14T18:30:05+02:00", "2019/07/14 18:30:05 "])
def test_dates_are_read_as_they_are_written(read_back: Read, written: str) -> None:
    assert read_back(details={ExifTags.Base.DateTimeOriginal: written}).taken_at == datetime(2019, 7, 14, 18, 30, 5)


@pytest.mark.parametrize(
    ("written", "taken_at"),
    [
        ("2019: 7: 4  8: 3: 5", datetime(2019, 7, 4, 8, 3, 5)),
        ("2016:12:31 23:59:60", datetime(2016, 12, 31, 23, 59, 59)),
        ("2019:07:14   :  :  ", datetime(2019, 7, 14)),
        ("2019:07:14 18:30:  ", datetime(2019, 7, 14, 18, 30)),
        ("2019:07:14", datetime(2019, 7, 14)),
        ("2019:07:  18:30:05", None),
        ("2019:07:14 25:00:00", None),
        ("2019:07:14 18:61:00", None),
    ],
)
def test_of_a_date_with_unknown_parts_the_known_ones_count(read_back: Read, written: str, taken_at: datetime) -> None:
    assert read_back(details={ExifTags.Base.DateTimeOriginal: written}).taken_at == taken_at


def test_offset_and_subseconds_do_not_move_the_cameras_clock(read_back: Read) -> None:
    details = {
        ExifTags.Base.DateTimeOriginal: "2019:07:14 18:30:05",
        ExifTags.Base.OffsetTimeOriginal: "+09:00",
        ExifTags.Base.SubsecTimeOriginal: "999",
    }
    assert read_back(details=details).taken_at == datetime(2019, 7, 14, 18, 30, 5)


def test_places_may_leave_out_seconds_and_spell_out_the_side(read_back: Read) -> None:
    minutes, unknown = (IFDRational(33, 1), IFDRational(5141, 100)), IFDRational(0, 0)
    for latitude, longitude in ((minutes, (70.5,)), ((*minutes, unknown), (70.5, unknown, unknown))):
        metadata = read_back(gps=place(latitude, "South", longitude, "w"))
        assert metadata.latitude == pytest.approx(-33.8568, abs=1e-4)
        assert metadata.longitude == pytest.approx(-70.5)


def test_a_place_of_zeros_is_none(read_back: Read) -> None:
    assert read_back(gps=place((0.0,) * 3, "N", (0.0,) * 3, "E")).latitude is None


@pytest.mark.parametrize(
    ("written", "camera"),
    [
        (b"Caf\xc3\xa9 1\0", "Café 1"),
        (b"Caf\xe9 1\0", "Café 1"),
        (b"a\nb\tc\x1b[31m\0", "a b c [31m"),
        (b"x" * 999, "x" * 200),
    ],
    ids=["utf-8", "latin-1", "control codes", "endless"],
)
def test_the_camera_is_printable(encoded: Encode, written: bytes, camera: str) -> None:
    block = exif_block({ExifTags.Base.Model: (2, written)})
    assert read_image(encoded(Image.new("RGB", (16, 8)), "JPEG", exif=block))[1].camera == camera


def random_notes(dice: Random) -> bytes:
    """An EXIF block whose tags have any type, number and value, and whose bytes may be changed."""

    def note() -> tuple[int, bytes]:
        kind, size = dice.choice(((1, 1), (2, 1), (3, 2), (4, 4), (5, 8), (7, 1), (10, 8)))
        length = size * dice.choice((0, 1, 2, 3, 4, 9))
        return kind, dice.choice((dice.randbytes(length), bytes(length), b"\xff" * length))

    main = {tag: note() for tag in dice.sample((271, 272, 274, 306, 36867), k=4)} | {34665: (4, 0), 34853: (4, 0)}
    details, gps = ({tag: note() for tag in tags} for tags in ((36867, 36868, 36881, 37521), (1, 2, 3, 4)))
    details_at = 8 + len(directory(main, 8))
    gps_at = details_at + len(directory(details, details_at))
    main |= {34665: (4, details_at), 34853: (4, gps_at)}
    block = bytearray(exif_block(main) + directory(details, details_at) + directory(gps, gps_at))
    for _ in range(dice.randrange(4)):
        block[dice.randrange(14, len(block))] = dice.randrange(256)
    return bytes(block)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_no_notes_whatever_cost_the_image(encoded: Encode) -> None:
    dice = Random(3)
    stored = Image.new("RGB", (16, 8), "red")
    for _ in range(500):
        image, metadata = read_image(encoded(stored, "JPEG", exif=random_notes(dice)))
        assert sorted(image.size) == [8, 16]
        assert (metadata.width, metadata.height) == image.size
        assert metadata.camera is None or metadata.camera.isprintable()
        assert metadata.taken_at is None or 1826 <= metadata.taken_at.year < 2200
        assert metadata.latitude is None or abs(metadata.latitude) <= 90
        assert metadata.longitude is None or abs(metadata.longitude) <= 180
