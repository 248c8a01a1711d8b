"""No file holds a run up: what asks for too much is refused, what takes too long stopped, what can be made less."""

import io
import time
from collections.abc import Callable

import numpy as np
import pytest
from images.zoo import png_file
from PIL import Image

from cocasearch.errors import UnreadableImage
from cocasearch.images import timed_reading
from cocasearch.images.decoding import read_image
from cocasearch.images.formats import UNINTERRUPTED

Encode = Callable[..., bytes]


def scan_bomb(side: int, scans: int, encoded: Encode) -> bytes:
    """A progressive JPEG of a few kilobytes that goes over the whole image thousands of times."""
    content = encoded(Image.new("L", (side, side), 90), "JPEG", progressive=True)
    last_scan = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last_scan * scans + content[-2:]


@pytest.mark.parametrize("kind", ["scans", "words", "junk"])
def test_decoding_stops_when_the_time_is_up(encoded: Encode, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {
        "scans": lambda: scan_bomb(2000, 3000, encoded),
        "words": lambda: b"P3\n2000 2000\n255\n" + b"1 2 3\n" * 4_000_000,
        "junk": lambda: b"\xff\xd8\xff" + b"\x00\xff" * 5_000_000,
    }[kind]()
    monkeypatch.setattr(timed_reading, "SECONDS_PER_FILE", 0.3)
    started = time.thread_time()
    with pytest.raises(UnreadableImage, match="took more than 8 seconds to read") as caught:
        read_image(content, min_side=64)
    assert time.thread_time() - started < 3
    assert caught.value.cause == "time"  # a slow disk is no fault of the file


def test_time_that_others_take_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed_reading, "SECONDS_PER_FILE", 0.05)
    with timed_reading.open_timed(b"12") as file:
        time.sleep(0.2)  # as of a process that is stopped, or of a thread that has to wait
        assert file.read(1) == b"1"
        while time.thread_time() < file.until:
            pass
        with pytest.raises(timed_reading.OutOfTimeError):
            file.read(1)


@pytest.mark.parametrize("file_format", ["WEBP", "AVIF", "JPEG2000"])
def test_what_nothing_can_interrupt_is_refused_when_it_is_too_much(
    four_corners: Image.Image, encoded: Encode, file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded(four_corners, file_format)
    assert read_image(content)
    monkeypatch.setitem(UNINTERRUPTED, file_format, (0.0, 1e6))
    with pytest.raises(UnreadableImage, match=f"of {file_format} take too long to decode"):
        read_image(content)


def test_no_side_is_longer_than_a_row_can_be() -> None:
    with pytest.raises(UnreadableImage, match=r"longer than 200,000 on one side"):
        read_image(png_file((200_001, 1), 8, 2, b""))


@pytest.mark.parametrize(
    ("min_side", "shortest"), [(None, 512), (300, 512), (256, 256), (100, 128), (64, 64), (20, 32), (5, 16)]
)
def test_jpeg_2000_is_halved_as_often_as_it_may_be(encoded: Encode, min_side: int | None, shortest: int) -> None:
    """The file is made for five halvings; 5 pixels would need six."""
    ramp = np.linspace(0, 255, 512 * 640).reshape(512, 640).astype(np.uint8)
    content = encoded(Image.fromarray(ramp).convert("RGB"), "JPEG2000", num_resolutions=6)
    image, metadata = read_image(content, min_side=min_side)
    assert min(image.size) == shortest
    assert (metadata.width, metadata.height) == (640, 512)
    whole = np.asarray(Image.fromarray(ramp).resize(image.size, Image.Resampling.BOX), float)
    assert np.abs(np.asarray(image.convert("L"), float) - whole).mean() < 8  # a wavelet lies half a pixel off


def test_jpeg_2000_made_for_no_halving_is_read_whole(encoded: Encode, four_corners: Image.Image) -> None:
    for no_box in (False, True):
        content = encoded(four_corners.resize((480, 320)), "JPEG2000", num_resolutions=1, no_jp2=no_box)
        assert read_image(content, min_side=32)[0].size == (480, 320)


def test_very_large_images_are_averaged_down_and_look_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cocasearch.images.decode_scale._VERY_LARGE", 100_000)
    image = Image.linear_gradient("L").resize((400, 400)).convert("RGBA")
    image.putalpha(Image.radial_gradient("L").resize((400, 400)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    small, metadata = read_image(buffer.getvalue(), min_side=64)
    whole, _ = read_image(buffer.getvalue())
    assert (metadata.width, metadata.height) == whole.size == (400, 400)
    assert min(small.size) >= 2 * 64
    difference = np.asarray(small, float) - np.asarray(whole.resize(small.size, Image.Resampling.BOX), float)
    assert np.abs(difference).mean() < 1
