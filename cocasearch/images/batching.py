"""Items that name images in, batches of pixels out, decoded in threads ahead of the consumer.

PIL works outside Python's lock, so threads decode while the model computes. Keeps the order of the items, holds only a
bounded number of decoded images, and lets a bad image cost nothing but itself. Knows nothing about models.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

import torch

from cocasearch.byte_range import ByteRange, ImageSource
from cocasearch.errors import UnreadableImage
from cocasearch.images.decode_limits import MAX_MEGAPIXELS
from cocasearch.images.decoding import read_image
from cocasearch.images.metadata import ImageMetadata
from cocasearch.images.refusals import refusal
from cocasearch.images.transforms import Preprocess

T = TypeVar("T")
Decoded = tuple[ImageMetadata, torch.Tensor]


@dataclass(frozen=True)
class DecodedBatch(Generic[T]):
    """Some items with their pixels, and the items met on the way that could not be read.

    Args:
        items: The B readable items, in the order given.
        metadata: Their B metadata.
        pixels: Their pixels, (B, 3, S, S) float32. B is 0 if only unreadable items were left.
        failures: Unreadable items since the batch before, each with its error.
    """

    items: list[T]
    metadata: list[ImageMetadata]
    pixels: torch.Tensor
    failures: list[tuple[T, UnreadableImage]]


def decode_batches(
    items: Iterable[T],
    source_of: Callable[[T], ImageSource],
    preprocess: Preprocess,
    *,
    batch_size: int,
    workers: int = 2,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Generator[DecodedBatch[T], None, None]:
    """Batches of `batch_size` readable images, the last one smaller, in the order of the items.

    Two batches are decoded ahead of the consumer. Closing the iterator, or any exception that passes through it, drops
    the waiting work and returns when the images in progress (one per worker) are done.

    Args:
        items: Consumed lazily, in the consumer's thread.
        source_of: Gives an item's file or bytes; called in the worker threads.
        preprocess: Turns each image into a (3, S, S) tensor.
        batch_size: Readable images per batch.
        workers: Threads that decode.
        max_megapixels: Larger images are refused before they are decoded.
    """

    def decode(item: T) -> Decoded:
        return _decode(source_of(item), preprocess, max_megapixels)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        gathered = _Gathered[T](preprocess.config.image_size)
        for item, future in _ahead(items, decode, pool, 2 * batch_size):
            gathered.add(item, future)
            if len(gathered.items) == batch_size:
                yield gathered.take()
        if gathered.items or gathered.failures:
            yield gathered.take()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(source: ImageSource, preprocess: Preprocess, max_megapixels: float) -> Decoded:
    image, metadata = read_image(source, min_side=preprocess.min_decode_side, max_megapixels=max_megapixels)
    try:
        return metadata, preprocess(image)
    except (MemoryError, ValueError) as error:  # of a shape that none was thought to have
        raise refusal(error, source.file if isinstance(source, ByteRange) else source) from error


def _ahead(
    items: Iterable[T], work: Callable[[T], Decoded], pool: ThreadPoolExecutor, depth: int
) -> Iterator[tuple[T, Future[Decoded]]]:
    """Items with their futures in order, up to `depth` of them submitted before the first is handed out."""
    waiting = iter(items)
    submitted = deque((item, pool.submit(work, item)) for item in islice(waiting, depth))
    while submitted:
        yield submitted.popleft()
        submitted.extend((item, pool.submit(work, item)) for item in islice(waiting, 1))


class _Gathered(Generic[T]):
    """The batch being filled."""

    def __init__(self, image_size: int) -> None:
        self._no_pixels = torch.empty(0, 3, image_size, image_size)
        self._clear()

    def _clear(self) -> None:
        self.items: list[T] = []
        self.metadata: list[ImageMetadata] = []
        self.pixels: list[torch.Tensor] = []
        self.failures: list[tuple[T, UnreadableImage]] = []

    def add(self, item: T, future: Future[Decoded]) -> None:
        try:
            metadata, pixels = future.result()
        except UnreadableImage as error:
            self.failures.append((item, error))
            return
        self.items.append(item)
        self.metadata.append(metadata)
        self.pixels.append(pixels)

    def take(self) -> DecodedBatch[T]:
        pixels = torch.stack(self.pixels) if self.pixels else self._no_pixels
        batch = DecodedBatch(self.items, self.metadata, pixels, self.failures)
        self._clear()
        return batch
