"""Metadata of an image file: size, format, and when, where and with which camera it was taken.

Reading them never fails: what is missing, out of range or broken becomes None, because a bad note must not cost the
image.
"""

import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

# Some cameras write blanks for leading zeros, and for parts that nobody knows.
_DATE = re.compile(
    r"(\d{4})" + r"\D{1,2}(\d\d?)" * 2 + r"(?:\D{1,2}(\d\d?)\D{1,2}(\d\d?)(?:\D{1,2}(\d\d?))?)?", re.ASCII
)
_YEARS = range(1826, 2200)  # since there are photos, and as a table can hold them
_LONGEST = 200  # characters of a note
_DATE_TAGS = (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized, ExifTags.Base.DateTime)


@dataclass(frozen=True)
class ImageMetadata:
    """What an image file says about itself.

    Args:
        width: Width in pixels, once upright.
        height: Height in pixels, once upright.
        format: PIL's name of the file format: "JPEG", "PNG", ...
        taken_at: Time on the camera's clock, without time zone, since EXIF stores no reliable one.
        latitude: Degrees, north positive, -90..90.
        longitude: Degrees, east positive, -180..180.
        camera: Make and model in one phrase.
        remark: What is wrong with the file around its pixels, which are complete; empty if nothing is known to be.
    """

    width: int
    height: int
    format: str
    taken_at: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None
    camera: str | None = None
    remark: str = ""


def read_exif(image: Image.Image) -> Image.Exif:
    """The EXIF block of an open image; empty if it has none or a broken one."""
    try:
        return image.getexif()
    except Exception:  # PIL's parser raises whatever a corrupt block leads it to
        return Image.Exif()


def read_metadata(exif: Image.Exif, *, width: int, height: int, file_format: str) -> ImageMetadata:
    """The metadata of an image whose upright size and format are known."""
    notes = {**_tags(lambda: exif.get_ifd(ExifTags.IFD.Exif)), **_tags(lambda: exif)}
    gps = _tags(lambda: exif.get_ifd(ExifTags.IFD.GPSInfo))
    latitude = _degrees(gps, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, limit=90)
    longitude = _degrees(gps, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, limit=180)
    # Cameras without a fix write zeros; nobody takes photos in the Gulf of Guinea at 0, 0.
    known_place = latitude is not None and longitude is not None and (latitude, longitude) != (0, 0)
    return ImageMetadata(
        width=width,
        height=height,
        format=file_format,
        taken_at=_taken_at(notes),
        latitude=latitude if known_place else None,
        longitude=longitude if known_place else None,
        camera=_camera(notes),
    )


def read_orientation(exif: Image.Exif) -> int:
    """How an image is to be turned, 1 to 8 as EXIF numbers it; 1 (not at all) if its EXIF is not clear."""
    try:
        orientation = int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # text, several values, a division by zero, or a corrupt block
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def _tags(section: Callable[[], Mapping[int, Any]]) -> dict[int, Any]:
    try:
        return dict(section())
    except Exception:  # as above: PIL decodes a section and its values when they are asked for
        return {}


def _taken_at(notes: Mapping[int, Any]) -> datetime | None:
    for tag in _DATE_TAGS:
        match = _DATE.match(_text(notes.get(tag)))
        year, month, day, hour, minute, second = map(int, match.groups("0")) if match else (0,) * 6
        with suppress(ValueError):  # as of the 31st of February
            if year in _YEARS:
                return datetime(year, month, day, hour, minute, 59 if second == 60 else second)  # a leap second
    return None


def _degrees(gps: Mapping[int, Any], value_tag: int, reference_tag: int, *, limit: int) -> float | None:
    try:
        value = gps[value_tag]  # PIL unwraps a single part
        parts = [float(part) for part in (value if isinstance(value, tuple) else (value,))]
    except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    if not 1 <= len(parts) <= 3:
        return None
    while len(parts) > 1 and math.isnan(parts[-1]):  # 0/0: seconds that nobody knows, or minutes too
        parts.pop()
    angle: float = sum(part / 60**power for power, part in enumerate(parts))
    if not abs(angle) <= limit:  # nor is what is no number
        return None
    return -angle if _text(gps.get(reference_tag))[:1].upper() in ("S", "W") else angle


def _camera(notes: Mapping[int, Any]) -> str | None:
    make, model = _text(notes.get(ExifTags.Base.Make)), _text(notes.get(ExifTags.Base.Model))
    maker = make.split()[0].lower() if make else ""
    if model.lower().startswith(maker):  # "NIKON CORPORATION" + "NIKON D50" is one Nikon
        return model or None
    return f"{make} {model}".strip()


def _text(value: object) -> str:
    """A note as one line of printable text. PIL reads all text as Latin-1, though most of it is UTF-8."""
    if isinstance(value, str):
        value = value.encode("latin-1", "replace")
    if not isinstance(value, bytes):
        return ""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST]
