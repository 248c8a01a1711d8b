"""The scale at which an image is decoded, chosen beforehand, and the refusal of images that would take too long.

JPEG and JPEG 2000 can be decoded at a fraction of their size, which is much faster. Some decoders take a whole file in
one call that nothing can interrupt; the time they need is estimated from the size of the image and of the file.
"""

import io

from PIL import Image

from cocasearch.images.decode_limits import MAX_SIDE, SECONDS_PER_FILE
from cocasearch.images.formats import UNINTERRUPTED
from cocasearch.images.timed_reading import TimedFile, TooLargeError

_VERY_LARGE = 50_000_000  # pixels

_CODESTREAM_START = b"\xff\x4f\xff\x51"
_CODING_STYLE, _FIRST_TILE = 0xFF52, 0xFF90


def check_size(width: int, height: int, max_megapixels: float) -> None:
    """Refuse images with too many pixels.

    Raises:
        TooLargeError: `width * height` is more than `max_megapixels` million, or a side is longer than any image's.
    """
    if max(width, height) > MAX_SIDE:
        raise TooLargeError(f"{width} x {height} pixels are longer than {MAX_SIDE:,} on one side")
    if width * height > max_megapixels * 1e6:
        message = f"{width} x {height} pixels are more than {max_megapixels:g} megapixels"
        raise TooLargeError(message, width * height)


def choose_scale(image: Image.Image, file: TimedFile, min_side: int | None) -> None:
    """Set an open image to be decoded as small as possible with at least `min_side` pixels along its shortest side.

    Raises:
        TooLargeError: Even so, decoding would take too long.
    """
    halvings = 0
    if min_side is not None:
        image.draft(image.mode, (min_side, min_side))
        if image.format == "JPEG2000":
            halvings = _halvings(image, file, min_side)
            image.reduce = halvings  # type: ignore[method-assign, assignment]
    if image.format in UNINTERRUPTED:
        _check_time(image, file, 4**halvings)


def bytes_needed(image: Image.Image, size: tuple[int, int]) -> int:
    """The approximate memory in bytes that decoding an open image takes; `size` is its full size in pixels."""
    at_once = image.format in UNINTERRUPTED or bool(image.info.get("progressive"))
    return 8 * image.width * image.height + (12 * size[0] * size[1] if at_once else 0)


def read_in_small_pieces(image: Image.Image, file: TimedFile) -> None:
    """Make the decoders of progressive JPEG and PPM read little at a time, so that the time limit is checked often.

    A scan of a progressive JPEG goes over the whole image though it may take but some hundred bytes, and each comment
    in a PPM of plain text copies the rest of the block.
    """
    if image.format == "PPM":
        file.most = 16_384
    if image.info.get("progressive"):
        image.decodermaxblock = 2048  # type: ignore[attr-defined]


def choose_divisor(image: Image.Image, min_side: int | None) -> int:
    """The number to divide a decoded image's sides by: more than 1 if it is so large that later steps would be slow."""
    if min_side is None or image.width * image.height < _VERY_LARGE:
        return 1
    return max(1, min(image.size) // (2 * min_side))


def _check_time(image: Image.Image, file: TimedFile, shrunk: int) -> None:
    per_megapixel, per_megabyte = UNINTERRUPTED[image.format or ""]
    size = _file_size(file)
    seconds = (image.width * image.height / 1e6 * per_megapixel + size / 1e6 * per_megabyte) / shrunk
    if seconds > SECONDS_PER_FILE:
        raise TooLargeError(
            f"{image.width} x {image.height} pixels in {size / 1e6:.0f} MB of {image.format} take too long to decode"
        )


def _file_size(file: TimedFile) -> int:
    position = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(position)
    return size


def _halvings(image: Image.Image, file: TimedFile, min_side: int) -> int:
    """How often a JPEG 2000 image may be halved, given `min_side` and what its file was prepared for."""
    wanted = max(0, (min(image.size) // max(min_side, 1)).bit_length() - 1)
    return min(wanted, _prepared_halvings(file)) if wanted else 0


def _prepared_halvings(file: TimedFile) -> int:
    """The number of decomposition levels in a codestream's header (ISO/IEC 15444-1, A.6.1); 0 if it is not found."""
    position = file.tell()
    file.seek(0)
    head = file.read(65536)
    file.seek(position)
    at = head.find(_CODESTREAM_START) + 2
    while 2 <= at < len(head) - 10:
        marker = int.from_bytes(head[at : at + 2])
        if marker == _CODING_STYLE:
            return head[at + 9]
        if marker == _FIRST_TILE:
            break
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return 0
