"""Picture files or bytes in, upright RGB pictures and their metadata out.

Whatever a folder holds comes out the same way: turned as EXIF says, transparency laid over white, 8 bits per channel,
the first frame. What cannot be read is refused with a reason. Knows nothing about models; `min_side` is a number.
"""

import errno
import io
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from cocasearch.errors import UnreadableImage
from cocasearch.images.color import to_srgb
from cocasearch.images.metadata import ImageMetadata, read_exif, read_metadata

MAX_MEGAPIXELS = 256.0  # beyond the largest cameras; decoded it is 768 MB

# Formats that decode in process: PIL would hand EPS to Ghostscript.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000", "PPM")

# PIL refuses twice this many pixels on its own and warns at once; our limit, checked before decoding, is lower.
if Image.MAX_IMAGE_PIXELS is not None:
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, int(2 * MAX_MEGAPIXELS * 1e6))

# Remarks about broken EXIF blocks and the like say nothing that the result does not.
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

_NEEDS_HEIC, _NEEDS_HEIF = (f"{name} needs: pip install pillow-heif" for name in ("HEIC", "HEIF"))
_PLUGIN_MISSING = (_NEEDS_HEIC, _NEEDS_HEIF)
_FOREIGN = (  # (offset, signature, reason)
    (4, b"ftypheic", _NEEDS_HEIC),
    (4, b"ftypheix", _NEEDS_HEIC),
    (4, b"ftypavif", "damaged AVIF"),
    (4, b"ftypmif1", _NEEDS_HEIF),
    (4, b"ftyp", "a video, not a picture"),
    (0, b"%PDF", "a PDF document, not a picture"),
    (0, b"%!PS", "a PostScript document, not a picture"),
    (0, b"<svg", "an SVG drawing, not a picture"),
    (0, b"PK\x03\x04", "a ZIP archive, not a picture"),
    (0, b"<!DOCTYPE", "a web page, not a picture"),
    (0, b"<html", "a web page, not a picture"),
)


def read_image(
    source: Path | bytes, *, min_side: int | None = None, max_megapixels: float = MAX_MEGAPIXELS
) -> tuple[Image.Image, ImageMetadata]:
    """The picture, upright RGB, and its metadata.

    Args:
        source: A file, or a file's bytes.
        min_side: A JPEG may be decoded smaller (by 2, 4 or 8, which is much faster) as long as its shortest side
            keeps at least this many pixels; None decodes all of it. The metadata tell the full size either way.
        max_megapixels: Larger pictures are refused before they are decoded.

    Raises:
        UnreadableImage: The file is missing, empty, truncated, too large, or no picture that can be read.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_formats()) as image:
            return _decode(image, min_side, max_megapixels)
    except Exception as error:  # PIL's decoders raise whatever a broken file leads them to
        name = f"({len(source)} bytes in memory)" if isinstance(source, bytes) else str(source)
        reason = _reason(error, source)
        raise UnreadableImage(name, reason, lasting=not _may_pass(error, reason)) from error


class _TooLargeError(Exception):
    """The picture has more pixels than its reader wants to decode."""


@cache
def _formats() -> tuple[str, ...]:
    """The formats that this installation of PIL can read."""
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _decode(image: Image.Image, min_side: int | None, max_megapixels: float) -> tuple[Image.Image, ImageMetadata]:
    width, height = image.size
    if width * height > max_megapixels * 1e6:
        raise _TooLargeError(f"{width} x {height} pixels are more than {max_megapixels:g} megapixels")
    exif = read_exif(image)
    if min_side is not None:
        image.draft(image.mode, (min_side, min_side))
    image.load()
    # Read only now: PIL turns a TIFF while loading it and then drops the note.
    orientation = exif.get(ExifTags.Base.Orientation)
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    metadata = read_metadata(exif, width=width, height=height, file_format=image.format or "")
    rgb = to_srgb(image)
    return (rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb), metadata


def _reason(error: Exception, source: Path | bytes) -> str:
    """Why a picture was refused, in a few words that mean something to its owner."""
    if isinstance(error, OSError) and error.errno is not None:
        return {errno.ENOENT: "no such file", errno.EACCES: "permission denied"}.get(error.errno, str(error.strerror))
    if isinstance(error, UnidentifiedImageError):
        return _unidentified_reason(source)
    if isinstance(error, _TooLargeError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {MAX_MEGAPIXELS:g} megapixels"
    if "truncated" in str(error).lower():
        return "truncated"
    return f"damaged ({str(error) or type(error).__name__})"


def _may_pass(error: Exception, reason: str) -> bool:
    """Whether the system refused the file, and not the file its reader."""
    from_the_system = isinstance(error, OSError) and error.errno is not None
    return from_the_system or isinstance(error, MemoryError) or reason in _PLUGIN_MISSING


def _unidentified_reason(source: Path | bytes) -> str:
    if isinstance(source, bytes):
        head = source[:64]
    else:
        with source.open("rb") as file:
            head = file.read(64)
    if not head:
        return "empty file"
    return next((why for at, mark, why in _FOREIGN if head.startswith(mark, at)), "not a picture that can be read")
