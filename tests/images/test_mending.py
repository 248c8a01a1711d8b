"""An image whose every pixel is there is read, whatever is wrong around it; one that lacks any stays refused."""

import struct
from collections.abc import Callable

import numpy as np
import pytest
from images import zoo
from images.zoo import png_chunk
from PIL import Image

from cocasearch.errors import UnreadableImage
from cocasearch.images.decoding import read_image

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

SCENE = zoo.scene(3)
JPEGS = {
    "baseline": zoo.encoded(SCENE, "JPEG", quality=90),
    "progressive": zoo.encoded(SCENE, "JPEG", quality=90, progressive=True),
    "gray": zoo.encoded(SCENE.convert("L"), "JPEG"),
    "restarts": zoo.encoded(SCENE, "JPEG", restart_marker_blocks=2),
    "inks": zoo.encoded(SCENE.convert("CMYK"), "JPEG"),
}
JPEG = zoo.encoded(SCENE.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=zoo.with_exif(6))
PNG = zoo.encoded(SCENE, "PNG")
PNG_END = PNG.rindex(b"IEND") - 4
WEBP = zoo.encoded(SCENE.transpose(Image.Transpose.ROTATE_90), "WEBP", lossless=True, exif=zoo.with_exif(6))


def in_jpeg(marker: int, content: bytes, length: int | None = None) -> bytes:
    segment = struct.pack(">BBH", 0xFF, marker, len(content) + 2 if length is None else length) + content
    return JPEG[:2] + segment + JPEG[2:]


def in_png(*chunks: bytes, at: int = 33) -> bytes:
    return PNG[:at] + b"".join(chunks) + PNG[at:]


def wrong(kind: bytes, content: bytes) -> bytes:
    chunk = png_chunk(kind, content)
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


AROUND = {
    "jpeg: unknown marker": in_jpeg(0x02, b"abc"),
    "jpeg: short JFIF": in_jpeg(0xE0, b"JFIF"),
    "jpeg: short Adobe": in_jpeg(0xEE, b"Adobe"),
    "jpeg: short profile": in_jpeg(0xE2, b"ICC_PROFILE\0"),
    "jpeg: note that is too long": in_jpeg(0xE5, b"abc", 40_000),
    "jpeg: comment that is too long": in_jpeg(0xFE, b"abc", 60_000),
    "jpeg: unknown marker, no end": in_jpeg(0x4F, b"abc")[:-2],
    "png: checksum of a text": in_png(wrong(b"tEXt", b"a\0b")),
    "png: checksum of an unknown chunk": in_png(wrong(b"ruSt", b"abc")),
    "png: checksum of a profile": in_png(wrong(b"iCCP", b"a\0\0abc")),
    "png: text of an unknown kind": in_png(png_chunk(b"zTXt", b"a\0\7z")),
    "png: profile of an unknown kind": in_png(png_chunk(b"iCCP", b"a\0\7z")),
    "png: chunks too short": in_png(*(png_chunk(kind, b"") for kind in (b"gAMA", b"cHRM", b"pHYs", b"sRGB", b"acTL"))),
    "png: chunk without a name": in_png(png_chunk(b"t\0Xt", b"abc")),
    "png: text longer than the file": in_png(struct.pack(">I", 99_999_999) + b"tEXtabc"),
    "png: text longer than the file, at the end": in_png(struct.pack(">I", 99_999_999) + b"tEXtabc", at=PNG_END),
    "png: profile of an unknown kind at the end": in_png(png_chunk(b"iCCP", b"a\0\7z"), at=PNG_END),
    "webp: size of nothing": WEBP[:4] + bytes(4) + WEBP[8:],
    "webp: size beyond the end": WEBP[:4] + b"\xff\xff\xff\x0f" + WEBP[8:],
    "webp: cut behind the pixels": WEBP[:4] + struct.pack("<I", len(WEBP) + 4) + WEBP[8:] + b"XMP \xff\0\0\0",
}


@pytest.mark.parametrize("content", AROUND.values(), ids=AROUND)
def test_what_is_wrong_around_the_pixels_costs_none(content: bytes) -> None:
    image, metadata = read_image(content)
    assert metadata.remark
    assert image.size == SCENE.size
    assert np.abs(np.asarray(image, float) - np.asarray(SCENE, float)).mean() < 8


def test_an_image_with_nothing_wrong_has_no_remark() -> None:
    assert [read_image(content)[1].remark for content in (*JPEGS.values(), PNG, WEBP)] == [""] * (len(JPEGS) + 2)


@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_lacks_only_its_end_is_read(kind: str, cut: int) -> None:
    for min_side in (None, 16):
        image, metadata = read_image(JPEGS[kind][:-cut], min_side=min_side)
        assert image.tobytes() == read_image(JPEGS[kind], min_side=min_side)[0].tobytes()
        assert metadata.remark == "truncated"


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_lacks_a_pixel_is_refused(kind: str) -> None:
    """Wherever it is cut, not one pixel differs, or it is refused; at all scales alike."""
    whole, content = read_image(JPEGS[kind])[0].tobytes(), JPEGS[kind]
    refused = 0
    for length in range(len(content) // 2, len(content) - 2, 13 if kind == "progressive" else 37):
        try:
            assert read_image(content[:length])[0].tobytes() == whole
        except UnreadableImage as error:
            refused += 1
            with pytest.raises(UnreadableImage, match=error.reason):
                read_image(content[:length], min_side=8)
    assert refused > 10


@pytest.mark.parametrize(
    "spoil",
    [
        lambda: in_png(wrong(b"tEXt", b"a\0b"))[: PNG_END - 200],
        lambda: WEBP[: len(WEBP) // 2],
        lambda: in_jpeg(0x02, b"abc")[:-400],
        lambda: JPEG[:400],
        lambda: JPEG[:2],
        lambda: PNG[:33] + b"IDAT" * 99,
    ],
)
def test_what_lacks_pixels_too_is_refused(spoil: Callable[[], bytes]) -> None:
    with pytest.raises(UnreadableImage):
        read_image(spoil())


def test_a_mended_image_keeps_its_notes() -> None:
    notes = png_chunk(b"eXIf", zoo.with_exif(6).tobytes()[6:])
    turned = zoo.encoded(SCENE.transpose(Image.Transpose.ROTATE_90), "PNG")
    content = turned[:33] + wrong(b"tEXt", b"a\0b") + notes + turned[33:]
    assert read_image(content)[0].tobytes() == SCENE.tobytes()
