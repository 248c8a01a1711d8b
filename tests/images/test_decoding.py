import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from images import zoo
from PIL import ExifTags, Image, PngImagePlugin

from cocasearch.errors import UnreadableImage
from cocasearch.images import decoding, formats
from cocasearch.images.decode_limits import MAX_TEXT_CHUNK
from cocasearch.images.decoding import read_image

Encode = Callable[..., bytes]

TURNED = {  # EXIF orientation -> what the camera did to the upright image
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def assert_same_image(image: Image.Image, expected: Image.Image, *, tolerance: float = 12.0) -> None:
    assert image.mode == "RGB"
    assert image.size == expected.size
    difference = np.abs(np.asarray(image, dtype=float) - np.asarray(expected, dtype=float))
    assert difference.mean() < tolerance


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", TURNED)
def test_every_orientation_becomes_upright(
    four_corners: Image.Image, encoded: Encode, orientation: int, file_format: str
) -> None:
    turn = TURNED[orientation]
    stored = four_corners if turn is None else four_corners.transpose(turn)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image, metadata = read_image(encoded(stored, file_format, exif=exif))
    assert_same_image(image, four_corners)
    assert (metadata.width, metadata.height, metadata.format) == (96, 64, file_format)


def test_a_rotated_jpeg_is_upright_at_reduced_scale_too(four_corners: Image.Image, encoded: Encode) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = four_corners.resize((960, 640)).transpose(Image.Transpose.ROTATE_90)
    image, metadata = read_image(encoded(stored, "JPEG", exif=exif), min_side=64)
    assert (metadata.width, metadata.height) == (960, 640)
    assert_same_image(image, four_corners.resize(image.size))


@pytest.mark.parametrize(
    ("min_side", "shortest"), [(None, 640), (641, 640), (321, 640), (320, 320), (100, 160), (1, 80)]
)
def test_reduced_scale_never_goes_below_min_side(
    four_corners: Image.Image, encoded: Encode, min_side: int | None, shortest: int
) -> None:
    content = encoded(four_corners.resize((960, 640)), "JPEG")
    image, _ = read_image(content, min_side=min_side)
    assert min(image.size) == shortest


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1", "I;16"])
def test_every_png_mode_keeps_its_brightness(four_corners: Image.Image, encoded: Encode, mode: str) -> None:
    if mode == "I;16":
        deep = np.asarray(four_corners.convert("L")).astype(np.uint16) * 257
        stored, expected = Image.fromarray(deep), four_corners.convert("L")
    else:
        stored = expected = four_corners.convert(mode)
    image, metadata = read_image(encoded(stored, "PNG"))
    assert_same_image(image, expected.convert("RGB"), tolerance=1.0)
    assert metadata.format == "PNG"


@pytest.mark.parametrize(
    "name",
    [
        "png/deep.png",
        "png/deep-gray-clear-level.png",
        "tiff/deep-gray.tif",
        "tiff/deep-white-is-zero.tif",
        "tiff/gray-of-12-bits.tif",
        "tiff/white-is-zero.tif",
    ],
)
def test_deep_levels_are_as_light_as_they_were_drawn(name: str) -> None:
    scene = zoo.scene(7)
    expected = np.asarray(scene if name == "png/deep.png" else scene.convert("L").convert("RGB")).astype(int)
    if "clear" in name:
        expected = expected.copy()
        expected[8:40, 8:40] = 255  # white shows through the hole
    image, _ = read_image(zoo.GOOD[name](scene))
    assert np.abs(np.asarray(image) - expected).max() <= 2


@pytest.mark.parametrize("mode", ["CMYK", "L", "YCbCr"])
def test_every_jpeg_mode_keeps_its_colors(four_corners: Image.Image, encoded: Encode, mode: str) -> None:
    stored = four_corners.convert(mode)
    image, _ = read_image(encoded(stored, "JPEG", quality=95), min_side=32)
    assert_same_image(image, stored.convert("RGB").resize(image.size))


def test_float_tiff_is_stretched_to_what_can_be_seen(encoded: Encode) -> None:
    ramp = np.linspace(-3.0, 5.0, 64, dtype=np.float32).reshape(8, 8)
    image, _ = read_image(encoded(Image.fromarray(ramp), "TIFF"))
    assert image.getpixel((0, 0)) == (0, 0, 0)
    assert image.getpixel((7, 7)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_lies_over_white(encoded: Encode, mode: str) -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), (0, 0, 4, 8))
    stored = clear.convert("P" if mode == "PA" else mode)
    image, _ = read_image(encoded(stored, "PNG"))
    assert image.getpixel((1, 1)) == (0, 0, 0)
    assert image.getpixel((6, 1)) == (255, 255, 255)


def test_a_palette_with_a_transparent_color_lies_over_white(encoded: Encode) -> None:
    stored = Image.new("P", (8, 8), 1)
    stored.putpalette([255, 0, 0, 0, 0, 255])
    stored.paste(0, (0, 0, 4, 8))
    image, _ = read_image(encoded(stored, "GIF", transparency=1))
    assert image.getpixel((0, 0)) == (255, 0, 0)
    assert image.getpixel((7, 7)) == (255, 255, 255)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_the_first_frame_counts(four_corners: Image.Image, encoded: Encode, file_format: str) -> None:
    black = Image.new("RGB", four_corners.size)
    image, metadata = read_image(encoded(four_corners, file_format, save_all=True, append_images=[black]))
    assert_same_image(image, four_corners)
    assert metadata.format == file_format


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"just words, no picture", "not an image"),
        (b"%PDF-1.7", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\0\0\0\x18ftypisom" + bytes(40), "video"),
        (png_claiming(17_000, 17_000), "256 megapixels"),
        (png_claiming(60_000, 60_000), "1024 megapixels"),
    ],
    ids=["empty", "text", "pdf", "postscript", "svg", "video", "too-large", "bomb"],
)
def test_what_is_no_image_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "named-like-one.jpg"
    file.write_bytes(content)
    for source in (file, content):
        with pytest.raises(UnreadableImage, match=reason):
            read_image(source)
    with pytest.raises(UnreadableImage, match=r"named-like-one\.jpg"):
        read_image(file)


@pytest.mark.parametrize("count", [1, 35])
def test_a_png_may_hold_much_text(four_corners: Image.Image, encoded: Encode, count: int) -> None:
    text = PngImagePlugin.PngInfo()
    for number in range(count):
        text.add_text(f"workflow {number}", "a" * 2_000_000, zip=True)
    text.add_itxt("XML:com.adobe.xmp", "b" * 2_000_000, zip=True)
    image, _ = read_image(encoded(four_corners, "PNG", pnginfo=text))
    assert_same_image(image, four_corners)


@pytest.mark.parametrize("sizes", [[MAX_TEXT_CHUNK + 1], [MAX_TEXT_CHUNK] * 4 + [1]])
def test_a_png_of_endless_text_is_refused_and_not_called_damaged(
    four_corners: Image.Image, encoded: Encode, sizes: list[int]
) -> None:
    text = PngImagePlugin.PngInfo()
    for number, size in enumerate(sizes):
        text.add_text(f"bomb {number}", "a" * size, zip=True)
    with pytest.raises(UnreadableImage, match="has text of more than 64 MB, or 256 MB in all, which is too much"):
        read_image(encoded(four_corners, "PNG", pnginfo=text))


def test_a_limit_of_ones_own_is_kept(four_corners: Image.Image, encoded: Encode) -> None:
    with pytest.raises(UnreadableImage, match=r"96 x 64 pixels are more than 0\.005 megapixels"):
        read_image(encoded(four_corners, "PNG"), max_megapixels=0.005)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_truncated_files_are_refused(encoded: Encode, file_format: str, kept: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8))
    content = encoded(noise, file_format)
    with pytest.raises(UnreadableImage):
        read_image(content[: int(len(content) * kept)])


def test_a_truncated_jpeg_says_so_at_every_scale(encoded: Encode, four_corners: Image.Image) -> None:
    content = encoded(four_corners.resize((960, 640)), "JPEG", progressive=True)
    for min_side in (None, 64):
        with pytest.raises(UnreadableImage, match="truncated"):
            read_image(content[: len(content) // 2], min_side=min_side)


def test_missing_files_and_folders_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="no such file"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(UnreadableImage, match="directory"):
        read_image(tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_damage_anywhere_never_raises_anything_else(
    four_corners: Image.Image, encoded: Encode, file_format: str
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "Kodak"
    content = encoded(four_corners, file_format, exif=exif)
    dice = random.Random(5)
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(4):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        try:
            image, _ = read_image(bytes(damaged), min_side=16, max_megapixels=1)
        except UnreadableImage as error:
            assert error.reason
        else:
            assert image.mode == "RGB"


@pytest.mark.parametrize(
    ("content", "cause"),
    [(b"words", "file"), (b"", "file"), (b"\0\0\0\x18ftypmif1" + bytes(99), "extra"), (None, "system")],
)
def test_a_refusal_tells_whether_it_lies_in_the_file(
    tmp_path: Path, content: bytes | None, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_formats", lambda: ("JPEG",))  # whether or not the extra is installed
    monkeypatch.setattr(formats, "find_spec", lambda _package: None)
    file = tmp_path / "a.heif"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UnreadableImage) as caught:
        read_image(file)
    assert caught.value.cause == cause
    if content and b"ftyp" in content:
        assert caught.value.reason == "HEIF needs: pip install 'cocasearch[heif]'"
