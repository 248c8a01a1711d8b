"""What a step trains on: every picture once an epoch, sources mixed by weight, the same for the same seed and step."""

import io
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from cocasearch.captioned_data import CaptionedImage
from cocasearch.errors import CocaSearchError
from cocasearch.images.transforms import Preprocess, PreprocessConfig
from cocasearch.text.tokenizer import Tokenizer
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import LabelledImages, Source, TrainingBatch, TrainingData
from cocasearch.training.data.views import Views, own_cores

LEVELS = Preprocess(PreprocessConfig(image_size=8, mean=(0, 0, 0), std=(1, 1, 1), resize_mode="squash"))
CONFIG = TrainingConfig().changed(
    batch_size=4,
    captions_per_image=2,
    labelled_per_step=3,
    min_area=1.0,
    flip=False,
    color=0.0,
)


def plain_picture(number: int, source: int = 0) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (9, 7), (number, source, 0)).save(content, "PNG")
    return content.getvalue()


def pictures(count: int, source: int = 0, captions: int = 3) -> list[CaptionedImage]:
    """Pictures whose red level is their number and whose green level is their source, and captions that say so."""
    return [
        CaptionedImage(
            plain_picture(number, source),
            f"{source}/{number}",
            tuple(f"{number} of {source}, {caption}" for caption in range(captions)),
        )
        for number in range(count)
    ]


def training_data(tokenizer: Tokenizer, *sources: Source, labelled: LabelledImages | None = None) -> TrainingData:
    return TrainingData(sources, tokenizer, LEVELS, 48, labelled)


def seen(pixels: torch.Tensor) -> list[tuple[int, int]]:
    """Number and source of each picture."""
    return [(round(255 * red), round(255 * green)) for red, green in pixels[:, :2, 4, 4].tolist()]


def batches(data: TrainingData, config: TrainingConfig, steps: int, first: int = 0) -> list[TrainingBatch]:
    return list(data.batches(config, first_step=first, steps=steps))


def test_every_picture_is_seen_once_a_pass_and_in_another_order_each_time(tokenizer: Tokenizer) -> None:
    data = training_data(tokenizer, Source(pictures(12), 1.0))
    assert data.steps_per_epoch(CONFIG) == 3
    order = [number for batch in batches(data, CONFIG, 9) for number, _ in seen(batch.pixels)]
    epochs = [order[:12], order[12:24], order[24:]]
    assert [sorted(numbers) for numbers in epochs] == [list(range(12))] * 3
    assert len({tuple(numbers) for numbers in epochs}) == 3


def test_batches_are_the_same_with_any_number_of_workers(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    data = training_data(tokenizer, Source(pictures(12), 1.0), Source(pictures(5, source=1), 1.0))
    augmented = CONFIG.changed(min_area=0.3, color=0.3)
    threads: set[int] = set()
    monkeypatch.setattr(
        data.views, "read", lambda *view: threads.add(threading.get_ident()) or Views.read(data.views, *view)
    )
    one = batches(data, augmented.changed(workers=1), 6)
    assert len(threads) == 1
    for workers in (0, 5):
        for found, expected in zip(batches(data, augmented.changed(workers=workers), 6), one, strict=True):
            assert all(torch.equal(getattr(found, name), getattr(expected, name)) for name in vars(expected))


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    found = {}
    for processes in ("1", "3", "12"):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        found[processes] = own_cores()
    assert found == {"1": 12, "3": 4, "12": 2}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(96)), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert own_cores() == 16


def test_epochs_need_not_end_with_a_step(tokenizer: Tokenizer) -> None:
    data = training_data(tokenizer, Source(pictures(7), 1.0))
    order = [number for batch in batches(data, CONFIG, 7) for number, _ in seen(batch.pixels)]
    assert [sorted(order[first : first + 7]) for first in (0, 7, 14, 21)] == [list(range(7))] * 4


def test_sources_are_mixed_by_weight(tokenizer: Tokenizer) -> None:
    data = training_data(tokenizer, Source(pictures(9), 3.0), Source(pictures(4, source=1), 1.0))
    assert data.steps_per_epoch(CONFIG) == 3
    found = [seen(batch.pixels) for batch in batches(data, CONFIG, 8)]
    assert [[source for _, source in step] for step in found] == [[0, 0, 0, 1]] * 8
    second = [number for step in found for number, source in step if source == 1]
    assert sorted(second[:4]) == sorted(second[4:]) == [0, 1, 2, 3]


def test_a_step_holds_no_picture_twice(tokenizer: Tokenizer) -> None:
    data = training_data(tokenizer, Source(pictures(3), 1.0))
    assert data.steps_per_epoch(CONFIG) == 1
    assert [sorted(seen(batch.pixels)) for batch in batches(data, CONFIG, 3)] == [[(0, 0), (1, 0), (2, 0)]] * 3


def test_captions_belong_to_their_owners(tokenizer: Tokenizer) -> None:
    data = training_data(tokenizer, Source(pictures(6), 1.0), Source(pictures(6, source=1, captions=1), 1.0))
    drawn = set()
    for batch in batches(data, CONFIG, 12):
        texts = [tokenizer.decode(ids) for ids in batch.ids.tolist()]
        owners = [seen(batch.pixels)[owner] for owner in batch.owners.tolist()]
        assert [text.split(",")[0] for text in texts] == [f"{number} of {source}" for number, source in owners]
        assert len(set(texts)) == len(texts) == 6  # two captions of each picture of the first, the one of the second
        assert int((batch.ids[:, -1] != 0).sum()) == 0  # the CLS may see one padding position
        drawn |= set(texts)
    assert len(drawn) == 24  # in time, all of them


def test_labelled_pictures_keep_their_labels(tokenizer: Tokenizer) -> None:
    labelled = LabelledImages(
        [plain_picture(number, source=9) for number in range(6)],
        [10 + number for number in range(6)],
        [(f"thing {number}", "other") for number in range(16)],
    )
    found = []
    for batch in batches(training_data(tokenizer, Source(pictures(8), 1.0), labelled=labelled), CONFIG, 4):
        assert [number + 10 for number, _ in seen(batch.labelled_pixels)] == batch.labels.tolist()
        texts = [tokenizer.decode(ids) for ids in batch.labelled_ids.tolist()]
        assert all(text.endswith(f" thing {label}.") for label, text in zip(batch.labels.tolist(), texts, strict=True))
        found += batch.labels.tolist()
    assert sorted(found[:6]) == sorted(found[6:]) == [10, 11, 12, 13, 14, 15]


def equal(first: TrainingBatch, second: TrainingBatch) -> bool:
    return all(torch.equal(vars(first)[name], vars(second)[name]) for name in vars(first))


def test_a_resumed_run_sees_what_it_would_have_seen(tokenizer: Tokenizer, drawings: list[CaptionedImage]) -> None:
    config = CONFIG.changed()
    labelled = LabelledImages([image.image for image in drawings], list(range(18)), [("a",)] * 18)
    whole = batches(training_data(tokenizer, Source(drawings, 1.0), labelled=labelled), config, 9)
    rest = batches(training_data(tokenizer, Source(drawings, 1.0), labelled=labelled), config, 9, first=4)
    assert len(rest) == 5
    assert all(equal(*pair) for pair in zip(whole[4:], rest, strict=True))
    other = batches(training_data(tokenizer, Source(drawings, 1.0)), config.changed(seed=1), 1)
    assert not torch.equal(other[0].pixels, whole[0].pixels)
    assert batches(training_data(tokenizer, Source(drawings, 1.0)), config, 9, first=9) == []


def test_unreadable_pictures_are_left_out_and_named(tokenizer: Tokenizer, tmp_path: Path) -> None:
    images = pictures(8)
    images[2] = replace(images[2], image=b"no picture")
    images[5] = replace(images[5], image=tmp_path / "gone.jpg")
    labelled = LabelledImages([plain_picture(1), tmp_path / "lost.png", b""], [1, 2, 3], [("a",)] * 4)
    data = training_data(tokenizer, Source(images, 1.0), labelled=labelled)
    found = batches(data, CONFIG, 2)
    assert sorted(number for batch in found for number, _ in seen(batch.pixels)) == [0, 1, 3, 4, 6, 7]
    for batch in found:
        numbers = [seen(batch.pixels)[owner][0] for owner in batch.owners.tolist()]
        assert [int(tokenizer.decode(ids).split()[0]) for ids in batch.ids.tolist()] == numbers
        assert batch.labels.tolist() == [1]
        assert len(batch.labelled_pixels) == len(batch.labelled_ids) == 1
    assert data.unreadable == {
        "0/2": "not an image that can be read",
        "0/5": "no such file",
        str(tmp_path / "lost.png"): "no such file",
        "labelled photo 2": "empty file",
    }


def test_a_step_of_unreadable_pictures_does_not_stop_a_run(tokenizer: Tokenizer) -> None:
    images = [replace(image, image=b"") if number != 3 else image for number, image in enumerate(pictures(5))]
    data = training_data(tokenizer, Source(images, 1.0))
    assert [seen(batch.pixels) for batch in batches(data, CONFIG.changed(batch_size=2), 5)] == [[(3, 0)]] * 5
    assert sorted(data.unreadable) == ["0/0", "0/1", "0/2", "0/4"]


def test_pictures_of_which_none_can_be_read(tokenizer: Tokenizer) -> None:
    data = training_data(tokenizer, Source([replace(image, image=b"") for image in pictures(3)], 1.0))
    with pytest.raises(CocaSearchError, match=r"not one of the photos .* can be read; the first: 0/.*empty"):
        batches(data, CONFIG, 1)


@pytest.mark.parametrize("sources", [[], [Source([], 1.0)], [Source(pictures(2), 1.0), Source([], 1.0)]])
def test_a_source_without_pictures(tokenizer: Tokenizer, sources: list[Source]) -> None:
    with pytest.raises(CocaSearchError, match="no captioned photos"):
        training_data(tokenizer, *sources)


def test_closing_stops_the_workers(tokenizer: Tokenizer) -> None:
    running = training_data(tokenizer, Source(pictures(8), 1.0)).batches(CONFIG, first_step=0, steps=1000)
    next(running)
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("training-views")]
    assert workers
    running.close()
    for worker in workers:
        worker.join(timeout=5)
        assert not worker.is_alive()


def test_resampling_draws_with_replacement_over_steps_and_none_twice_in_a_step(tokenizer: Tokenizer) -> None:
    data = training_data(tokenizer, Source(pictures(40), 1.0))
    steps = 20  # half an epoch each of eight pictures of forty: four epochs
    seen_once = [number for batch in batches(data, CONFIG.changed(batch_size=8), 5) for number, _ in seen(batch.pixels)]
    assert sorted(seen_once) == list(range(40))
    config = CONFIG.changed(batch_size=8, resampled=True)
    drawn = [[number for number, _ in seen(batch.pixels)] for batch in batches(data, config, steps)]
    assert all(len(set(numbers)) == 8 for numbers in drawn)
    first_epochs = [len({number for numbers in drawn[at : at + 5] for number in numbers}) for at in range(0, steps, 5)]
    # In five draws of a fifth each a picture is missed with chance 0.8 ** 5: 27 of 40 are seen.
    assert all(20 <= count <= 34 for count in first_epochs)
    assert len({number for numbers in drawn for number in numbers}) >= 38
    assert [[number for number, _ in seen(batch.pixels)] for batch in batches(data, config, steps, first=7)] == drawn[
        7:
    ]
