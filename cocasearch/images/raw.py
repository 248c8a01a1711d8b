"""Reading of a camera's RAW files: the preview within one where that is large enough, else the developed RAW.

Cameras put a JPEG of the same photo into each RAW file, which is read 50 times as fast as the sensor's data.
Needs the extra `raw` (rawpy, a binding of LibRaw).
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import ExifTags, Image

from cocasearch.images.decode_scale import check_size
from cocasearch.images.formats import RAW, RAW_SUFFIXES, MissingExtraError, format_of
from cocasearch.images.memory_budget import DECODING

if TYPE_CHECKING:
    import rawpy

_BYTES_PER_PIXEL = 16  # while LibRaw develops
_TIFF = (b"II*\0", b"MM\0*")
_ORIENTATION = {3: 3, 5: 8, 6: 6}  # LibRaw's flip -> EXIF's orientation


def is_raw(source: Path | bytes, head: bytes) -> bool:
    """Whether a file that starts with `head` is a camera's RAW. Most kinds are TIFFs, known by their suffix alone."""
    known = format_of(head)
    if known is not None and known.name == RAW:
        return True
    return isinstance(source, Path) and source.suffix.lower() in RAW_SUFFIXES and head.startswith(_TIFF)


def open_raw(
    file: BinaryIO, *, min_side: int | None, max_megapixels: float
) -> tuple[Image.Image, Image.Exif, tuple[int, int]]:
    """The image (open, perhaps not decoded yet), its EXIF with its orientation, and its full size.

    Args:
        file: The RAW file.
        min_side: Length in pixels that the shortest side should have; None for the full size.
        max_megapixels: Larger images are refused before they are decoded.

    Raises:
        MissingExtraError: The extra `raw` is not installed.
        TooLargeError: There are more than `max_megapixels` million pixels.
        Exception: Whatever a broken file leads LibRaw to.
    """
    try:
        import rawpy
    except ImportError as error:
        raise MissingExtraError(RAW, "raw") from error
    with rawpy.imread(io.BytesIO(file.read())) as raw:
        sizes = raw.sizes  # as stored; developing changes them
        check_size(sizes.width, sizes.height, max_megapixels)
        whole = min(sizes.width, sizes.height)
        wanted = whole if min_side is None else min(min_side, whole)
        preview = _preview(raw)
        if preview and min(preview.size) >= 0.9 * wanted:
            image = preview
        else:
            with DECODING.taking(_BYTES_PER_PIXEL * sizes.width * sizes.height):
                half = whole >= 2 * wanted
                image = Image.fromarray(raw.postprocess(half_size=half, use_camera_wb=True, user_flip=0, output_bps=8))
    exif = _exif(file, preview)
    exif[ExifTags.Base.Orientation] = _orientation(sizes, image)
    return image, exif, (sizes.width, sizes.height)


def _preview(raw: "rawpy.RawPy") -> Image.Image | None:
    import rawpy

    try:
        preview = raw.extract_thumb()
    except rawpy.LibRawError:  # none, or one of a kind that LibRaw cannot read
        return None
    if preview.format is rawpy.ThumbFormat.BITMAP:
        return Image.fromarray(preview.data)
    try:
        return Image.open(io.BytesIO(preview.data), formats=("JPEG",))
    except OSError:
        return None


def _exif(file: BinaryIO, preview: Image.Image | None) -> Image.Exif:
    """The EXIF of a RAW file that is a TIFF, else that of its preview."""
    exif = Image.Exif()
    file.seek(0)
    try:
        if file.read(4) in _TIFF:
            file.seek(0)
            exif.load_from_fp(file)
        elif preview:
            exif = preview.getexif()
        exif.get(ExifTags.Base.Orientation)
    except Exception:  # PIL's parser raises whatever a corrupt block leads it to
        return Image.Exif()
    return exif


def _orientation(sizes: "rawpy.ImageSizes", image: Image.Image) -> int:
    """EXIF's orientation of an image from a RAW file. The camera may have turned a preview upright already."""
    sideways = sizes.flip in (5, 6) and sizes.width != sizes.height
    if sideways and (image.width > image.height) != (sizes.width > sizes.height):
        return 1
    return _ORIENTATION.get(sizes.flip, 1)
