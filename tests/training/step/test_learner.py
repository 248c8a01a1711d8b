"""What a step changes: what may learn and nothing else, within its bounds, and nothing at all where it went wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cocasearch.errors import CocaSearchError
from cocasearch.training.losses.step_losses import StepLosses
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.step.learner import MAX_LOGIT_SCALE
from cocasearch.training.trainer import Trainer


@pytest.mark.parametrize("convolutional", [True, False])
def test_the_encoder_moves_when_it_may(runs, new_start, tmp_path: Path, convolutional: bool) -> None:
    encoders: dict[int, dict[str, Tensor]] = {}

    def progress(progress: TrainingProgress) -> None:
        state = trainer.model.image_encoder.state_dict()
        encoders[progress.step] = {name: value.clone() for name, value in state.items()}

    start = new_start(convolutional=convolutional)
    first = {name: value.clone() for name, value in start.model.image_encoder.state_dict().items()}
    whole = {name: value.clone() for name, value in start.model.state_dict().items()}
    config = runs.trainer(tmp_path).config.changed(weight_decay=0.5)  # decay moves nothing either
    trainer = runs.trainer(
        tmp_path / "model", config=config, progress=progress, start=start, held_out=0, names=convolutional
    )
    assert trainer.learner.unfreeze_step == 8
    trainer.run()
    assert all(torch.equal(encoders[8][name], value) for name, value in first.items())
    still = {name for name, value in first.items() if torch.equal(encoders[16][name], value)}
    assert still == {name for name in first if not name.startswith(("head.", "blocks.1.", "blocks.2."))}
    others = [name for name, value in whole.items() if torch.equal(trainer.model.state_dict()[name], value)]
    assert others == [f"image_encoder.{name}" for name in first if name in still]  # everything else has moved


def test_an_encoder_that_is_frozen_for_good(runs, tmp_path: Path) -> None:
    trainer = runs.plain(tmp_path / "model", frozen_epochs=float("inf"), frozen_blocks=0)
    first = {name: value.clone() for name, value in trainer.model.image_encoder.state_dict().items()}
    trainer.run()
    assert all(torch.equal(trainer.model.image_encoder.state_dict()[name], value) for name, value in first.items())


@pytest.mark.parametrize(("start_at", "end_at"), [(10.0, MAX_LOGIT_SCALE), (-3.0, 0.0)])
def test_the_logit_scale_stays_within_its_bounds(runs, tmp_path: Path, start_at: float, end_at: float) -> None:
    trainer = runs.plain(tmp_path / "model", learning_rate=1e-5)
    trainer.model.logit_scale.data.fill_(start_at)
    trainer.run()
    assert trainer.model.logit_scale.item() == pytest.approx(end_at, abs=1e-3)
    assert 0 <= trainer.model.logit_scale.item() <= MAX_LOGIT_SCALE + 1e-6


def test_gradients_are_clipped(runs, tmp_path: Path) -> None:
    def change(norm: float) -> float:
        trainer = runs.plain(
            tmp_path / str(norm), optimizer="adamw", weight_decay=0, warmup=0, epochs=0.25, max_gradient_norm=norm
        )
        before = trainer.model.text_decoder.projection.weight.detach().clone()
        trainer.run()
        return float((trainer.model.text_decoder.projection.weight.detach() - before).abs().max())

    # Far below AdamW's epsilon a gradient moves next to nothing; unclipped it moves by the learning rate.
    assert change(1e-12) < 1e-5 < 5e-4 < change(1.0)


def bad_at(trainer: Trainer, step: int, what: str) -> None:
    """Make the loss or a gradient of one step no number."""
    compute = trainer.learner.gradients.compute

    def spoiled(*arguments: object, **options: object) -> StepLosses:
        found = compute(*arguments, **options)
        if trainer.learner.step + 1 != step:
            return found
        if what == "loss":
            return replace(found, total=found.total * torch.nan)
        trainer.model.logit_scale.grad.fill_(torch.nan)
        return found

    trainer.learner.gradients.compute = spoiled  # type: ignore[method-assign]


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_no_number_stops_the_run_before_it_does_harm(runs, tmp_path: Path, what: str) -> None:
    trainer = runs.plain(tmp_path / "model", checkpoint_minutes=0)
    bad_at(trainer, 3, what)
    with pytest.raises(CocaSearchError, match="no longer a number at step 3") as caught:
        trainer.run()
    assert "lower learning rate" in str(caught.value.hint)
    assert all(value.isfinite().all() for value in trainer.model.state_dict().values())
    again = runs.plain(tmp_path / "model", checkpoint_minutes=0)
    again.run()  # from the checkpoint of step 2
    whole = runs.plain(tmp_path / "whole")
    whole.run()
    assert all(torch.equal(value, whole.model.state_dict()[name]) for name, value in again.model.state_dict().items())


def test_bfloat16_trains_as_float32_does(runs, tmp_path: Path) -> None:
    ends = []
    for precision in ("float32", "bfloat16"):
        trainer = runs.plain(tmp_path / precision, precision=precision, epochs=2.0)
        trainer.run()
        assert {value.dtype for value in trainer.model.state_dict().values()} == {torch.float32}
        ends.append(trainer.state.losses)
    assert ends[0] != ends[1]
    assert ends[1] == pytest.approx(ends[0], abs=0.1)
