"""Why an image cannot be read is said in words that its owner understands, with what may be done about it."""

import errno
import os
from pathlib import Path

import pytest
from PIL import Image, UnidentifiedImageError

from cocasearch.images.formats import MissingExtraError
from cocasearch.images.refusals import may_be_around, refusal, why_not_opened
from cocasearch.images.timed_reading import OutOfTimeError, TooLargeError


@pytest.mark.parametrize(
    ("error", "reason", "cause"),
    [
        (FileNotFoundError(errno.ENOENT, "x"), "no such file", "system"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error", "system"),
        (MemoryError(), "not enough memory", "system"),
        (OutOfTimeError(), "took more than 8 seconds to read", "time"),
        (MissingExtraError("HEIC", "heif"), "HEIC needs: pip install 'cocasearch[heif]'", "extra"),
        (TooLargeError("has 300 megapixels", 300_000_000), "has 300 megapixels", "file"),
        (Image.DecompressionBombError("x"), "more than 1024 megapixels", "file"),
        (OSError("image file is Truncated (3 bytes)"), "truncated", "file"),
        (SyntaxError("bad  header\n"), "damaged (bad header)", "file"),
        (ValueError("some inner detail"), "damaged", "file"),
    ],
)
def test_an_error_is_put_in_words(error: Exception, reason: str, cause: str) -> None:
    refused = refusal(error, b"1234")
    assert (refused.path, refused.reason, refused.cause) == ("(4 bytes in memory)", reason, cause)


def test_what_can_be_done_about_it_is_handed_on() -> None:
    assert refusal(TooLargeError("large", pixels=7), b"").pixels == 7
    assert refusal(MissingExtraError("HEIC", "heif"), b"").extra == "heif"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"\x89PNG\r\n", "damaged PNG"),
        (b"\0\0\0\x20ftypisom", "a video, not an image"),
        (b"%PDF-1.7", "a PDF document, not an image"),
        (b"<html>", "a web page, not an image"),
        (b"dear diary", "not an image that can be read"),
    ],
)
def test_a_file_that_no_decoder_knows_is_told_by_its_beginning(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(content)
    assert refusal(UnidentifiedImageError(), content).reason == refusal(UnidentifiedImageError(), file).reason == reason


def test_only_damage_may_lie_around_the_pixels() -> None:
    assert may_be_around(ValueError("bad chunk"))
    assert not any(map(may_be_around, [OutOfTimeError(), TooLargeError("x"), OSError(errno.EIO, "x")]))
    assert not may_be_around(ValueError("Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK"))


def test_the_system_is_asked_why_a_file_does_not_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "fine").write_bytes(b"x")
    reasons = [why_not_opened(tmp_path / name) for name in ("fine", "gone", "pipe", ".")]
    assert reasons[:3] == ["", "no such file", "a pipe or a device, not a file"]
    assert reasons[3]
