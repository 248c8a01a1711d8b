"""TIFF files that PIL does not write: whatever tags a test wants, and a camera's RAW in Adobe's DNG."""

import io
import struct

import numpy as np
from PIL import Image

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 10: 8}  # bytes of a value of each TIFF type
_CODES = {1: "B", 3: "H", 4: "I"}
Tags = dict[int, tuple[int, object]]  # tag -> TIFF type and value or values


def _packed(kind: int, values: object) -> tuple[int, bytes]:
    """The number of values and their bytes, little endian."""
    if isinstance(values, bytes):
        return len(values) // _SIZES[kind], values
    numbers = values if isinstance(values, (tuple, list)) else (values,)
    if kind in (5, 10):
        return len(numbers), b"".join(struct.pack("<iI", round(n * 10_000), 10_000) for n in numbers)
    return len(numbers), struct.pack(f"<{len(numbers)}{_CODES[kind]}", *numbers)


def directory(tags: Tags, at: int, following: int = 0) -> bytes:
    """An image file directory that starts at `at`, with the values that do not fit into it behind it."""
    behind = at + 2 + 12 * len(tags) + 4
    entries = extra = b""
    for tag, (kind, values) in sorted(tags.items()):
        count, content = _packed(kind, values)
        if len(content) <= 4:
            field = content + bytes(4 - len(content))
        else:
            field = struct.pack("<I", behind + len(extra))
            extra += content + bytes(len(content) % 2)
        entries += struct.pack("<HHI", tag, kind, count) + field
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following) + extra


def plain_tiff(tags: Tags, pixels: bytes) -> bytes:
    """A TIFF of one directory and one strip; StripOffsets is filled in."""
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory({**tags, 273: (4, 8)}, 8 + len(pixels))


def exif_block(tags: Tags) -> bytes:
    """The notes in an image file, with whatever types and values PIL would refuse to write."""
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + directory(tags, 8)


def cfa_dng(image: Image.Image, *, orientation: int = 1, preview: bytes = b"") -> bytes:
    """A DNG with a sensor's mosaic (RGGB, 16 bits, linear) of an image, and a JPEG preview if one is given."""
    linear = (np.asarray(image.convert("RGB")).astype(np.float64) / 255) ** 2.2 * 65535
    mosaic = np.empty(linear.shape[:2], np.uint16)
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[row::2, column::2] = linear[row::2, column::2, channel]
    pixels = mosaic.astype("<u2").tobytes()
    raw: Tags = {
        254: (4, 0),
        256: (4, image.width),
        257: (4, image.height),
        258: (3, 16),
        259: (3, 1),
        262: (3, 32803),
        273: (4, 8),
        277: (3, 1),
        278: (4, image.height),
        279: (4, len(pixels)),
        33421: (3, (2, 2)),
        33422: (1, (0, 1, 1, 2)),
        50714: (3, 0),
        50717: (4, 65535),
    }
    camera: Tags = {
        271: (2, b"Drawn\0"),
        272: (2, b"Test Camera\0"),
        274: (3, orientation),
        306: (2, b"2021:05:06 07:08:09\0"),
        50706: (1, (1, 4, 0, 0)),
        50708: (2, b"Drawn Test Camera\0"),
        50721: (10, (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)),
        50728: (5, (1.0, 1.0, 1.0)),
        50778: (3, 21),
    }
    head = b"II*\0" + struct.pack("<I", 8 + len(pixels) + len(preview) + len(preview) % 2)
    at = 8 + len(pixels) + len(preview) + len(preview) % 2
    body = head + pixels + preview + bytes(len(preview) % 2)
    if not preview:
        return body + directory({**raw, **camera}, at)
    shown = Image.open(io.BytesIO(preview))
    first: Tags = {
        254: (4, 1),
        256: (4, shown.width),
        257: (4, shown.height),
        258: (3, (8, 8, 8)),
        259: (3, 7),
        262: (3, 6),
        273: (4, 8 + len(pixels)),
        277: (3, 3),
        278: (4, shown.height),
        279: (4, len(preview)),
        **camera,
    }
    length = len(directory({**first, 330: (4, 0)}, at))
    return body + directory({**first, 330: (4, at + length)}, at) + directory(raw, at + length)
