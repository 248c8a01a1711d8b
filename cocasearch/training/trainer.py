"""The training loop: starting point and data in, a model folder out, resumable at every moment.

The run's own state (checkpoint, log) lies beside the model folder in `<out>.run`. All randomness of a step comes from
(seed, step), and a step changes all that it changes or nothing, so a run that was stopped and resumed gives the weights
of one that was not. Several processes go through the loop in step; the first alone validates, writes and tells.
"""

import dataclasses
import math
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocasearch.captioned_data import CaptionedImage
from cocasearch.checkpoints.storage import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.evaluation.benchmark import EvaluationReport, evaluate
from cocasearch.inference.device import give_back_freed_memory, keep_freed_memory
from cocasearch.inference.loaded_model import image_memory_format
from cocasearch.interruption import stopping, uninterrupted
from cocasearch.training.config import TrainingConfig
from cocasearch.training.dataset import TrainingBatch, TrainingData
from cocasearch.training.failures import STEADYING, NotANumberError, explained
from cocasearch.training.gradients import Gradients, StepLosses
from cocasearch.training.judging import caption_loss, score
from cocasearch.training.name_teacher import NameTeacher
from cocasearch.training.optimizer import (
    WeightAverage,
    build_optimizers,
    clip_gradients,
    learning_rates,
    set_learning_rates,
)
from cocasearch.training.precision import gradient_scaler
from cocasearch.training.preparation import prepared_objective
from cocasearch.training.processes import Processes, device_of_process, has_lost_launcher
from cocasearch.training.progress import ProgressReport, TrainingProgress
from cocasearch.training.run_checkpoint import RunCheckpoint, refuse_taken_folder, run_folder_of, run_identity
from cocasearch.training.run_log import RunLog
from cocasearch.training.saved_passes import SavedPasses
from cocasearch.training.schedule import caption_share, is_validated
from cocasearch.training.sharding import divided_as, is_sharded, load_model, load_moments, stored_moments, whole
from cocasearch.training.starting_point import StartingPoint
from cocasearch.training.trained_model import TrainedModel

MAX_LOGIT_SCALE = 4.605170185988092  # ln 100, OpenCLIP's clamp


@dataclass(frozen=True)
class TrainingResult:
    """A finished run: the model folder, its best validation and the pictures that could not be read.

    `not_copied` says why its last state is not at the remote place that it was to be copied to.
    """

    folder: Path
    fingerprint: str
    steps: int
    validation: EvaluationReport | None
    unreadable: dict[str, str]
    not_copied: str = ""


@dataclass
class _State:
    """What changes while a run goes on, besides weights; stored in the checkpoint."""

    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    validated_step: int = 0
    losses: list[float] = field(default_factory=lambda: [0.0] * 5)


class Trainer:
    """One training run, or this process's part in it.

    Args:
        start: The model as it is now; its weights are changed in place.
        data: Sources, tokenized.
        config: How to train.
        out: The model folder to write.
        held_out: Captioned pictures for validation; the best validated weights are kept, else the last.
        teacher: Adds the name loss.
        progress: Called after every step.
        card: Text of the model card.
        device: "auto", "cpu" or "cuda".
    """

    def __init__(
        self,
        start: StartingPoint,
        data: TrainingData,
        config: TrainingConfig,
        out: Path,
        *,
        held_out: list[CaptionedImage] | None = None,
        teacher: NameTeacher | None = None,
        progress: Callable[[TrainingProgress], None] | None = None,
        card: str = "",
        device: str = "auto",
    ) -> None:
        keep_freed_memory()
        self.start, self.data, self.config, self.out = start, data, config, out
        self.held_out = held_out or []
        self.progress = progress or (lambda _: None)
        self.card = card
        self.device = device_of_process(device)
        self.processes = Processes.join(self.device)
        self.model = start.model
        self.objective = prepared_objective(start, config, self.device, teacher)
        self.scaler = gradient_scaler(config, self.device)
        self.gradients = Gradients(self.objective, config, self.processes, self.scaler)
        self.optimizers = build_optimizers(self.model, config)
        self.average = WeightAverage(self.model, config.ema_decay)
        self.steps_per_pass = data.steps_per_pass(config)
        self.steps = max(1, round(config.passes * self.steps_per_pass))
        self.thaw_step = min(self.steps, round(min(config.frozen_passes, config.passes) * self.steps_per_pass))
        self.state = _State()
        self._is_updating = False
        self._kept = 0  # steps
        self._is_asked_to_stop: Callable[[], bool] = lambda: False
        self._checkpoint = RunCheckpoint(self.run_folder)
        self.best_report: EvaluationReport | None = None

    @property
    def run_folder(self) -> Path:
        """Where the checkpoint and the log lie while the run goes on."""
        return run_folder_of(self.out)

    def run(self, *, forget: bool = True) -> TrainingResult:
        """Train to the end, going on from the checkpoint if there is one, and write the model folder.

        Args:
            forget: The run is over then. Otherwise it is only at its end: called again it comes back there, until
                `forget` is called.

        Raises:
            CocaSearchError: Another run's checkpoint or a folder that is no model is in the way; a loss is no longer a
                number, or a step does not fit in memory, and what was done is kept.
        """
        self.processes.once(lambda: refuse_taken_folder(self.out))
        self._resume()
        self.processes.once(self._checkpoint.begin)
        # Processes stop after the same step: none may leave while others wait for it in the middle of one.
        with stopping(at_once=self.processes.count == 1) as self._is_asked_to_stop:
            try:
                self._go_on()
            except KeyboardInterrupt:
                self._save_checkpoint()
                raise
            except Exception as error:
                self._save_after(error)
                pictures = -(-self.config.images_per_step // self.processes.count)
                step, kept = self.state.step, self._kept
                if (reason := explained(error, self.config, step=step, kept=kept, pictures=pictures)) is not None:
                    raise reason from error
                raise
        result = self._result()
        if forget:
            self.forget()
        else:
            self._save_checkpoint()
        return result

    def refuse_other_run(self) -> None:
        """Make sure that `run` will not find another run's checkpoint, which `run` would say only when it begins.

        Raises:
            CocaSearchError: It would.
        """
        self._checkpoint.refuse_other(self._identity())

    def forget(self) -> None:
        """Drop the checkpoint of a run that is over: what it made is a finished model now."""
        self.processes.once(self._checkpoint.finish)

    def _go_on(self) -> None:
        rank, processes = self.processes.rank, self.processes.count
        first_step, saved_at, report = self.state.step, time.monotonic(), self._new_report()
        batches = self.data.batches(
            self.config, first_step=first_step, steps=self.steps, rank=rank, processes=processes
        )
        try:
            if self._is_validation_due():  # the run was stopped in the middle of a validation
                self._validate()
            for batch in batches:
                losses = self.step(batch)
                validation = self._validate() if self._is_validation_due() else None
                self._save_pass()
                report.add(
                    self.state.step,
                    self.state.losses,
                    losses,
                    validation,
                    logit_scale=float(self.model.logit_scale.detach().exp()),
                    rates=learning_rates(self.optimizers),
                )
                if self.processes.any(time.monotonic() - saved_at > 60 * self.config.checkpoint_minutes):
                    self._save_checkpoint()
                    saved_at = time.monotonic()
                if self.processes.any(self._is_asked_to_stop() or has_lost_launcher()):
                    raise KeyboardInterrupt
        finally:
            batches.close()

    def _new_report(self) -> ProgressReport:
        log = RunLog(self.run_folder / "log.jsonl" if self.processes.is_first else None)
        log.keep_until(self.state.step)
        return ProgressReport(
            log,
            self.progress if self.processes.is_first else lambda _: None,
            images_per_step=self.config.images_per_step,
            steps=self.steps,
            first_step=self.state.step,
        )

    def step(self, batch: TrainingBatch) -> StepLosses:
        """Take one step on a batch, this process's share of it; its losses."""
        config, step = self.config, self.state.step
        if self.device.type == "cpu":
            give_back_freed_memory()
        self.model.train()
        set_learning_rates(self.optimizers, config, step=step, steps=self.steps, thaw_step=self.thaw_step)
        losses = self.gradients.compute(
            self._placed(batch),
            encoder_is_frozen=step < self.thaw_step,
            chance=random.Random(f"{config.seed}/{step}/names"),
            seed=hash((config.seed, step)) & 0x7FFFFFFF,  # of dropout; ints hash to the same everywhere
            caption_share=caption_share(config, step, self.steps),
        )
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        norm = clip_gradients(self.model.parameters(), config)
        # Scaled up for float16, gradients may grow too large; the scale then shrinks.
        overflows = self.scaler.is_enabled() and not torch.isfinite(norm)
        if not torch.isfinite(losses.total + (0 if overflows else norm)):
            raise NotANumberError(step)
        with uninterrupted():
            self._update(step, leave_out=overflows)
        return losses

    def _update(self, step: int, *, leave_out: bool) -> None:
        self._is_updating = True
        for optimizer in self.optimizers:
            if not leave_out:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        self.average.update(self.model, step)
        self.state.step += 1
        self._is_updating = False

    def _placed(self, batch: TrainingBatch) -> TrainingBatch:
        layout = image_memory_format(self.model.config)
        moved = {}
        for item in dataclasses.fields(batch):
            value: Tensor = getattr(batch, item.name).to(self.device)
            moved[item.name] = value.contiguous(memory_format=layout) if value.ndim == 4 else value
        return TrainingBatch(**moved)

    def _is_validation_due(self) -> bool:
        if not self.held_out or self.state.validated_step == self.state.step:
            return False
        return is_validated(self.config, self.state.step, self.steps)

    def _validate(self) -> EvaluationReport:
        weights = whole(self.average.weights)
        report = self.processes.once(lambda: self._measure(weights))
        worth = score(report)
        if worth >= self.state.best:  # of equals the one that was trained longer
            self._write_model(report)
            self.best_report = report
            self.state.best, self.state.best_step = worth, self.state.step
        self.state.validated_step = self.state.step
        return report

    def _measure(self, weights: Mapping[str, Tensor]) -> EvaluationReport:
        model = self._trained.loaded(weights, self.device)
        report = evaluate(model, self.held_out, caption_options=None, batch_size=64, progress=self._stop_if_asked)
        self.data.unreadable.update(report.unreadable)
        if not self.objective.trains_retrieval:
            loss = caption_loss(model, self.held_out, self.config, self._stop_if_asked)
            report = dataclasses.replace(report, caption_loss=loss)
        return report

    def _stop_if_asked(self, *_: int) -> None:
        """Leave a validation, which may take longer than whoever ends a job waits; it is made up for."""
        if self._is_asked_to_stop():
            raise KeyboardInterrupt

    @property
    def _trained(self) -> TrainedModel:
        pictures = [len(source.images) for source in self.data.sources]
        return TrainedModel(self.start, self.config, self.out, pictures, self.card)

    def _write_model(self, report: EvaluationReport | None, folder: Path | None = None) -> str:
        weights, steps = whole(self.average.weights), self.state.step
        trained = dataclasses.replace(self._trained, folder=folder or self.out)
        return self.processes.once(lambda: trained.write(weights, steps=steps, report=report))

    def _save_pass(self) -> None:
        saved = SavedPasses(self.run_folder, self.config, self.steps_per_pass)
        if (folder := saved.folder_after(self.state.step)) is not None:
            self._write_model(None, folder)
            self.processes.once(saved.drop_older)

    def _identity(self) -> dict[str, Any]:
        classes = len(self.objective.teacher.class_names) if self.objective.teacher else 0
        larger = self.objective.larger
        return run_identity(
            self.config,
            self.start,
            self.data,
            held_out=len(self.held_out),
            classes=classes,
            larger=larger.fingerprint if larger else "",
        )

    def _save_checkpoint(self, *, is_unsteady: bool = False, together: bool = True) -> None:
        """Save all that the run goes on from; without the help of the other processes only if it is not divided."""
        if self._is_updating:  # what was changed in part is worth nothing: the last checkpoint stays
            return
        contents = {
            "state": dataclasses.asdict(self.state),
            "best_report": self.best_report,
            "model": whole(self.model.state_dict()),
            "average": whole(self.average.weights),
            "optimizers": [stored_moments(optimizer, self.model) for optimizer in self.optimizers],
            "scaler": self.scaler.state_dict(),
        }
        may_change = STEADYING if is_unsteady else ()

        def save() -> None:
            self._checkpoint.save(contents, self._identity(), may_change=may_change)

        if together:
            self.processes.once(save)
        elif self.processes.is_first:
            save()
        self._kept = self.state.step

    def _save_after(self, error: Exception) -> None:
        """Save what can be saved after a failure, which the other processes may not have met."""
        is_met_by_all = isinstance(error, NotANumberError)
        if is_met_by_all or not is_sharded(self.model):
            with suppress(CocaSearchError):  # the failure is what is to be told
                self._save_checkpoint(is_unsteady=is_met_by_all, together=is_met_by_all)

    def _resume(self) -> None:
        contents = self._checkpoint.load(self._identity(), self.device)
        if contents is None:
            return
        load_model(self.model, contents["model"])
        present = self.average.weights
        self.average.weights = {name: divided_as(x, present[name]) for name, x in contents["average"].items()}
        for optimizer, state in zip(self.optimizers, contents["optimizers"], strict=True):
            load_moments(optimizer, self.model, state)
        self.scaler.load_state_dict(contents.get("scaler", {}))
        self.state = _State(**contents["state"])
        self._kept = self.state.step
        self.state.losses += [0.0] * (5 - len(self.state.losses))  # an older checkpoint knows fewer
        self.best_report = contents.get("best_report")

    def _result(self) -> TrainingResult:
        if self.held_out:
            fingerprint = self.processes.once(lambda: read_model_folder(self.out).fingerprint)
        else:
            fingerprint = self._write_model(None)
        unreadable = {
            key: reason for found in self.processes.gather(self.data.unreadable) for key, reason in found.items()
        }
        return TrainingResult(self.out, fingerprint, self.steps, self.best_report, unreadable)
