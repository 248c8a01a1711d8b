"""Draws a folder of odd and broken image files: `cd tests; python -m images.zoo FOLDER`.

Each good file shows an image of its own, told apart from all others by its colours, so that it must find itself; each
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
from images.icc_profiles import ADOBE_RGB, GRAY_GAMMA_1, INKS, SRGB
from images.tiny_tiff import cfa_dng, exif_block, plain_tiff
from PIL import ExifTags, Image, ImageDraw

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
    """An image that differs from that of any other number in colours and shapes."""
    dice = random.Random(number)

    def color() -> tuple[int, int, int]:
        return dice.randrange(256), dice.randrange(256), dice.randrange(256)

    image = Image.new("RGB", (WIDTH, HEIGHT), color())
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        left, top = dice.randrange(WIDTH - 16), dice.randrange(HEIGHT - 16)
        box = (left, top, left + dice.randrange(12, 50), top + dice.randrange(12, 40))
        dice.choice((pen.rectangle, pen.ellipse))(box, fill=color())
    return image


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    """The bytes of a file with this image."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def with_exif(orientation: object) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def png(image: Image.Image, *, depth: int = 8, interlaced: bool = False, chunks: bytes = b"") -> bytes:
    """A PNG such as PIL does not write: of 16 bits per channel, or interlaced (Adam7)."""
    pixels = np.asarray(image)
    if depth == 16:
        pixels = (pixels.astype(">u2") * 257).astype(">u2")
    passes = [(0, 0, 1, 1)]
    if interlaced:  # first row and column, steps down and across
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(
        b"\0" + row.tobytes() for top, left, down, across in passes for row in pixels[top::down, left::across]
    )
    kind = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}[image.mode]
    return png_file(image.size, depth, kind, zlib.compress(rows), interlaced=interlaced, chunks=chunks)


def png_file(
    size: tuple[int, int], depth: int, kind: int, content: bytes, *, interlaced: bool = False, chunks: bytes = b""
) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + chunks + png_chunk(b"IDAT", content) + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def without_adobe_marker(jpeg: bytes) -> bytes:
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4]) :]


def rle_bmp(image: Image.Image) -> bytes:
    """A BMP of 256 colours whose rows are run-length encoded, one run per pixel."""
    indexed = image.convert("RGB").quantize(256)
    rows = np.asarray(indexed)[::-1]
    data = b"".join(b"".join(bytes([1, index]) for index in row) + b"\0\0" for row in rows) + b"\0\1"
    palette = (indexed.getpalette("RGB") or [])[: 3 * 256]
    palette += [0] * (768 - len(palette))
    colors = b"".join(bytes([*palette[at : at + 3][::-1], 0]) for at in range(0, 768, 3))
    info = struct.pack("<IiiHHIIiiII", 40, *image.size, 1, 8, 1, len(data), 2835, 2835, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(data), 0, 0, 54 + 1024) + info + colors + data


def deep_gray(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def see_through(image: Image.Image) -> Image.Image:
    """The image with a clear hole in it."""
    clear = image.convert("RGBA")
    clear.paste((0, 0, 0, 0), (8, 8, 40, 40))
    return clear


Draw = Callable[[Image.Image], bytes]


def as_file(file_format: str, mode: str = "RGB", **options: object) -> Draw:
    return lambda image: encoded(image.convert(mode), file_format, **options)


def turned(orientation: int, file_format: str = "JPEG") -> Draw:
    """The image as a camera stores it that was held another way."""
    turns = Image.Transpose
    turn = (None, None, turns.FLIP_LEFT_RIGHT, turns.ROTATE_180, turns.FLIP_TOP_BOTTOM)
    turn += (turns.TRANSPOSE, turns.ROTATE_90, turns.TRANSVERSE, turns.ROTATE_270)

    def draw(image: Image.Image) -> bytes:
        stored = image.transpose(turn[orientation]) if turn[orientation] is not None else image
        return encoded(stored, file_format, exif=with_exif(orientation))

    return draw


def frames(file_format: str, **options: object) -> Draw:
    """The image followed by others."""
    return lambda image: encoded(
        image, file_format, save_all=True, append_images=[scene(10_001), scene(10_002)], **options
    )


def heic(image: Image.Image, **options: object) -> bytes:
    """A HEIC; what its file starts with where the extra is missing."""
    try:
        import pillow_heif
    except ImportError:
        return b"\0\0\0\x18ftypheic" + bytes(100)
    pillow_heif.register_heif_opener()
    return encoded(image, "HEIF", **options)


def rgb48_tiff(image: Image.Image) -> bytes:
    pixels = (np.asarray(image).astype("<u2") * 257).astype("<u2").tobytes()
    tags = {256: (4, WIDTH), 257: (4, HEIGHT), 258: (3, (16, 16, 16)), 259: (3, 1), 262: (3, 2)}
    return plain_tiff({**tags, 277: (3, 3), 278: (4, HEIGHT), 279: (4, len(pixels))}, pixels)


def white_is_zero_tiff(image: Image.Image) -> bytes:
    pixels = (255 - np.asarray(image.convert("L"))).tobytes()
    tags = {256: (4, WIDTH), 257: (4, HEIGHT), 258: (3, 8), 259: (3, 1), 262: (3, 0)}
    return plain_tiff({**tags, 277: (3, 1), 278: (4, HEIGHT), 279: (4, len(pixels))}, pixels)


def deep_white_is_zero_tiff(image: Image.Image) -> bytes:
    pixels = (65535 - np.asarray(deep_gray(image))).astype("<u2").tobytes()
    tags = {256: (4, WIDTH), 257: (4, HEIGHT), 258: (3, 16), 259: (3, 1), 262: (3, 0)}
    return plain_tiff({**tags, 277: (3, 1), 278: (4, HEIGHT), 279: (4, len(pixels))}, pixels)


def gray12_tiff(image: Image.Image) -> bytes:
    """Two pixels in three bytes."""
    levels = np.asarray(deep_gray(image)).reshape(-1, 2) >> 4
    left, right = levels[:, 0], levels[:, 1]
    pixels = np.stack([left >> 4, (left & 15) << 4 | right >> 8, right & 255], 1).astype(np.uint8).tobytes()
    tags = {256: (4, WIDTH), 257: (4, HEIGHT), 258: (3, 12), 259: (3, 1), 262: (3, 1)}
    return plain_tiff({**tags, 277: (3, 1), 278: (4, HEIGHT), 279: (4, len(pixels))}, pixels)


def deep_gray_png_with_clear_level(image: Image.Image) -> bytes:
    """The image with a clear hole in it."""
    gray = image.convert("L").point(lambda level: max(level, 1))
    gray.paste(0, (8, 8, 40, 40))
    return png(gray, depth=16, chunks=png_chunk(b"tRNS", b"\0\0"))


def plain_ppm(image: Image.Image) -> bytes:
    numbers = " ".join(map(str, np.asarray(image).ravel().tolist()))
    return f"P3\n# drawn\n{WIDTH} {HEIGHT}\n255\n{numbers}\n".encode()


def float_gray(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.float32) / 51 - 2)


GOOD: dict[str, Draw] = {
    "jpeg/baseline.jpg": as_file("JPEG", quality=95),
    "jpeg/progressive.jpeg": as_file("JPEG", quality=95, progressive=True),
    "jpeg/full-colour.jpg": as_file("JPEG", quality=95, subsampling=0),
    "jpeg/rgb.jpg": as_file("JPEG", quality=95, keep_rgb=True),
    "jpeg/gray.jpg": as_file("JPEG", "L"),
    "jpeg/inks-adobe.jpg": as_file("JPEG", "CMYK", quality=95),
    "jpeg/restarts.jpg": as_file("JPEG", restart_marker_blocks=2),
    "jpeg/srgb-profile.jpg": as_file("JPEG", icc_profile=SRGB),
    "jpeg/adobe-rgb.jpg": as_file("JPEG", icc_profile=ADOBE_RGB),
    "jpeg/linear-gray.jpg": as_file("JPEG", "L", icc_profile=GRAY_GAMMA_1),
    "jpeg/press-profile.jpg": as_file("JPEG", "CMYK", icc_profile=INKS),
    "jpeg/broken-profile.jpg": as_file("JPEG", icc_profile=ADOBE_RGB[:200]),
    "jpeg/profile-of-other-pixels.jpg": as_file("JPEG", icc_profile=INKS),
    "jpeg/inks-plain.jpg": lambda image: without_adobe_marker(
        encoded(Image.fromarray(255 - np.asarray(image.convert("CMYK")), "CMYK"), "JPEG", quality=95)
    ),
    "jpeg/junk-behind.jpg": lambda image: encoded(image, "JPEG") + bytes(range(256)) * 40,
    "jpeg/broken-exif.jpg": as_file("JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff\xff\xff"),
    "jpeg/stereo.mpo": frames("MPO"),
    "jpeg/half-a-stereo.jpg": lambda image: frames("MPO")(image)[:-900],
    **{f"jpeg/turned-{number}.jpg": turned(number) for number in range(1, 9)},
    "jpeg/turned-0.jpg": lambda image: encoded(image, "JPEG", exif=with_exif(0)),
    "jpeg/turned-9.jpg": lambda image: encoded(image, "JPEG", exif=with_exif(9)),
    "jpeg/turned-six.jpg": lambda image: encoded(image, "JPEG", exif=exif_block({274: (2, b"six\0")})),
    "png/rgb.png": as_file("PNG"),
    "png/gray.png": as_file("PNG", "L"),
    "png/black-and-white.png": as_file("PNG", "1"),
    "png/palette.png": as_file("PNG", "P"),
    "png/gray-alpha.png": lambda image: encoded(see_through(image).convert("LA"), "PNG"),
    "png/alpha.png": lambda image: encoded(see_through(image), "PNG"),
    "png/palette-alpha.png": lambda image: encoded(see_through(image).quantize(200), "PNG"),
    "png/palette-of-16.png": lambda image: encoded(image.quantize(16), "PNG", bits=4),
    "png/deep-gray.png": lambda image: encoded(deep_gray(image), "PNG"),
    "png/deep.png": lambda image: png(image, depth=16),
    "png/deep-alpha.png": lambda image: png(see_through(image), depth=16),
    "png/deep-gray-clear-level.png": deep_gray_png_with_clear_level,
    "png/deep-gray-alpha.png": lambda image: png(see_through(image).convert("LA"), depth=16),
    "png/interlaced.png": lambda image: png(image, interlaced=True),
    "png/deep-interlaced.png": lambda image: png(image, depth=16, interlaced=True),
    "png/colour-key.png": lambda image: png(image, chunks=png_chunk(b"tRNS", bytes(6))),
    "png/adobe-rgb.png": as_file("PNG", icc_profile=ADOBE_RGB),
    "png/turned.png": turned(6, "PNG"),
    "png/animated.png": frames("PNG"),
    "png/animated-behind-another.apng": frames("PNG", default_image=True),
    "webp/lossy.webp": as_file("WEBP", quality=95),
    "webp/lossless.webp": as_file("WEBP", lossless=True),
    "webp/alpha.webp": lambda image: encoded(see_through(image), "WEBP", quality=95),
    "webp/animated.webp": frames("WEBP"),
    "webp/turned.webp": turned(8, "WEBP"),
    "gif/plain.gif": as_file("GIF"),
    "gif/black-and-white.gif": as_file("GIF", "1"),
    "gif/hole.gif": lambda image: encoded(see_through(image), "GIF"),
    "gif/animated.gif": frames("GIF"),
    "tiff/plain.tif": as_file("TIFF"),
    "tiff/lzw.tiff": as_file("TIFF", compression="tiff_lzw"),
    "tiff/deflate.tif": as_file("TIFF", compression="tiff_adobe_deflate"),
    "tiff/packbits.tif": as_file("TIFF", compression="packbits"),
    "tiff/jpeg.tif": as_file("TIFF", compression="jpeg"),
    "tiff/fax.tif": as_file("TIFF", "1", compression="group4"),
    "tiff/big.tif": as_file("TIFF", big_tiff=True),
    "tiff/inks.tif": as_file("TIFF", "CMYK"),
    "tiff/press-profile.tif": as_file("TIFF", "CMYK", icc_profile=INKS),
    "tiff/alpha.tif": lambda image: encoded(see_through(image), "TIFF"),
    "tiff/palette.tif": as_file("TIFF", "P"),
    "tiff/deep-gray.tif": lambda image: encoded(deep_gray(image), "TIFF"),
    "tiff/deep.tif": rgb48_tiff,
    "tiff/float.tif": lambda image: encoded(float_gray(image), "TIFF"),
    "tiff/white-is-zero.tif": white_is_zero_tiff,
    "tiff/deep-white-is-zero.tif": deep_white_is_zero_tiff,
    "tiff/gray-of-12-bits.tif": gray12_tiff,
    "tiff/pages.tif": frames("TIFF"),
    "tiff/turned.tif": turned(6, "TIFF"),
    "bmp/plain.bmp": as_file("BMP"),
    "bmp/palette.bmp": as_file("BMP", "P"),
    "bmp/black-and-white.bmp": as_file("BMP", "1"),
    "bmp/runs.bmp": rle_bmp,
    "ppm/colour.ppm": as_file("PPM"),
    "ppm/gray.pgm": as_file("PPM", "L"),
    "ppm/black-and-white.pbm": as_file("PPM", "1"),
    "ppm/plain.pnm": plain_ppm,
    "ppm/deep.pgm": lambda image: encoded(deep_gray(image), "PPM"),
    "ppm/float.pfm": lambda image: encoded(float_gray(image), "PPM"),
    "jp2/colour.jp2": as_file("JPEG2000"),
    "jp2/gray.jp2": as_file("JPEG2000", "L"),
    "jp2/alpha.jp2": lambda image: encoded(see_through(image), "JPEG2000"),
    "jp2/deep-gray.jp2": lambda image: encoded(deep_gray(image), "JPEG2000"),
    "jp2/bare.j2k": as_file("JPEG2000", no_jp2=True),
    "jp2/tiles.jp2": as_file("JPEG2000", tile_size=(32, 32)),
    "avif/colour.avif": as_file("AVIF", quality=95),
    "avif/alpha.avif": lambda image: encoded(see_through(image), "AVIF", quality=95),
    "avif/turned.avif": turned(6, "AVIF"),
    "heic/colour.heic": heic,
    "heic/turned-by-its-box-alone.heic": lambda image: heic(image, exif=with_exif(6)),
    "raw/developed.dng": cfa_dng,
    "raw/preview.dng": lambda image: cfa_dng(image, preview=encoded(image, "JPEG", quality=95)),
    "raw/turned.dng": lambda image: cfa_dng(image.transpose(Image.Transpose.ROTATE_90), orientation=6),
    "names/CAPITALS.JPG": as_file("JPEG"),
    "names/a png named otherwise.jpg": as_file("PNG"),
    "names/Grüße aus 東京 🗼.jpg": as_file("JPEG"),
    "names/-rf.jpg": as_file("JPEG"),
    "names/two\nlines.png": as_file("PNG"),
    f"names/{'very-' * 48}long.png": as_file("PNG"),
}


def bad_files() -> dict[str, tuple[bytes, str]]:
    """Content and a part of the reason of the files that hold no image, or not all of one."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8))
    kinds = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "tif": "TIFF", "bmp": "BMP", "ppm": "PPM"}
    kinds |= {"jp2": "JPEG2000", "avif": "AVIF"}
    halves = {suffix: encoded(noise, kind) for suffix, kind in kinds.items()}
    reasons = dict.fromkeys(halves, "truncated") | {"webp": "damaged", "avif": "damaged", "jp2": "damaged"}
    whole_png, whole_jpeg = halves["png"], halves["jpg"]
    gif_header = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)
    gif_frame = b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x08\x01\0\0;"
    return {
        **{f"half.{suffix}": (content[: len(content) // 2], reasons[suffix]) for suffix, content in halves.items()},
        "half-progressive.jpg": (encoded(noise, "JPEG", progressive=True)[:3000], "truncated"),
        "half-lzw.tif": (encoded(noise, "TIFF", compression="tiff_lzw")[:5000], "damaged"),
        "empty.jpg": (b"", "empty file"),
        "zeros.jpg": (bytes(5000), "not an image"),
        "noise.png": (random.Random(1).randbytes(5000), "not an image"),
        "words.jpg": (b"just words, no picture", "not an image"),
        "document.jpg": (b"%PDF-1.7\n", "PDF"),
        "photoshop.jpg": (b"8BPS\0\1" + bytes(100), "Photoshop"),
        "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        "page.gif": (b"<!DOCTYPE html><html></html>", "web page"),
        "archive.png": (b"PK\x03\x04" + bytes(60), "ZIP"),
        "video.heic": (b"\0\0\0\x18ftypisom" + bytes(60), "video"),
        "video.avif": (b"\0\0\0\x18ftypmp42" + bytes(60), "video"),
        "start-only.jpg": (whole_jpeg[:3], "JPEG"),
        "header-only.jpg": (whole_jpeg[:200], "truncated"),
        "scanless.jpg": (whole_jpeg[: whole_jpeg.index(b"\xff\xda")] + b"\xff\xd9", "damaged"),
        "signature-only.png": (whole_png[:8], "PNG"),
        "wrong-sum.png": (whole_png[:20] + b"\1" + whole_png[21:], "PNG"),
        "no-pixels.png": (png_file((0, 0), 8, 2, b""), "PNG"),
        "broken-stream.png": (png_file((96, 64), 8, 2, b"no zlib"), "damaged"),
        "too-few-rows.png": (png_file((96, 64), 8, 2, zlib.compress(bytes(999))), "truncated"),
        "too-large.png": (png_file((17_000, 17_000), 8, 2, zlib.compress(bytes(999))), "more than 256 megapixels"),
        "bomb.png": (png_file((60_000, 60_000), 8, 2, zlib.compress(bytes(999))), "megapixels"),
        "bomb.gif": (gif_header + gif_frame, "megapixels"),
        "bomb.ppm": (b"P6 99999 99999 255\n" + bytes(99), "megapixels"),
        "frameless.gif": (b"GIF89a" + struct.pack("<HHBBB", 9, 9, 0, 0, 0) + b";", "GIF"),
        "nowhere.tif": (b"II*\0\xff\xff\xff\0", "TIFF"),
        "chunkless.webp": (b"RIFF\x04\0\0\0WEBP", "WebP"),
    }


def specimens() -> Iterator[Specimen]:
    """Every file of the zoo."""
    for number, (name, draw) in enumerate(GOOD.items()):
        folder = name.partition("/")[0]
        extra = {"heic": "heif", "raw": "raw"}.get(folder, "")
        yield Specimen(name, draw(scene(number)), extra=extra)
    for name, (content, reason) in bad_files().items():
        yield Specimen(f"bad/{name}", content, reason)


def build(folder: Path) -> list[Specimen]:
    """Write the zoo into a folder."""
    made = list(specimens())
    for specimen in made:
        file = folder / specimen.name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(specimen.content)
    return made


if __name__ == "__main__":
    build(Path(sys.argv[1]))
