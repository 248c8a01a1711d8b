"""Colours as the file means them: embedded profiles, inks, LAB."""

from collections.abc import Callable

import numpy as np
import pytest
from images.icc_profiles import ADOBE_RGB, GRAY_GAMMA_1, INKS, SRGB
from images.zoo import without_adobe_marker
from PIL import Image

from cocasearch.images import color
from cocasearch.images.decoding import read_image

Encode = Callable[..., bytes]


def displayed(content: bytes, *, at: tuple[int, int] = (4, 4)) -> tuple[int, ...]:
    return read_image(content)[0].getpixel(at)


def test_a_wide_gamut_is_brought_into_srgb(encoded: Encode) -> None:
    """Adobe RGB's (100, 200, 100) lies outside sRGB: no red is left, and green grows by a level."""
    stored = Image.new("RGB", (8, 8), (100, 200, 100))
    red, green, blue = displayed(encoded(stored, "PNG", icc_profile=ADOBE_RGB))
    assert (red, blue) == (pytest.approx(0, abs=3), pytest.approx(92, abs=3))
    assert green == pytest.approx(201, abs=3)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_format_that_holds_profiles_follows_them(encoded: Encode, file_format: str) -> None:
    stored = Image.new("RGB", (32, 32), (100, 200, 100))
    with_profile = displayed(encoded(stored, file_format, icc_profile=ADOBE_RGB))
    assert with_profile[0] < 30
    assert displayed(encoded(stored, file_format))[0] > 90


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_an_srgb_profile_changes_not_one_bit(encoded: Encode, four_corners: Image.Image, mode: str) -> None:
    stored = four_corners.convert(mode)
    plain, with_profile = (read_image(encoded(stored, "PNG", **extra))[0] for extra in ({}, {"icc_profile": SRGB}))
    assert np.array_equal(plain, with_profile)
    assert color._transform_to_srgb(SRGB, "RGB") is None


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_gray_profiles_are_followed(encoded: Encode, mode: str) -> None:
    """Linear light of 0.216 is the sRGB level 128."""
    gray = np.full((8, 8), 55, np.uint8)
    stored = Image.fromarray(gray.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(gray).convert(mode)
    assert displayed(encoded(stored, "PNG", icc_profile=GRAY_GAMMA_1)) == (pytest.approx(128, abs=2),) * 3


def test_transparency_survives_a_profile(encoded: Encode) -> None:
    stored = Image.new("RGBA", (8, 8), (100, 200, 100, 255))
    stored.paste((0, 0, 0, 0), (0, 0, 4, 8))
    content = encoded(stored, "PNG", icc_profile=ADOBE_RGB)
    assert displayed(content, at=(0, 0)) == (255, 255, 255)
    assert displayed(content, at=(7, 7))[0] < 4


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_inks_are_printed_as_their_profile_says(encoded: Encode, file_format: str) -> None:
    """In this profile cyan ink is red, magenta and yellow are water, black is black."""
    red, paper, black = (
        displayed(encoded(Image.new("CMYK", (16, 16), inks), file_format, icc_profile=INKS))
        for inks in ((255, 0, 0, 0), (0, 255, 255, 0), (0, 0, 0, 255))
    )
    assert red[0] > 240
    assert max(red[1:]) < 20
    assert min(paper) > 250
    assert max(black) < 5


def test_inks_are_inverted_only_where_adobe_says_so(encoded: Encode) -> None:
    inks = Image.new("CMYK", (16, 16), (10, 200, 240, 20))
    by_adobe = encoded(inks, "JPEG", quality=95)
    plain = without_adobe_marker(encoded(Image.fromarray(255 - np.asarray(inks), "CMYK"), "JPEG", quality=95))
    assert displayed(by_adobe) == pytest.approx(inks.convert("RGB").getpixel((0, 0)), abs=4)
    assert displayed(plain) == pytest.approx(displayed(by_adobe), abs=4)


def test_lab_is_shown(encoded: Encode) -> None:
    gray, red = (
        displayed(encoded(Image.new("LAB", (8, 8), lab), "TIFF")) for lab in ((128, 128, 128), (136, 208, 195))
    )
    assert gray == pytest.approx((119, 119, 119), abs=3)
    assert red[0] > 240
    assert max(red[1:]) < 30


@pytest.mark.parametrize(
    "profile", [b"", b"no profile", ADOBE_RGB[:300], INKS, GRAY_GAMMA_1, ADOBE_RGB[:400] + bytes(len(ADOBE_RGB) - 400)]
)
def test_profiles_that_are_broken_or_for_other_pixels_are_as_good_as_none(encoded: Encode, profile: bytes) -> None:
    stored = Image.new("RGB", (8, 8), (100, 200, 100))
    assert displayed(encoded(stored, "PNG", icc_profile=profile)) == (100, 200, 100)
