"""The sigmoid loss in a run: exact gradients, a bias that is learned and kept, and folders without it."""

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.images.transforms import Preprocess
from cocasearch.model.losses import sigmoid_contrastive_loss
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import Source, TrainingData
from cocasearch.training.losses.objective import Objective
from cocasearch.training.model.preparation import prepare
from cocasearch.training.model.starting_point import from_model_folder
from cocasearch.training.step.gradients import Gradients

CONFIG = TrainingConfig().changed(
    batch_size=7,
    captions_per_image=2,
    dropout=0,
    frozen_blocks=0,
    precision="float32",
    contrastive_loss="sigmoid",
    objective="contrastive",
)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_gradients_are_those_of_the_formula(new_start, drawings, accumulation: int) -> None:
    start, config = new_start(convolutional=False), CONFIG.changed(accumulation=accumulation)
    prepare(start.model, config, {})
    assert start.model.logit_scale.item() == pytest.approx(math.log(10))
    assert start.model.logit_bias.item() == -10
    data = TrainingData([Source(drawings, 1.0)], start.tokenizer, Preprocess(start.preprocess), 24)
    batch = next(data.batches(config, first_step=0, steps=1))
    step = Gradients(Objective(start.model, start.tokenizer, config), config)
    losses = step.compute(batch, encoder_is_frozen=False, rng=random.Random(1))
    found = {name: p.grad.clone() for name, p in start.model.named_parameters() if p.grad is not None}

    start.model.zero_grad()
    model = start.model
    image, text = model.encode_image(batch.pixels), model.encode_text(batch.ids)
    expected = sigmoid_contrastive_loss(image, text, batch.owners, model.logit_scale.exp(), model.logit_bias)
    expected.backward()
    torch.testing.assert_close(losses.total, expected.detach())
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-6, msg=name)
    assert found["logit_bias"].abs() > 1e-3


def test_a_run_learns_the_bias_and_a_later_one_goes_on_from_it(runs, tmp_path: Path) -> None:
    settings = {"contrastive_loss": "sigmoid", "sigmoid_temperature": 5.0, "sigmoid_bias": -4.0, "ema_decay": 0.0}
    trainer = runs.plain(tmp_path / "first", optimizer="adamw", learning_rate=1e-2, **settings)
    assert trainer.model.logit_scale.item() == pytest.approx(math.log(5))
    assert trainer.model.logit_bias.item() == -4
    trainer.run()
    bias, scale = trainer.model.logit_bias.item(), trainer.model.logit_scale.item()
    assert abs(bias + 4) > 1e-3
    stored = read_model_folder(tmp_path / "first")
    assert "logit_bias" not in stored.load_model().state_dict()
    assert stored.provenance["logit_bias"] == pytest.approx(bias)

    start = from_model_folder(tmp_path / "first")
    prepare(start.model, trainer.config, start.provenance)
    assert start.model.logit_bias.item() == pytest.approx(bias)
    assert start.model.logit_scale.item() == pytest.approx(scale, abs=1e-2)  # stored in float16


def test_a_softmax_run_after_it_forgets_the_bias(runs, tmp_path: Path) -> None:
    start = replace(runs.new_start(), provenance={"logit_bias": -3.0, "preset": "toy"})
    config = runs.plain(tmp_path / "none").config.changed(epochs=0.25)
    runs.trainer(tmp_path / "model", config=config, start=start, held_out=0, names=False).run()
    assert "logit_bias" not in read_model_folder(tmp_path / "model").provenance
