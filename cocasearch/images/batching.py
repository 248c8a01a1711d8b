"""Batches of pixels from items that name images, decoded in threads ahead of the consumer.

PIL works outside Python's lock, so threads decode while the model computes. The order of the items is kept, the number
of decoded images in memory is bounded, and a bad image costs nothing but itself.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
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
    """A batch of items with their pixels, and the items before its end that could not be read.

    Args:
        items: The B readable items, in the order given.
        metadata: What the file of each says about itself.
        pixels: Their pixels, (B, 3, S, S) float32. B is 0 if only unreadable items were left.
        failures: Unreadable items since the previous batch, each with its error.
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
        source_of: Function that gives an item's file or bytes; called in the worker threads.
        preprocess: What turns each image into a (3, S, S) tensor.
        batch_size: Number of readable images in a batch.
        workers: Number of threads that decode.
        max_megapixels: Limit above which images are refused before they are decoded.
    """

    def decode(item: T) -> Decoded:
        return _decode(source_of(item), preprocess, max_megapixels)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        futures = _ahead(items, decode, pool, 2 * batch_size)
        while (batch := _next_batch(futures, batch_size, preprocess.config.image_size)).items or batch.failures:
            yield batch
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


def _next_batch(futures: Iterator[tuple[T, Future[Decoded]]], batch_size: int, image_size: int) -> DecodedBatch[T]:
    """The next batch. It has neither items nor failures once all items are used up."""
    batch = DecodedBatch[T]([], [], torch.empty(0, 3, image_size, image_size), [])
    pixels = []
    for item, future in futures:
        try:
            metadata, tensor = future.result()
        except UnreadableImage as error:
            batch.failures.append((item, error))
            continue
        batch.items.append(item)
        batch.metadata.append(metadata)
        pixels.append(tensor)
        if len(pixels) == batch_size:
            break
    return replace(batch, pixels=torch.stack(pixels)) if pixels else batch
