"""One pass over captioned images, in which a model describes each of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from cocasearch.captioned_data import CaptionedImage
from cocasearch.images.batching import decode_batches
from cocasearch.inference.loaded_model import LoadedModel

T = TypeVar("T")


@dataclass(frozen=True)
class DescribedImages(Generic[T]):
    """The readable rows with a description of each, and the key of every other row with the reason."""

    rows: list[CaptionedImage]
    descriptions: list[T]
    unreadable: list[tuple[str, str]]


def describe_images(
    loaded: LoadedModel,
    data: Sequence[CaptionedImage],
    describe: Callable[[Tensor], list[T]],
    batch_size: int,
    progress: Callable[[int, int], None] | None,
) -> DescribedImages[T]:
    """The descriptions of captioned images.

    Args:
        loaded: The model whose preprocessing makes the pixels.
        data: The images.
        describe: Function that gives a description of each image of pixels (B, 3, S, S).
        batch_size: Number of images in a pass.
        progress: Called after each batch with the images done and the images in all.
    """
    described = DescribedImages[T]([], [], [])
    for batch in decode_batches(data, lambda row: row.image, loaded.preprocess, batch_size=batch_size):
        described.unreadable.extend((row.key, error.reason) for row, error in batch.failures)
        described.rows.extend(batch.items)
        described.descriptions.extend(describe(batch.pixels) if batch.items else [])
        if progress is not None:
            progress(len(described.rows) + len(described.unreadable), len(data))
    return described
