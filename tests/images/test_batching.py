import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from cocasearch.images.batching import DecodedBatch, decode_batches
from cocasearch.images.decoding import read_image
from cocasearch.images.transforms import Preprocess, PreprocessConfig

PREPROCESS = Preprocess(PreprocessConfig(image_size=8))


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Twelve gray images, each lighter than the one before."""
    files = [tmp_path / f"{number:02}.png" for number in range(12)]
    for number, file in enumerate(files):
        Image.new("RGB", (9, 9), (number * 20,) * 3).save(file)
    return files


def batches(photos: list[Path], **options: int) -> list[DecodedBatch[Path]]:
    return list(decode_batches(photos, lambda file: file, PREPROCESS, **options))


def decoding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_order_is_kept_and_pixels_are_those_of_one_by_one(photos: list[Path], workers: int) -> None:
    found = batches(photos, batch_size=5, workers=workers)
    assert [len(batch.items) for batch in found] == [5, 5, 2]
    assert [item for batch in found for item in batch.items] == photos
    one_by_one = torch.stack([PREPROCESS(read_image(file)[0]) for file in photos])
    assert torch.equal(torch.cat([batch.pixels for batch in found]), one_by_one)
    assert all(data.width == 9 for batch in found for data in batch.metadata)


def test_failures_are_reported_in_place_and_batches_stay_full(photos: list[Path]) -> None:
    for number in (0, 3, 11):
        photos[number].write_bytes(b"")
    found = batches(photos, batch_size=4)
    assert [len(batch.items) for batch in found] == [4, 4, 1]
    assert [item for batch in found for item, _ in batch.failures] == [photos[0], photos[3], photos[11]]
    assert found[0].failures[0][1].reason == "empty file"


def test_only_failures_give_one_batch_without_pixels(photos: list[Path]) -> None:
    for photo in photos:
        photo.write_bytes(b"?")
    (only,) = batches(photos, batch_size=4)
    assert only.pixels.shape == (0, 3, 8, 8)
    assert len(only.failures) == 12


def test_nothing_in_nothing_out() -> None:
    assert batches([], batch_size=4) == []


def test_look_ahead_is_bounded_and_items_are_taken_lazily(photos: list[Path]) -> None:
    taken: list[Path] = []

    def endless() -> Iterator[Path]:
        while True:
            taken.append(photos[0])
            yield photos[0]

    stream = decode_batches(endless(), lambda file: file, PREPROCESS, batch_size=3)
    next(stream)
    assert len(taken) <= 3 + 2 * 3
    stream.close()
    assert decoding_threads() == []


def test_closing_drops_the_waiting_work(photos: list[Path]) -> None:
    begun: list[Path] = []

    def slow(file: Path) -> Path:
        begun.append(file)
        time.sleep(0.01)
        return file

    stream = decode_batches(photos * 10, slow, PREPROCESS, batch_size=20, workers=2)
    next(stream)  # by now 40 more are waiting, which would take 0.2 s
    stream.close()
    assert len(begun) < 40
    assert decoding_threads() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_passes_through_and_leaves_no_threads(photos: list[Path], error: type[BaseException]) -> None:
    def fails_at_the_seventh(file: Path) -> Path:
        if file == photos[6]:
            raise error("stop")
        return file

    with pytest.raises(error):
        list(decode_batches(photos, fails_at_the_seventh, PREPROCESS, batch_size=3))
    assert decoding_threads() == []


def test_an_error_of_the_consumer_leaves_no_threads(photos: list[Path]) -> None:
    def consume() -> None:
        for _ in decode_batches(photos, lambda file: file, PREPROCESS, batch_size=2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert decoding_threads() == []
