"""Narrow types compute nearly what float32 does, and lose none of what is learned."""

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cocasearch.captioned_data import CaptionedImage
from cocasearch.images.transforms import Preprocess
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import Source, TrainingData
from cocasearch.training.losses.objective import Objective
from cocasearch.training.model.precision import autocast_dtype, convert_weights, gradient_scaler
from cocasearch.training.model.preparation import prepare
from cocasearch.training.model.starting_point import StartingPoint
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.step.gradients import Gradients
from cocasearch.training.step.optimizer import build_optimizers
from cocasearch.training.step.split_adamw import joined
from cocasearch.training.trainer import Trainer

CPU = torch.device("cpu")


def test_each_precision_has_its_types(new_start) -> None:
    expected = {
        "float32": (None, torch.float32),
        "bfloat16": (torch.bfloat16, torch.float32),
        "float16": (torch.float16, torch.float32),
        "pure_bfloat16": (torch.bfloat16, torch.bfloat16),
    }
    for precision, (products, weights) in expected.items():
        model, config = (
            new_start(convolutional=False).model,
            TrainingConfig().changed(precision=precision, optimizer="adamw"),
        )
        convert_weights(model, config)
        assert autocast_dtype(config, CPU) == products
        types = {name: value.dtype for name, value in model.state_dict().items()}
        assert types.pop("logit_scale") == torch.float32  # 8 bits are too few for a temperature
        assert set(types.values()) == {weights}
        assert gradient_scaler(config, CPU).is_enabled() == (precision == "float16")


def test_a_convolutional_encoder_stays_float32(new_start) -> None:
    model = new_start().model
    convert_weights(model, TrainingConfig().changed(precision="pure_bfloat16", optimizer="adamw"))
    assert {p.dtype for p in model.image_encoder.parameters()} == {torch.float32}
    assert {p.dtype for p in model.text_decoder.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("convolutional", [True, False])
@pytest.mark.parametrize("precision", ["bfloat16", "float16", "pure_bfloat16"])
def test_losses_and_gradients_are_nearly_those_of_float32(
    new_start, drawings, precision: str, convolutional: bool
) -> None:
    found, expected = (step_of(new_start(convolutional=convolutional), drawings, p) for p in (precision, "float32"))
    (loss, gradient), (float32_loss, float32_gradient) = found, expected
    assert loss != float32_loss  # it did compute in the narrow type
    assert loss == pytest.approx(float32_loss, abs=0.1)
    assert torch.cosine_similarity(gradient, float32_gradient, dim=0) > (0.999 if precision == "float16" else 0.98)


def step_of(start: StartingPoint, images: list[CaptionedImage], precision: str) -> tuple[float, Tensor]:
    """Loss and unscaled gradients of one step, in one vector."""
    config = TrainingConfig().changed(precision=precision, optimizer="adamw", dropout=0.0, frozen_blocks=0)
    data = TrainingData([Source(images, 1.0)], start.tokenizer, Preprocess(start.preprocess), 24)
    batch = next(data.batches(config.changed(batch_size=6), first_step=0, steps=1))
    prepare(start.model, config, {})
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0, enabled=precision == "float16")
    step = Gradients(Objective(start.model, start.tokenizer, config), config, scaler=scaler)
    losses = step.compute(batch, encoder_is_frozen=False, rng=random.Random(0))
    for optimizer in build_optimizers(start.model, config):
        scaler.unscale_(optimizer)
    return float(losses.total), torch.cat([p.grad.float().flatten() for _, p in start.model.named_parameters()])


@pytest.mark.parametrize("precision", ["pure_bfloat16", "float16"])
def test_a_run_in_a_narrow_type_learns_as_one_in_float32(runs, tmp_path: Path, precision: str) -> None:
    settings = {"epochs": 3.0, "optimizer": "adamw", "ema_decay": 0.0, "learning_rate": 1e-4, "weight_decay": 0.0}
    narrow, plain = (runs.plain(tmp_path / p, precision=p, **settings) for p in (precision, "float32"))
    before = {name: value.clone().float() for name, value in plain.model.state_dict().items()}
    if precision == "float16":  # the usual scale is too large for so few pictures, and would lose the first steps
        narrow.learner.scaler = narrow.learner.gradients._scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    narrow.run()
    plain.run()
    assert narrow.state.losses == pytest.approx(plain.state.losses, abs=0.05)
    # Steps of 1e-4 are lost on bfloat16 weights of ordinary size, and yet all that was learned is there.
    moved = torch.cat([(value - before[name]).flatten() for name, value in plain.model.state_dict().items()])
    exact = weights_of(narrow)
    found = torch.cat([(exact[name] - before[name]).flatten() for name in before])
    assert torch.cosine_similarity(found, moved, dim=0) > 0.9
    assert float(found.norm()) == pytest.approx(float(moved.norm()), rel=0.1)


def weights_of(trainer: Trainer) -> dict[str, Tensor]:
    """The weights in float32, with what the optimizer keeps of them."""
    (optimizer,) = trainer.learner.optimizers
    return {
        name: joined(value.detach(), optimizer.state[value]["lower"])
        if "lower" in optimizer.state[value]
        else value.detach()
        for name, value in trainer.model.named_parameters()
    }


def test_a_step_that_overflows_float16_is_left_out(runs, tmp_path: Path) -> None:
    trainer = runs.plain(tmp_path / "model", precision="float16")
    learner = trainer.learner
    learner.scaler = learner.gradients._scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120, backoff_factor=2**-55)
    scales, weights = [], []

    def note(_: TrainingProgress) -> None:
        scales.append(learner.scaler.get_scale())
        weights.append(trainer.model.text_decoder.projection.weight.detach().clone())

    trainer.progress = note
    before = trainer.model.text_decoder.projection.weight.detach().clone()
    trainer.run()
    assert [scale == 2.0**120 / 2 ** (55 * lost) for lost, scale in zip((1, 2, 2, 2), scales, strict=True)] == 4 * [
        True
    ]
    assert torch.equal(weights[0], before)
    assert torch.equal(weights[1], before)
    assert not torch.equal(weights[2], before)
