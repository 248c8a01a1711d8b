"""The search for captioned images that are the same, byte for byte or nearly.

Each image is hashed once, in threads. A FAISS index of the sketches gives the few nearest candidates of each image,
whose thumbnails are then compared; all pairs are never compared.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from cocasearch.byte_range import ImageSource
from cocasearch.captioned_data.captioned_image import CaptionedImage
from cocasearch.captioned_data.duplicates.exact_copies import same_content
from cocasearch.captioned_data.duplicates.perceptual_hash import (
    SKETCH_SIZE,
    Floats,
    PerceptualHash,
    is_same_image,
    read_perceptual_hash,
    read_thumbnail,
)
from cocasearch.errors import UnreadableImage

NEAREST = 8  # candidates for each image
_LEAST_COSINE = 0.8  # of the sketches of candidates
_EXACT_UP_TO = 10_000  # images; beyond, a part of the cells is searched
_CELLS_SEARCHED = 16
_AHEAD = 256

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PerceptualHashes:
    """The perceptual hashes of N images; None for those that cannot be read, with the reasons by position."""

    images: Sequence[CaptionedImage]
    hashes: list[PerceptualHash | None]
    unreadable: dict[int, str]

    def sketches(self, positions: Sequence[int]) -> Floats:
        """The sketches of the images at n positions (n, 35) float32; zeros for what cannot be read."""
        sketches = np.zeros((len(positions), SKETCH_SIZE), np.float32)
        for row, position in enumerate(positions):
            if image_hash := self.hashes[position]:
                sketches[row] = image_hash.sketch
        return sketches


def hash_images(images: Sequence[CaptionedImage], progress: Progress | None = None) -> PerceptualHashes:
    """The perceptual hashes of N images, which are decoded in two threads.

    Args:
        images: The images.
        progress: Called now and then with the images done and the images in all.
    """
    hashes: list[PerceptualHash | None] = []
    unreadable: dict[int, str] = {}
    pool = ThreadPoolExecutor(2, thread_name_prefix="hashes")
    try:
        for start in range(0, len(images), _AHEAD):
            for result in pool.map(_hash_or_reason, images[start : start + _AHEAD]):
                if isinstance(result, str):
                    unreadable[len(hashes)] = result
                hashes.append(None if isinstance(result, str) else result)
            if progress is not None:
                progress(len(hashes), len(images))
    finally:
        pool.shutdown(cancel_futures=True)
    return PerceptualHashes(images, hashes, unreadable)


def _hash_or_reason(image: CaptionedImage) -> PerceptualHash | str:
    try:
        return read_perceptual_hash(image.image)
    except UnreadableImage as error:
        return error.reason


@dataclass(frozen=True)
class Twin:
    """Two images that are the same, by their positions; `is_exact` if byte for byte."""

    first: int
    second: int
    is_exact: bool


def find_twins(hashes: PerceptualHashes, progress: Progress | None = None) -> list[Twin]:
    """The images that are the same as an earlier one, each with the first of its group, in order.

    Groups are chains: each image is nearly the same as another of its group, but not always as the first.

    Args:
        hashes: The perceptual hashes of N images.
        progress: Called now and then with the images compared and the images in all.
    """
    exact = {copy: first for first, *copies in _same_files(hashes.images) for copy in copies}
    kind = list(range(len(hashes.images)))

    def first_of(position: int) -> int:
        while kind[position] != position:
            kind[position] = kind[kind[position]]
            position = kind[position]
        return position

    distinct = [position for position in kind if position not in exact]
    for one, other in _near_pairs(hashes, hashes, distinct, distinct, progress):
        low, high = sorted((first_of(one), first_of(other)))
        kind[high] = low
    return [
        Twin(exact.get(position, first_of(position)), position, position in exact)
        for position in range(len(kind))
        if position in exact or first_of(position) != position
    ]


def find_same_between(images: Sequence[CaptionedImage], reference: Sequence[CaptionedImage]) -> list[Twin]:
    """The images that are also in the reference, byte for byte. As `find_twins_between`, but no image is decoded."""
    twins = []
    for first, *copies in _same_files([*reference, *images]):
        twins += [Twin(first, at - len(reference), is_exact=True) for at in copies if first < len(reference) <= at]
    return sorted(twins, key=lambda twin: twin.second)


def find_twins_between(hashes: PerceptualHashes, reference: PerceptualHashes) -> list[Twin]:
    """The images that are also in the reference, each once: `first` counts in the reference, `second` in the images."""
    twins = {twin.second: twin for twin in find_same_between(hashes.images, reference.images)}
    rest = [at for at in range(len(hashes.images)) if at not in twins]
    for at, other in _near_pairs(hashes, reference, rest, range(len(reference.images))):
        twins.setdefault(at, Twin(other, at, is_exact=False))
    return [twins[at] for at in sorted(twins)]


def _same_files(images: Sequence[CaptionedImage]) -> list[list[int]]:
    return same_content([image.image for image in images])


def _near_pairs(
    hashes: PerceptualHashes,
    reference: PerceptualHashes,
    query_at: Sequence[int],
    stored_at: Sequence[int],
    progress: Progress | None = None,
) -> Iterator[tuple[int, int]]:
    """Pairs of positions (of hashes, of the reference) whose images are nearly the same, no pair twice.

    Args:
        hashes: The hashes of the images that are looked for.
        reference: The hashes of the images among which they are looked for; `hashes` itself to compare all with all.
        query_at: The positions in `hashes` that are looked for.
        stored_at: The positions in `reference` that are looked through.
        progress: Called now and then with images compared and images in all.
    """

    @lru_cache(maxsize=4096)
    def thumbnail(image: ImageSource) -> Floats | None:
        try:
            return read_thumbnail(image)
        except UnreadableImage:  # it was there a moment ago
            return None

    is_same_set = hashes is reference
    seen: set[tuple[int, int]] = set()
    for query, neighbours in _candidates(hashes.sketches(query_at), reference.sketches(stored_at)):
        if progress is not None and (query + 1 == len(query_at) or query % _AHEAD == 0):
            progress(query + 1, len(query_at))
        at = query_at[query]
        for other in (stored_at[neighbour] for neighbour in neighbours):
            pair = (min(at, other), max(at, other)) if is_same_set else (at, other)
            if pair in seen or (is_same_set and at == other):
                continue
            seen.add(pair)
            one, two = thumbnail(hashes.images[at].image), thumbnail(reference.images[other].image)
            if one is not None and two is not None and is_same_image(one, two):
                yield at, other


def _candidates(queries: Floats, stored: Floats) -> Iterator[tuple[int, list[int]]]:
    """The rows of the stored sketches that are most like each query, best first, the query itself included."""
    import faiss

    if not len(stored) or not len(queries):
        return
    flat = faiss.IndexFlatIP(SKETCH_SIZE)
    index: Any = flat
    if len(stored) > _EXACT_UP_TO:
        cells = int(4 * len(stored) ** 0.5)
        index = faiss.IndexIVFFlat(flat, SKETCH_SIZE, cells, faiss.METRIC_INNER_PRODUCT)
        index.cp.niter, index.cp.min_points_per_centroid = 8, 1
        index.train(stored[:: max(1, len(stored) // (40 * cells))])
        index.nprobe = _CELLS_SEARCHED
    index.add(stored)
    for start in range(0, len(queries), 1024):
        scores, rows = index.search(queries[start : start + 1024], NEAREST + 1)
        for offset, (row, score) in enumerate(zip(rows.tolist(), scores.tolist(), strict=True)):
            yield start + offset, [at for at, cosine in zip(row, score, strict=True) if cosine >= _LEAST_COSINE]
