"""Decoding of image files and bytes to upright RGB images and their metadata.

Every image comes out the same way: turned as its EXIF says, transparency laid over white, 8 bits per channel, the first
frame. What cannot be read is refused with a reason.
"""

import hashlib
import logging
import math
import warnings
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path

from PIL import Image, PngImagePlugin

from cocasearch.byte_range import ByteRange, ImageSource
from cocasearch.errors import UnreadableImage, first_line
from cocasearch.images.color import to_srgb
from cocasearch.images.decode_limits import MAX_MEGAPIXELS, MAX_TEXT, MAX_TEXT_CHUNK, MEGAPIXELS_OF_PIL
from cocasearch.images.decode_scale import bytes_needed, check_size, choose_divisor, choose_scale, read_in_small_pieces
from cocasearch.images.formats import FORMATS
from cocasearch.images.memory_budget import DECODING
from cocasearch.images.mending import is_mendable, mended
from cocasearch.images.metadata import ImageMetadata, read_exif, read_metadata, read_orientation
from cocasearch.images.raw import is_raw, open_raw
from cocasearch.images.refusals import may_be_around, refusal
from cocasearch.images.timed_reading import TimedFile, open_timed

# PIL refuses twice this many pixels on its own; our limit, checked before decoding, is lower.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, int(MEGAPIXELS_OF_PIL / 2 * 1e6))

# More text makes PIL refuse a PNG as damaged, and programs that make images write megabytes about how they did.
PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, MAX_TEXT_CHUNK)
PngImagePlugin.MAX_TEXT_MEMORY = max(PngImagePlugin.MAX_TEXT_MEMORY, MAX_TEXT)

# Remarks about broken EXIF blocks and the like say nothing that the result does not.
logging.getLogger("PIL").addHandler(logging.NullHandler())
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_UPRIGHT = {  # EXIF orientation -> what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(
    source: ImageSource, *, min_side: int | None = None, max_megapixels: float = MAX_MEGAPIXELS
) -> tuple[Image.Image, ImageMetadata]:
    """The image as upright RGB, and its metadata.

    Args:
        source: A file, a file's bytes, or the byte range of a file that holds one.
        min_side: Least length of the shortest side in pixels. A larger JPEG may be decoded smaller by 2, 4 or 8, which
            is much faster; None decodes it in full. The metadata give the full size either way.
        max_megapixels: Larger images are refused before they are decoded.

    Raises:
        UnreadableImage: The file is missing, empty, truncated, too large, or not an image that can be read.
    """
    whole = source.file if isinstance(source, ByteRange) else source
    try:
        whole = source.read() if isinstance(source, ByteRange) else source
        with open_timed(whole) as file:
            head = file.read(64)
            file.seek(0)
            if is_raw(whole, head):
                return _read_raw(file, whole, min_side, max_megapixels)
            try:
                return _read_image(file, min_side, max_megapixels)
            except Exception as error:  # PIL's decoders raise whatever a broken file leads them to
                repaired = _read_mended(file, min_side, max_megapixels) if may_be_around(error) else None
                if repaired is None:
                    raise
                image, metadata = repaired
                return image, replace(metadata, remark=refusal(error, whole).reason)
    except Exception as error:
        raise refusal(error, whole) from error


def make_upright(image: Image.Image) -> Image.Image:
    """An image of PIL's in memory, as `read_image` would give it from a file.

    Raises:
        UnreadableImage: Its pixels cannot be loaded.
    """
    try:
        if 0 in image.size:
            raise ValueError("it has no pixels")
        exif = read_exif(image)
        image.load()
        return _upright(image, exif, image.size, image.format or "", None)[0]
    except Exception as error:  # its file may be closed or damaged, its mode one that nothing shows
        raise UnreadableImage("in memory", first_line(error)) from error


@cache
def _formats() -> tuple[str, ...]:
    """PIL's names of the formats that can be read here, those of installed optional parts included."""
    for package, register in {one.package: one.register for one in FORMATS if one.register}.items():
        with suppress(ImportError):
            getattr(import_module(package), register)()
    Image.init()
    return tuple(dict.fromkeys(one.name for one in FORMATS if one.name in Image.OPEN))


def _read_image(file: TimedFile, min_side: int | None, max_megapixels: float) -> tuple[Image.Image, ImageMetadata]:
    with Image.open(file, formats=_formats()) as image:
        check_size(*image.size, max_megapixels)
        size, file_format = image.size, image.format or ""
        # That of a PNG may follow the pixels: what is wrong with them would be taken for broken EXIF.
        exif = None if file_format == "PNG" else read_exif(image)
        choose_scale(image, file, min_side)
        read_in_small_pieces(image, file)
        file.ahead = math.inf
        with DECODING.taking(bytes_needed(image, size)):
            image.load()
            exif = read_exif(image) if exif is None else exif
            return _upright(image, exif, size, file_format, min_side)


def _read_mended(
    file: TimedFile, min_side: int | None, max_megapixels: float
) -> tuple[Image.Image, ImageMetadata] | None:
    """The image in a broken file whose pixels are complete; None if they are not, or that cannot be told."""
    file.seek(0)
    if not is_mendable(file.read(64)):
        return None
    file.seek(0)

    def read(version: bytes, side: int | None) -> tuple[Image.Image, ImageMetadata] | None:
        with suppress(Exception), open_timed(version, file.until) as mended_file:
            return _read_image(mended_file, side, max_megapixels)
        return None

    def pixels_of(version: bytes) -> bytes | None:
        repaired = read(version, None)
        return repaired and hashlib.blake2b(repaired[0].tobytes()).digest()

    with suppress(LookupError, ValueError):
        for version in mended(file.read(), pixels_of):
            if repaired := read(version, min_side):
                return repaired
    return None


def _read_raw(
    file: TimedFile, source: Path | bytes, min_side: int | None, max_megapixels: float
) -> tuple[Image.Image, ImageMetadata]:
    image, exif, size = open_raw(file, min_side=min_side, max_megapixels=max_megapixels)
    if min_side is not None:
        image.draft(image.mode, (min_side, min_side))
    image.load()
    name = source.suffix[1:].upper() if isinstance(source, Path) else "RAW"
    return _upright(image, exif, size, name, min_side)


def _upright(
    image: Image.Image, exif: Image.Exif, size: tuple[int, int], file_format: str, min_side: int | None
) -> tuple[Image.Image, ImageMetadata]:
    """A loaded image as RGB, turned as its EXIF says, and its metadata; `size` is the full size as stored."""
    # PIL turns a TIFF while loading it and then drops the note, which is why the size is taken before and the note now.
    orientation = read_orientation(exif)
    width, height = reversed(size) if orientation in (5, 6, 7, 8) else size
    metadata = read_metadata(exif, width=width, height=height, file_format=file_format)
    rgb = to_srgb(image, choose_divisor(image, min_side))
    return (rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb), metadata
