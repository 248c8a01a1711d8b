"""Which images are the same, byte for byte. Files of different sizes differ, so that few are ever read."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from cocasearch.byte_range import ByteRange, ImageSource


def same_content(images: Sequence[ImageSource]) -> list[list[int]]:
    """Groups of two or more images with the same bytes, as positions in order; what is empty or unreadable is alone.

    Args:
        images: N images.
    """
    by_size: dict[int, list[int]] = {}
    for position, image in enumerate(images):
        by_size.setdefault(_size(image), []).append(position)
    groups: dict[bytes, list[int]] = {}
    for size, positions in by_size.items():
        for position in positions if size > 0 and len(positions) > 1 else ():
            if digest := _digest(images[position]):
                groups.setdefault(digest, []).append(position)
    return sorted(group for group in groups.values() if len(group) > 1)


def _size(image: ImageSource) -> int:
    if isinstance(image, Path):
        try:
            return os.stat(image).st_size  # noqa: PTH116  quicker, for each image
        except OSError:
            return -1
    return image.size if isinstance(image, ByteRange) else len(image)


def _digest(image: ImageSource) -> bytes | None:
    try:
        content = image.read() if isinstance(image, ByteRange) else image
        content = content.read_bytes() if isinstance(content, Path) else content
    except OSError:
        return None
    return hashlib.blake2b(content, digest_size=16).digest()
