"""Towers are divided as OpenCLIP divides them, locked layers stand still, and rates fall towards the input."""

from pathlib import Path

import pytest
import torch
from torch import nn

from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.model.coca import CoCa
from cocasearch.training.config import TrainingConfig
from cocasearch.training.model.layer_groups import image_layers, lock_towers, text_layers
from cocasearch.training.step.optimizer import build_optimizers

PLAIN = TrainingConfig().changed(optimizer="adamw", learning_rate=1e-3, encoder_learning_rate=1e-4)


def names(model: nn.Module, layers: list[list[nn.Parameter]]) -> list[set[str]]:
    """The parts of each layer by name: `blocks.0`, or the module or parameter."""
    found = {id(parameter): name for name, parameter in model.named_parameters()}
    return [{shortened(found[id(parameter)]) for parameter in layer} for layer in layers]


def shortened(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:3] if "blocks" in parts else parts[:2])


def trained(model: nn.Module) -> set[str]:
    return {shortened(name) for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_a_vit_with_one_pooler_is_divided_as_openclip_does(tiny_coca: CoCa) -> None:
    assert names(tiny_coca, image_layers(tiny_coca)) == [
        {f"image_encoder.{part}" for part in ("patches", "class_embedding", "positions", "input_norm")},
        {"image_encoder.blocks.0"},
        {"image_encoder.blocks.1", "pooling.norm"},
        {"pooling.pooler", "image_projection.weight"},
    ]


def test_each_text_half_is_divided_by_its_blocks(tiny_coca: CoCa, roberta_model_folder: Path) -> None:
    assert names(tiny_coca, text_layers(tiny_coca)) == [
        {f"text_decoder.{part}" for part in ("token_embedding", "positions", "cls_embedding")},
        {"text_decoder.blocks.0"},
        {"text_decoder.blocks.1", "text_decoder.output_norm"},
        {"text_decoder.projection"},
    ]
    model = read_model_folder(roberta_model_folder).load_model()
    assert names(model, text_layers(model)) == [
        {f"text_decoder.{part}" for part in ("token_embedding", "positions", "token_type", "input_norm")},
        {"text_decoder.blocks.0"},
        {"text_decoder.blocks.1"},
        {"text_decoder.projection"},
    ]
    assert names(model, image_layers(model))[-2:] == [
        {"image_encoder.blocks.1", "pooling.norm"},
        {"image_projection.weight"},
    ]


@pytest.mark.parametrize("convolutional", [True, False])
def test_the_towers_hold_every_parameter_of_theirs_once(new_start, convolutional: bool) -> None:
    model = new_start(convolutional=convolutional).model
    layers = [*image_layers(model), *text_layers(model)]
    found = [id(parameter) for layer in layers for parameter in layer]
    expected = [
        id(parameter)
        for name, parameter in model.named_parameters()
        if not name.startswith(("multimodal_decoder.", "logit_scale"))
    ]
    assert sorted(found) == sorted(expected)
    if convolutional:
        assert names(model, image_layers(model)) == [
            {"image_encoder.stem"},
            {"image_encoder.blocks.0"},
            {"image_encoder.blocks.1"},
            {"image_encoder.blocks.2", "image_encoder.head"},
            {"pooling.generative", "pooling.contrastive", "pooling.generative_norm", "pooling.contrastive_norm"}
            | {"image_projection.weight"},
        ]


@pytest.mark.parametrize(
    ("settings", "moving"),
    [
        ({"lock_image": True}, set()),
        ({"lock_image": True, "unlocked_image_groups": 1}, {"pooling", "image_projection"}),
        (
            {"lock_image": True, "unlocked_image_groups": 2},
            {"pooling", "image_projection", "image_encoder.blocks.2", "image_encoder.head"},
        ),
    ],
)
def test_locked_layers_keep_their_weights(runs, tmp_path: Path, settings: dict[str, object], moving: set[str]) -> None:
    trainer = runs.plain(tmp_path / "model", frozen_blocks=0, **settings)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    moved = {name for name, value in trainer.model.state_dict().items() if not torch.equal(value, before[name])}
    tower = {name for name in before if name.startswith(("image_encoder.", "pooling.", "image_projection."))}
    assert moved & tower == {name for name in tower if moving and name.startswith(tuple(moving))}
    assert moved >= before.keys() - tower


def test_a_vit_and_a_text_tower_are_locked_but_for_their_top(new_start) -> None:
    model = new_start(convolutional=False).model
    everything = trained(model)
    config = PLAIN.changed(lock_image=True, unlocked_image_groups=2, lock_text=True, unlocked_text_groups=1)
    lock_towers(model, config)
    assert everything - trained(model) == {
        "image_encoder.patches",
        "image_encoder.class_embedding",
        "image_encoder.positions",
        "image_encoder.input_norm",
        "image_encoder.blocks.0",
        "text_decoder.token_embedding",
        "text_decoder.positions",
        "text_decoder.cls_embedding",
        "text_decoder.blocks.0",
        "text_decoder.output_norm",
    }


def test_the_norms_of_locked_layers_may_be_trained(tiny_config) -> None:
    model = CoCa(tiny_config)
    lock_towers(model, PLAIN.changed(lock_text=True, freeze_layer_norm=False))
    free = {name for name, p in model.named_parameters() if p.requires_grad and name.startswith("text_decoder.")}
    expected = {f"blocks.{block}.{norm}_norm" for block in (0, 1) for norm in ("attention", "mlp")} | {"output_norm"}
    assert free == {f"text_decoder.{norm}.{kind}" for norm in expected for kind in ("weight", "bias")}


def test_more_unlocked_layers_than_there_are(tiny_config) -> None:
    with pytest.raises(CocaSearchError, match="unlocked_image_groups is 5, but the image tower has 4"):
        lock_towers(CoCa(tiny_config), PLAIN.changed(lock_image=True, unlocked_image_groups=5))


def test_nothing_left_to_train_is_refused(tiny_config) -> None:
    with pytest.raises(CocaSearchError, match="leave nothing to train"):
        build_optimizers(CoCa(tiny_config).requires_grad_(False), PLAIN)


def test_rates_fall_from_the_top_of_each_tower(tiny_coca: CoCa) -> None:
    config = PLAIN.changed(image_layer_decay=0.5, text_layer_decay=0.8)
    (optimizer,) = build_optimizers(tiny_coca, config)
    rates = {id(p): group["peak_lr"] for group in optimizer.param_groups for p in group["params"]}
    found = {shortened(name): rates[id(p)] for name, p in tiny_coca.named_parameters()}
    expected = {
        "image_encoder.patches": 1e-4 * 0.5**3,
        "image_encoder.blocks.0": 1e-4 * 0.5**2,
        "image_encoder.blocks.1": 1e-4 * 0.5,
        "pooling.norm": 1e-3 * 0.5,
        "pooling.pooler": 1e-3,
        "image_projection.weight": 1e-3,
        "text_decoder.token_embedding": 1e-3 * 0.8**3,
        "text_decoder.blocks.0": 1e-3 * 0.8**2,
        "text_decoder.output_norm": 1e-3 * 0.8,
        "text_decoder.projection": 1e-3,
        "multimodal_decoder.self_blocks": 1e-3,
        "logit_scale": 1e-3,
    }
    for name, rate in expected.items():
        (found_rate,) = {value for part, value in found.items() if part.startswith(name)}
        assert found_rate == pytest.approx(rate), name
