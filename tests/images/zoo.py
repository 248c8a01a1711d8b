"""Draws a folder of odd and broken picture files: `python zoo.py FOLDER`.

Each good file shows a picture of its own, told apart from all others by its colours, so that it must find itself; each
bad one comes with the reason for which it should be refused. Nothing is stored in the repository but this script.
"""

import io
import random
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from icc_profiles import ADOBE_RGB, GRAY_GAMMA_1, INKS, SRGB
from PIL import ExifTags, Image, ImageDraw
from tiny_tiff import cfa_dng, plain_tiff

WIDTH, HEIGHT = 96, 64
ORIENTATION = ExifTags.Base.Orientation


@dataclass(frozen=True)
class Specimen:
    """A file of the zoo.

    Args:
        name: Its name; may hold a folder.
        content: Its bytes.
        reason: A part of the reason for which it is refused; empty for a good file.
        extra: The extra without which it cannot be read.
    """

    name: str
    content: bytes
    reason: str = ""
    extra: str = ""


def scene(number: int) -> Image.Image:
    """A picture that differs from that of any other number in colours and shapes."""
    dice = random.Random(number)

    def color() -> tuple[int, int, int]:
        return dice.randrange(256), dice.randrange(256), dice.randrange(256)

    picture = Image.new("RGB", (WIDTH, HEIGHT), color())
    pen = ImageDraw.Draw(picture)
    for _ in range(6):
        left, top = dice.randrange(WIDTH - 16), dice.randrange(HEIGHT - 16)
        box = (left, top, left + dice.randrange(12, 50), top + dice.randrange(12, 40))
        dice.choice((pen.rectangle, pen.ellipse))(box, fill=color())
    return picture


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    """The bytes of a file with this picture."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()
