"""Cameras' RAW files, by the extra `raw`."""

import builtins
from pathlib import Path

import numpy as np
import pytest
from images.tiny_tiff import cfa_dng
from images.zoo import encoded
from PIL import Image

from cocasearch.errors import UnreadableImage
from cocasearch.images.decoding import read_image

LEFT, RIGHT = (200, 40, 30), (30, 40, 200)


@pytest.fixture
def shot() -> Image.Image:
    """640 x 480, red on the left and blue on the right."""
    image = Image.new("RGB", (640, 480), LEFT)
    image.paste(RIGHT, (320, 0, 640, 480))
    return image


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shot.dng"


def without(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a module be missing."""
    real_import = builtins.__import__

    def missing(name: str, *args: object, **options: object) -> object:
        if name == module:
            raise ImportError(name)
        return real_import(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", missing)


def test_a_missing_extra_is_named_as_it_is_installed(
    file: Path, shot: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    without("rawpy", monkeypatch)
    file.write_bytes(cfa_dng(shot))
    with pytest.raises(UnreadableImage, match=r"RAW needs: pip install 'cocasearch\[raw\]'") as caught:
        read_image(file)
    assert (caught.value.cause, caught.value.extra) == ("extra", "raw")


@pytest.mark.parametrize(
    "head", [b"II*\0\x10\0\0\0CR\x02\0", b"\0\0\0\x18ftypcrx ", b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0\0\0", b"FOVb"]
)
def test_makers_own_kinds_are_known_by_their_content(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    without("rawpy", monkeypatch)
    with pytest.raises(UnreadableImage, match="RAW needs"):
        read_image(head + bytes(200))


def test_an_image_named_like_a_raw_is_an_image(file: Path, shot: Image.Image) -> None:
    shot.save(file, "JPEG")
    assert read_image(file)[1].format == "JPEG"


def is_red(image: Image.Image, x: float, y: float) -> bool:
    red, _, blue = image.getpixel((int(x * (image.width - 1)), int(y * (image.height - 1))))
    return red > 2 * blue


def test_without_a_preview_the_sensor_is_developed(file: Path, shot: Image.Image) -> None:
    pytest.importorskip("rawpy", reason="the extra 'raw' is not installed")
    file.write_bytes(cfa_dng(shot))
    whole, metadata = read_image(file)
    half, _ = read_image(file, min_side=200)
    assert whole.size == (metadata.width, metadata.height) == (640, 480)
    assert half.size == (320, 240)
    assert metadata.format == "DNG"
    assert metadata.camera == "Drawn Test Camera"
    assert str(metadata.taken_at) == "2021-05-06 07:08:09"
    for image in (whole, half):
        assert is_red(image, 0.1, 0.5)
        assert not is_red(image, 0.9, 0.5)


@pytest.mark.parametrize(("min_side", "size"), [(200, (300, 200)), (201, (320, 240)), (None, (640, 480))])
def test_the_preview_is_taken_where_it_is_large_enough(
    file: Path, shot: Image.Image, min_side: int | None, size: tuple[int, int]
) -> None:
    pytest.importorskip("rawpy", reason="the extra 'raw' is not installed")
    preview = Image.new("RGB", (300, 200), "gold")  # told apart by its shape
    file.write_bytes(cfa_dng(shot, preview=encoded(preview, "JPEG")))
    image, metadata = read_image(file, min_side=min_side and round(min_side / 0.9))
    assert (metadata.width, metadata.height) == (640, 480)
    assert image.size == size


@pytest.mark.parametrize("with_preview", [False, True])
@pytest.mark.parametrize(
    ("orientation", "red_at"), [(1, (0.1, 0.5)), (3, (0.9, 0.5)), (6, (0.5, 0.1)), (8, (0.5, 0.9))]
)
def test_what_lies_on_its_side_is_turned(
    file: Path, shot: Image.Image, orientation: int, red_at: tuple[float, float], with_preview: bool
) -> None:
    pytest.importorskip("rawpy", reason="the extra 'raw' is not installed")
    file.write_bytes(cfa_dng(shot, orientation=orientation, preview=encoded(shot, "JPEG") if with_preview else b""))
    image, metadata = read_image(file, min_side=200)
    assert (image.width < image.height) == (metadata.width < metadata.height) == (orientation in (6, 8))
    assert is_red(image, *red_at)
    assert not is_red(image, 1 - red_at[0], 1 - red_at[1])


def test_damaged_and_too_large_ones_are_refused(file: Path, shot: Image.Image) -> None:
    pytest.importorskip("rawpy", reason="the extra 'raw' is not installed")
    content = cfa_dng(shot)
    file.write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"640 x 480 pixels are more than 0\.3 megapixels"):
        read_image(file, max_megapixels=0.3)
    noise = np.random.default_rng(0).bytes(500)
    for broken in (content[:400], b"II*\0" + noise, content[: len(content) // 2]):
        file.write_bytes(broken)
        with pytest.raises(UnreadableImage):
            read_image(file)
