"""A model that learns step by step: a batch in, changed weights out.

All randomness of a step comes from (seed, step), and a step changes all that it changes or nothing, so a run that was
stopped and resumed gives the weights of one that was not. Several processes take each step together. Knows nothing
about files, nor about what the weights are worth.
"""

import dataclasses
import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cocasearch.inference.device import give_back_freed_memory
from cocasearch.inference.loaded_model import image_memory_format
from cocasearch.interruption import uninterrupted
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import TrainingBatch
from cocasearch.training.failures import NotANumberError
from cocasearch.training.losses.objective import Objective
from cocasearch.training.losses.step_losses import StepLosses
from cocasearch.training.model.precision import gradient_scaler
from cocasearch.training.step.gradients import Gradients
from cocasearch.training.step.optimizer import WeightAverage, build_optimizers, clip_gradients, set_learning_rates
from cocasearch.training.step.processes import Processes
from cocasearch.training.step.schedule import caption_ramp
from cocasearch.training.step.sharding import divided_as, load_model, load_moments, stored_moments, whole

MAX_LOGIT_SCALE = 4.605170185988092  # ln 100, OpenCLIP's clamp
# What is given back to the kernel has to be asked for again: in every step that took a tenth of its time.
_STEPS_PER_TIDYING = 16


class Learner:
    """The model of one run, or this process's part in it.

    Args:
        objective: The model, made ready on its device, and its losses.
        config: How to train.
        processes: Those that take each step together.
        steps_per_epoch: Steps of one epoch.

    Attributes:
        step: How many steps are taken.
        steps: How many there are in the whole run.
        unfreeze_step: The first one that trains the image encoder.
    """

    def __init__(
        self, objective: Objective, config: TrainingConfig, processes: Processes, steps_per_epoch: int
    ) -> None:
        self.objective, self.config, self.model = objective, config, objective.model
        self.device = self.model.logit_scale.device
        self.scaler = gradient_scaler(config, self.device)
        self.gradients = Gradients(objective, config, processes, self.scaler)
        self.optimizers = build_optimizers(self.model, config)
        self.average = WeightAverage(self.model, config.optimization.ema_decay)
        self.step = 0
        self.steps = max(1, round(config.data.epochs * steps_per_epoch))
        self.unfreeze_step = min(
            self.steps, round(min(config.freezing.frozen_epochs, config.data.epochs) * steps_per_epoch)
        )
        self._is_updating = False

    @property
    def is_whole(self) -> bool:
        """Whether no step was broken off while it changed the weights: what is changed in part is worth nothing."""
        return not self._is_updating

    def take_step(self, batch: TrainingBatch) -> StepLosses:
        """Take one step on a batch, this process's share of it; its losses.

        Raises:
            NotANumberError: A loss or a gradient is no number; nothing is changed.
        """
        config, step = self.config, self.step
        if self.device.type == "cpu" and step % _STEPS_PER_TIDYING == 0:
            give_back_freed_memory()
        self.model.train()
        set_learning_rates(self.optimizers, config, step=step, steps=self.steps, unfreeze_step=self.unfreeze_step)
        losses = self.gradients.compute(
            self._on_device(batch),
            encoder_is_frozen=step < self.unfreeze_step,
            rng=random.Random(f"{config.run.seed}/{step}/names"),
            seed=hash((config.run.seed, step)) & 0x7FFFFFFF,  # of dropout; ints hash to the same everywhere
            ramp=caption_ramp(config, step, self.steps),
        )
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        norm = clip_gradients(self.model.parameters(), config)
        # Scaled up for float16, gradients may grow too large; the scale then shrinks.
        overflows = self.scaler.is_enabled() and not torch.isfinite(norm)
        if not torch.isfinite(losses.total + (0 if overflows else norm)):
            raise NotANumberError(step)
        with uninterrupted():
            self._update(skip=overflows)
        return losses

    def stored(self) -> dict[str, Any]:
        """All that the next step goes on from, whole; in all processes, or in none."""
        return {
            "model": whole(self.model.state_dict()),
            "average": whole(self.average.weights),
            "optimizers": [stored_moments(optimizer, self.model) for optimizer in self.optimizers],
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, stored: Mapping[str, Any], step: int) -> None:
        """Go on from what was `stored` after so many steps, by any number of processes."""
        load_model(self.model, stored["model"])
        present = self.average.weights
        self.average.weights = {name: divided_as(x, present[name]) for name, x in stored["average"].items()}
        for optimizer, moments in zip(self.optimizers, stored["optimizers"], strict=True):
            load_moments(optimizer, self.model, moments)
        self.scaler.load_state_dict(stored["scaler"])
        self.step = step

    def _update(self, *, skip: bool) -> None:
        self._is_updating = True
        for optimizer in self.optimizers:
            if not skip:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        self.average.update(self.model, self.step)
        self.step += 1
        self._is_updating = False

    def _on_device(self, batch: TrainingBatch) -> TrainingBatch:
        layout = image_memory_format(self.model.config)
        moved = {}
        for item in dataclasses.fields(batch):
            value: Tensor = getattr(batch, item.name).to(self.device)
            moved[item.name] = value.contiguous(memory_format=layout) if value.ndim == 4 else value
        return TrainingBatch(**moved)
