"""A model reads other sizes than it was trained for, and as before where nothing is forced."""

import pytest
import torch

from cocasearch.checkpoints.foreign.position_resizing import resize_image_positions, resize_text_positions
from cocasearch.errors import CocaSearchError
from cocasearch.images.transforms import PreprocessConfig
from cocasearch.model.coca import CoCa
from cocasearch.training.config import TrainingConfig
from cocasearch.training.model.resizing import forced
from cocasearch.training.model.starting_point import StartingPoint

PLAIN = TrainingConfig()
IDS = torch.tensor([[1, 9, 8, 2, 0]])


@pytest.fixture
def start(tiny_coca: CoCa, tiny_tokenizer) -> StartingPoint:
    return StartingPoint(tiny_coca, tiny_tokenizer, PreprocessConfig(image_size=32))


def test_nothing_forced_is_nothing_changed(start: StartingPoint) -> None:
    assert forced(start, PLAIN) == start
    assert forced(start, PLAIN).model is start.model


def test_larger_pictures_get_resized_positions(start: StartingPoint) -> None:
    larger = forced(start, PLAIN.changed(force_image_size=48))
    assert larger.preprocess.image_size == larger.model.config.image.image_size == 48
    found, before = (point.model.image_encoder.positions for point in (larger, start))
    assert torch.equal(found, resize_image_positions(before.detach(), 6))
    with torch.no_grad():
        assert larger.model.image_encoder(torch.randn(2, 3, 48, 48)).shape == (2, 37, 32)
        same = larger.model.encode_text(IDS)
    assert torch.equal(same, start.model.encode_text(IDS))


def test_longer_texts_get_resized_positions(start: StartingPoint) -> None:
    longer = forced(start, PLAIN.changed(force_context_length=30))
    assert longer.model.config.text.context_length == longer.model.text_decoder.context_length == 30
    found, before = (point.model.text_decoder.positions.detach() for point in (longer, start))
    assert torch.equal(found, resize_text_positions(before, 31))
    assert torch.equal(found[-1], before[-1])  # the CLS's
    assert longer.model.encode_text(torch.ones(1, 30, dtype=torch.long)).shape == (1, 16)


def test_quick_gelu_changes_what_every_block_computes(start: StartingPoint) -> None:
    quick = forced(start, PLAIN.changed(force_quick_gelu=True))
    assert quick.model.config.quick_gelu
    difference = (quick.model.encode_text(IDS) - start.model.encode_text(IDS)).abs().max()
    assert 1e-6 < difference < 0.05
    assert forced(quick, PLAIN.changed(force_quick_gelu=True)).model is quick.model


def test_pictures_may_be_prepared_otherwise(start: StartingPoint) -> None:
    config = PLAIN.changed(
        force_image_mean="0.5,0.4,0.3",
        force_image_std="0.5,0.5,0.2",
        force_resize_mode="squash",
        force_interpolation="bilinear",
    )
    expected = PreprocessConfig(
        image_size=32, mean=(0.5, 0.4, 0.3), std=(0.5, 0.5, 0.2), resize_mode="squash", interpolation="bilinear"
    )
    assert forced(start, config).preprocess == expected


def test_a_convolutional_encoder_takes_any_size(new_start) -> None:
    start = new_start()
    larger = forced(start, PLAIN.changed(force_image_size=50))
    assert larger.model.image_encoder(torch.randn(1, 3, 50, 50)).shape == (1, 169, 48)
    assert all(torch.equal(value, start.model.state_dict()[name]) for name, value in larger.model.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"force_image_size": 50}, "must be a multiple of the model's patches of 8 pixels, not 50"),
        ({"force_image_mean": "gray"}, "force_image_mean takes three numbers such as 0.5,0.5,0.5, not 'gray'"),
        ({"force_image_std": "0.5"}, "std needs 3 values from 0.0001 to 10000"),
    ],
)
def test_sizes_that_do_not_fit(start: StartingPoint, settings: dict[str, object], message: str) -> None:
    with pytest.raises(CocaSearchError, match=message):
        forced(start, PLAIN.changed(**settings))
