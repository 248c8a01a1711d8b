"""The search for images of the same bytes. Files of different sizes differ, so that few are ever read."""

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from cocasearch.byte_range import ByteRange, ImageSource
from cocasearch.captioned_data.captioned_image import BadRow, CaptionedData


def unite_copies(data: CaptionedData) -> CaptionedData:
    """The data with every image once, under its first name; `copies` lists the other names.

    The captions of a copy are added to those of the first. As two images they would count as each other's wrong answer
    in a loss and in a metric, and could fall on both sides of a split.
    """
    images, copies = list(data.images), dict[int, BadRow]()
    for first, *repeats in same_content([image.image for image in images]):
        kept = images[first]
        captions = list(kept.captions)
        for at in repeats:
            captions += [caption for caption in images[at].captions if caption not in captions]
            copies[at] = BadRow(images[at].key, f"the same bytes as {kept.key}")
        images[first] = dataclasses.replace(kept, captions=tuple(captions))
    return dataclasses.replace(
        data,
        images=[image for at, image in enumerate(images) if at not in copies],
        copies=[copies[at] for at in sorted(copies)],
    )


def same_content(images: Sequence[ImageSource]) -> list[list[int]]:
    """The groups of two or more images with the same bytes, as positions in order.

    Images that are empty or cannot be read are in no group.
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
