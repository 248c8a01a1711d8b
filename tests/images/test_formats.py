"""A file's format is told by its first bytes, and its name says which formats may be in it."""

import pytest

from cocasearch.images.formats import (
    EXTRAS,
    FORMATS,
    IMAGE_SUFFIXES,
    NAMES_BY_SUFFIX,
    RAW_SUFFIXES,
    MissingExtraError,
    format_of,
    is_installed,
)


@pytest.mark.parametrize(
    ("head", "title"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"RIFF1234WEBPVP8 ", "WebP"),
        (b"\0\0\0\x1cftypavif", "AVIF"),
        (b"\0\0\0\x1cftypheic", "HEIC"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"\0\0\0\x1cftypisom", None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell_the_format(head: bytes, title: str | None) -> None:
    known = format_of(head)
    assert (known and known.title) == title


def test_suffixes_are_lower_case_and_those_of_cameras_are_apart() -> None:
    assert all(suffix == suffix.lower() for suffix in IMAGE_SUFFIXES)
    assert ".jpg" in IMAGE_SUFFIXES - RAW_SUFFIXES
    assert not {suffix.removeprefix(".") for suffix in RAW_SUFFIXES} & NAMES_BY_SUFFIX.keys()
    assert "MPO" in NAMES_BY_SUFFIX["jpg"]


def test_a_format_with_an_optional_decoder_says_how_to_get_it() -> None:
    assert {one.extra for one in FORMATS if one.package} == EXTRAS.keys()
    assert "pip install 'cocasearch[raw]'" in str(MissingExtraError("RAW", "raw"))
    assert not is_installed("no such part")
