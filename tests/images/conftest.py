"""Images whose corners tell which way up they are."""

import io
from collections.abc import Callable

import pytest
from PIL import Image

RED, GREEN, BLUE, YELLOW = (200, 30, 30), (30, 160, 60), (30, 60, 200), (220, 200, 40)


@pytest.fixture
def four_corners() -> Image.Image:
    """96 x 64: red top left, green top right, blue bottom left, yellow bottom right."""
    image = Image.new("RGB", (96, 64))
    for color, left, top in ((RED, 0, 0), (GREEN, 48, 0), (BLUE, 0, 32), (YELLOW, 48, 32)):
        image.paste(color, (left, top, left + 48, top + 32))
    return image


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """Encodes an image: encoded(image, "JPEG", quality=95)."""

    def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, file_format, **options)
        return buffer.getvalue()

    return encode
