"""What a picture file says about itself: size, format, when, where and with which camera it was taken.

Receives an open picture and its EXIF block and hands on plain values. Never fails: what is missing, out of range or
broken becomes None, because a bad note must not cost the picture.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PIL import ExifTags, Image

_DATE_TAGS = (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized, ExifTags.Base.DateTime)


@dataclass(frozen=True)
class ImageMetadata:
    """What the file itself tells about a picture.

    Args:
        width: Pixels across, once upright.
        height: Pixels down, once upright.
        format: PIL's name of the file format: "JPEG", "PNG", ...
        taken_at: The camera's own clock (EXIF stores no reliable zone), without time zone.
        latitude: Degrees, north positive, -90..90.
        longitude: Degrees, east positive, -180..180.
        camera: Make and model in one phrase.
    """

    width: int
    height: int
    format: str
    taken_at: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None
    camera: str | None = None


def read_exif(image: Image.Image) -> Image.Exif:
    """The EXIF block of an open picture; empty if it has none or a broken one."""
    try:
        return image.getexif()
    except Exception:  # PIL's parser raises whatever a corrupt block leads it to
        return Image.Exif()


def read_metadata(exif: Image.Exif, *, width: int, height: int, file_format: str) -> ImageMetadata:
    """The metadata of a picture whose upright size and format are known."""
    notes = {**_section(exif, ExifTags.IFD.Exif), **dict(exif)}
    gps = _section(exif, ExifTags.IFD.GPSInfo)
    latitude = _degrees(gps, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, limit=90)
    longitude = _degrees(gps, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, limit=180)
    known_place = latitude is not None and longitude is not None
    return ImageMetadata(
        width=width,
        height=height,
        format=file_format,
        taken_at=_taken_at(notes),
        latitude=latitude if known_place else None,
        longitude=longitude if known_place else None,
        camera=_camera(notes),
    )


def _section(exif: Image.Exif, section: ExifTags.IFD) -> dict[int, Any]:
    try:
        return dict(exif.get_ifd(section))
    except Exception:  # as above: a corrupt section is no section
        return {}


def _taken_at(notes: Mapping[int, Any]) -> datetime | None:
    for tag in _DATE_TAGS:
        try:
            return datetime.strptime(_text(notes.get(tag))[:19], "%Y:%m:%d %H:%M:%S")
        except ValueError:  # absent, "0000:00:00 00:00:00", or free text
            continue
    return None


def _degrees(gps: Mapping[int, Any], value_tag: int, reference_tag: int, *, limit: int) -> float | None:
    try:
        degrees, minutes, seconds = (float(part) for part in gps[value_tag])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    angle = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(angle) or angle > limit:
        return None
    return -angle if _text(gps.get(reference_tag)).upper() in ("S", "W") else angle


def _camera(notes: Mapping[int, Any]) -> str | None:
    make, model = _text(notes.get(ExifTags.Base.Make)), _text(notes.get(ExifTags.Base.Model))
    maker = make.split()[0].lower() if make else ""
    if model.lower().startswith(maker):  # "NIKON CORPORATION" + "NIKON D50" is one Nikon
        return model or None
    return f"{make} {model}".strip()


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.replace("\x00", " ").strip() if isinstance(value, str) else ""
