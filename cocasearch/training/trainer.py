"""The training loop: starting point and data in, a model folder out, resumable at every moment.

The run's own state (checkpoint, log) lies beside the model folder in `<out>.run`. All randomness of a step comes from
(seed, step), and a step changes all that it changes or nothing, so a run that was stopped and resumed gives the weights
of one that was not.
"""

import dataclasses
import hashlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocasearch.captioned_data import CaptionedImage
from cocasearch.checkpoints.storage import read_model_folder, save_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.evaluation.benchmark import EvaluationReport, evaluate
from cocasearch.images.transforms import Preprocess
from cocasearch.inference.device import choose_device, keep_freed_memory
from cocasearch.inference.loaded_model import LoadedModel, image_memory_format, lay_out_image_encoder
from cocasearch.interruption import uninterrupted
from cocasearch.model.coca import CoCa
from cocasearch.training.config import TrainingConfig
from cocasearch.training.dataset import TrainingBatch, TrainingData
from cocasearch.training.gradients import Gradients, StepLosses
from cocasearch.training.objective import NameTeacher, Objective
from cocasearch.training.optimizer import WeightAverage, build_optimizers, clip_gradients, set_learning_rates
from cocasearch.training.precision import gradient_scaler
from cocasearch.training.preparation import plain_weights, prepare
from cocasearch.training.run_checkpoint import RunCheckpoint, refuse_taken_folder, run_folder_of
from cocasearch.training.run_log import RunLog
from cocasearch.training.schedule import caption_share
from cocasearch.training.starting_point import StartingPoint

MAX_LOGIT_SCALE = 4.605170185988092  # ln 100, OpenCLIP's clamp


@dataclass(frozen=True)
class TrainingProgress:
    """Where a run stands after a step. Losses are averages over the last steps, rates in captioned pictures."""

    step: int
    steps: int
    contrastive_loss: float
    caption_loss: float
    name_loss: float
    images_per_second: float
    seconds_left: float
    validation: EvaluationReport | None = None


@dataclass(frozen=True)
class TrainingResult:
    """A finished run: the model folder, its best validation and the pictures that could not be read."""

    folder: Path
    fingerprint: str
    steps: int
    validation: EvaluationReport | None
    unreadable: dict[str, str]


@dataclass
class _State:
    """What changes while a run goes on, besides weights; stored in the checkpoint."""

    step: int = 0
    best: float = -1.0
    best_step: int = 0
    validated_step: int = 0
    losses: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])


class Trainer:
    """One training run.

    Args:
        start: The model as it is now; its weights are changed in place.
        data: Sources, tokenized.
        config: How to train.
        out: The model folder to write.
        held_out: Captioned pictures for validation; the best validated weights are kept, else the last.
        teacher: Adds the name loss.
        progress: Called after every step.
        card: Text of the model card.
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
        self.device = choose_device(device)
        self.model = start.model.to(self.device)
        lay_out_image_encoder(self.model)
        prepare(self.model, config)
        if teacher is not None:
            teacher.place(self.device)
        self.objective = Objective(self.model, start.tokenizer, config, teacher)
        self.scaler = gradient_scaler(config, self.device)
        self.gradients = Gradients(self.objective, config, scaler=self.scaler)
        self.optimizers = build_optimizers(self.model, config)
        self.average = WeightAverage(self.model, config.ema_decay)
        self.steps_per_pass = data.steps_per_pass(config)
        self.steps = max(1, round(config.passes * self.steps_per_pass))
        self.thaw_step = min(self.steps, round(min(config.frozen_passes, config.passes) * self.steps_per_pass))
        self.state = _State()
        self._log = RunLog(self.run_folder / "log.jsonl")
        self._checkpoint = RunCheckpoint(self.run_folder)
        self.best_report: EvaluationReport | None = None

    @property
    def run_folder(self) -> Path:
        """Where the checkpoint and the log lie while the run goes on."""
        return run_folder_of(self.out)

    def run(self) -> TrainingResult:
        """Train to the end, going on from the checkpoint if there is one, and write the model folder.

        Raises:
            CocaSearchError: Another run's checkpoint or a folder that is no model is in the way, or a loss is no
                longer a number.
        """
        refuse_taken_folder(self.out)
        self._resume()
        self._checkpoint.begin()
        self._log.keep_until(self.state.step)
        saved_at, started_at, first_step = time.monotonic(), time.monotonic(), self.state.step
        batches = self.data.batches(self.config, first_step=first_step, steps=self.steps)
        try:
            if self._is_validation_due():  # the run was stopped in the middle of a validation
                self._validate()
            for batch in batches:
                losses = self._step(batch)
                report = self._validate() if self._is_validation_due() else None
                self._report(losses, report, time.monotonic() - started_at, self.state.step - first_step)
                if time.monotonic() - saved_at > 60 * self.config.checkpoint_minutes:
                    self._save_checkpoint()
                    saved_at = time.monotonic()
        except KeyboardInterrupt:
            self._save_checkpoint()
            raise
        finally:
            batches.close()
        return self._finish()

    def _step(self, batch: TrainingBatch) -> StepLosses:
        config, step = self.config, self.state.step
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
            raise CocaSearchError(
                f"the loss is no longer a number at step {step + 1}",
                hint="a lower learning rate; the last checkpoint is kept",
            )
        with uninterrupted():
            self._update(step, leave_out=overflows)
        return losses

    def _update(self, step: int, *, leave_out: bool) -> None:
        for optimizer in self.optimizers:
            if not leave_out:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        self.average.update(self.model, step)
        self.state.step += 1

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
        every = max(1, self.steps // max(1, self.config.validations))
        # The first validation waits for a model worth measuring; the last step always has one.
        return self.state.step == self.steps or self.state.step % every == 0

    def _validate(self) -> EvaluationReport:
        report = evaluate(self._averaged_model(), self.held_out, caption_options=None, batch_size=64)
        self.data.unreadable.update(report.unreadable)
        score = retrieval_score(report)
        if score >= self.state.best:  # of equals the one that was trained longer
            self._write_model(report)
            self.best_report = report
            self.state.best, self.state.best_step = score, self.state.step
        self.state.validated_step = self.state.step
        return report

    def _averaged_model(self) -> LoadedModel:
        with torch.device("meta"):
            model = CoCa(self.model.config)
        model.load_state_dict(plain_weights(self.average.weights, self.config), assign=True)
        preprocess = Preprocess(self.start.preprocess)
        return LoadedModel(
            self.out.name, model.eval(), self.start.tokenizer, preprocess, "in training", self.device, torch.float32
        )

    def _write_model(self, report: EvaluationReport | None) -> str:
        provenance = {
            **self.start.provenance,
            "training": dataclasses.asdict(self.config),
            "trained_steps": self.state.step,
            "pictures": [len(source.images) for source in self.data.sources],
            "torch": torch.__version__,
        }
        if report is not None:
            provenance["validation"] = report.to_dict()
        return save_model_folder(
            self.out,
            plain_weights(self.average.weights, self.config),
            config=self.model.config,
            preprocess=self.start.preprocess,
            tokenizer=self.start.tokenizer,
            provenance=provenance,
            card=self.card,
        )

    def _report(self, losses: StepLosses, report: EvaluationReport | None, seconds: float, done: int) -> None:
        latest = [float(losses.contrastive), float(losses.caption), float(losses.name)]
        weight = 1 / min(self.state.step, 20)
        self.state.losses = [
            (1 - weight) * old + weight * new for old, new in zip(self.state.losses, latest, strict=True)
        ]
        contrastive, caption, name = self.state.losses
        progress = TrainingProgress(
            step=self.state.step,
            steps=self.steps,
            contrastive_loss=contrastive,
            caption_loss=caption,
            name_loss=name,
            images_per_second=done * self.config.images_per_step / seconds,
            seconds_left=(self.steps - self.state.step) * seconds / done,
            validation=report,
        )
        entry = dataclasses.asdict(dataclasses.replace(progress, validation=None))
        self._log.add({**entry, "validation": report.to_dict() if report else None})
        self.progress(progress)

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a checkpoint to belong to this run, as JSON types."""
        settings = dataclasses.asdict(self.config)
        del settings["checkpoint_minutes"]
        teacher, labelled = self.objective.teacher, self.data.labelled
        identity = {
            "config": settings,
            "architecture": self.model.config.to_dict(),
            "pictures": [len(source.images) for source in self.data.sources],
            "weights": [source.weight for source in self.data.sources],
            "started_from": self.start.provenance,
            "tokenizer": hashlib.blake2b(self.start.tokenizer.to_json().encode(), digest_size=8).hexdigest(),
            "held_out": len(self.held_out),
            "classes": len(teacher.class_names) if teacher else 0,
            "labelled": len(labelled.images) if labelled else 0,
        }
        stored: dict[str, Any] = json.loads(json.dumps(identity))
        return stored

    def _save_checkpoint(self) -> None:
        contents = {
            "state": dataclasses.asdict(self.state),
            "best_report": self.best_report,
            "model": self.model.state_dict(),
            "average": self.average.weights,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "scaler": self.scaler.state_dict(),
        }
        self._checkpoint.save(contents, self._identity())

    def _resume(self) -> None:
        contents = self._checkpoint.load(self._identity(), self.device)
        if contents is None:
            return
        self.model.load_state_dict(contents["model"])
        self.average.weights = contents["average"]
        for optimizer, state in zip(self.optimizers, contents["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.scaler.load_state_dict(contents.get("scaler", {}))
        self.state = _State(**contents["state"])
        self.best_report = contents.get("best_report")

    def _finish(self) -> TrainingResult:
        fingerprint = read_model_folder(self.out).fingerprint if self.held_out else self._write_model(None)
        self._checkpoint.finish()
        return TrainingResult(self.out, fingerprint, self.steps, self.best_report, self.data.unreadable)


def retrieval_score(report: EvaluationReport) -> float:
    """The figure by which weights are chosen: the mean recall@10 of both directions, then recall@1.

    On a dozen pictures almost anything has the right one among the first ten, and recall@1 must decide.
    """
    ways = report.retrieval.text_to_image, report.retrieval.image_to_text
    return sum(way.at[10] + 1e-6 * way.at[1] for way in ways) / 2
