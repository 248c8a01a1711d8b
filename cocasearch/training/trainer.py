"""The training loop: starting point and data in, a model folder out, resumable at every moment.

The run's own state (checkpoint, log) lies beside the model folder in `<out>.run`. Several processes go through the loop
in step; the first alone validates, writes and reports.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from cocasearch.captioned_data import CaptionedImage
from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.evaluation.benchmark import EvaluationReport
from cocasearch.inference.device import keep_freed_memory
from cocasearch.interruption import stopping
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.cached_features import CachedFeatures
from cocasearch.training.data.dataset import TrainingData
from cocasearch.training.data.sentence_vectors import SentenceVectors, sentence_vectors
from cocasearch.training.data.training_words import known_after_training
from cocasearch.training.failures import STEADYING, NotANumberError, explained
from cocasearch.training.losses.name_teacher import NameTeacher
from cocasearch.training.losses.self_critical import SelfCritic
from cocasearch.training.model.preparation import prepared_objective
from cocasearch.training.model.starting_point import StartingPoint
from cocasearch.training.model.trained_model import TrainedModel
from cocasearch.training.results import TrainingResult
from cocasearch.training.run_folder.progress import ProgressReport, TrainingProgress
from cocasearch.training.run_folder.run_checkpoint import (
    RunCheckpoint,
    refuse_taken_folder,
    run_folder_of,
    run_identity,
)
from cocasearch.training.run_folder.run_log import RunLog
from cocasearch.training.run_folder.saved_epochs import SavedEpochs
from cocasearch.training.step.launch import has_lost_launcher
from cocasearch.training.step.learner import Learner
from cocasearch.training.step.processes import Processes, device_of_process
from cocasearch.training.step.schedule import is_validated
from cocasearch.training.step.sharding import is_sharded, whole
from cocasearch.training.validation import score, validate


@dataclass
class _State:
    """What changes while a run goes on, besides what its learner has; stored in the checkpoint."""

    best: float = -math.inf
    best_step: int = 0
    validated_step: int = 0
    losses: dict[str, float] = field(default_factory=dict)  # running averages


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
        stage: Told how far the work before the first step is.
        resumed: Told the step after which it goes on, if it was stopped.
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
        stage: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
        resumed: Callable[[int], None] = lambda _step: None,
    ) -> None:
        keep_freed_memory()
        self.start, self.data, self.config, self.out = start, data, config, out
        self.held_out = held_out or []
        self.progress = progress or (lambda _: None)
        self.card = card
        self.stage, self.resumed = stage, resumed
        self.device = device_of_process(device)
        self.processes = Processes.join(self.device)
        self.model = start.model
        objective = prepared_objective(start, config, self.device, teacher)
        # Before the learner: a model that it divides among processes cannot be copied.
        self._features = (
            CachedFeatures(objective, data, config, self.run_folder) if config.data.cache_features else None
        )
        self.steps_per_epoch = data.steps_per_epoch(config)
        self.learner = Learner(objective, config, self.processes, self.steps_per_epoch)
        self.state = _State()
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
        if self._features:
            self._features.make_ready(self.processes, self.stage)
        self._learn_meanings()
        # Processes stop after the same step: none may leave while others wait for it in the middle of one.
        with stopping(at_once=self.processes.count == 1) as self._is_asked_to_stop:
            try:
                self._go_on()
            except KeyboardInterrupt:
                self._save_checkpoint()
                raise
            except Exception as error:
                self._save_after(error)
                pictures = -(-self.config.data.batch_size // self.processes.count)
                step, kept = self.learner.step, self._kept
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
        """Make sure that `run` will not find another run's checkpoint, which `run` would report only when it begins.

        Raises:
            CocaSearchError: It would.
        """
        self._checkpoint.refuse_other(self._identity())

    def forget(self) -> None:
        """Drop the checkpoint of a run that is over: what it made is a finished model now."""
        self.processes.once(self._checkpoint.finish)
        if self._features and not self.config.data.feature_folder:
            self.processes.once(self._features.drop)

    def _learn_meanings(self) -> None:
        """Learn what the captions mean and are made of, where the recipe asks for it."""
        if self.config.losses.sentence_weight:
            texts = self.data.captions()
            vectors = self.processes.once(lambda: sentence_vectors(texts, self.run_folder, self.device))
            self.data.sentences = SentenceVectors(texts, vectors)
        if self.config.losses.self_critical_weight:
            references, tokenizer = self.data.captions_of_pictures(), self.data.tokenizer
            self.learner.objective.critic = SelfCritic(references, tokenizer, self.config)

    def _go_on(self) -> None:
        rank, processes, is_first = self.processes.rank, self.processes.count, self.processes.is_first
        log = RunLog(self.run_folder / "log.jsonl" if is_first else None)
        report = ProgressReport(log, self.progress if is_first else lambda _: None, self.learner)
        first_step, steps, saved_at = self.learner.step, self.learner.steps, time.monotonic()
        batches = self.data.batches(self.config, first_step=first_step, steps=steps, rank=rank, processes=processes)
        try:
            if self._is_validation_due():  # the run was stopped in the middle of a validation
                self._validate()
            for batch in batches:
                losses = self.learner.take_step(batch)
                validation = self._validate() if self._is_validation_due() else None
                self._save_epoch()
                report.add(self.state.losses, losses, validation)
                if self.processes.any(time.monotonic() - saved_at > 60 * self.config.run.checkpoint_minutes):
                    self._save_checkpoint()
                    saved_at = time.monotonic()
                if self.processes.any(self._is_asked_to_stop() or has_lost_launcher()):
                    raise KeyboardInterrupt
        finally:
            batches.close()

    def _is_validation_due(self) -> bool:
        if not self.held_out or self.state.validated_step == self.learner.step:
            return False
        return is_validated(self.config, self.learner.step, self.learner.steps)

    def _validate(self) -> EvaluationReport:
        weights = whole(self.learner.average.weights)
        report = self.processes.once(lambda: self._measure(weights))
        worth = score(report, self.config)
        if worth >= self.state.best:  # of equals the one that was trained longer
            self._write_model(report)
            self.best_report = report
            self.state.best, self.state.best_step = worth, self.learner.step
        self.state.validated_step = self.learner.step
        return report

    def _measure(self, weights: Mapping[str, Tensor]) -> EvaluationReport:
        model = self._trained.loaded(weights, self.device)
        only_captions = not self.learner.objective.trains_retrieval
        report = validate(model, self.held_out, self.config, only_captions=only_captions, progress=self._stop_if_asked)
        self.data.unreadable.update(report.unreadable)
        return report

    def _stop_if_asked(self, *_: int) -> None:
        """Leave a validation, which may take longer than whoever ends a job waits; it is made up for."""
        if self._is_asked_to_stop():
            raise KeyboardInterrupt

    @cached_property
    def _trained(self) -> TrainedModel:
        pictures, teacher = [len(source.images) for source in self.data.sources], self.learner.objective.teacher
        words = known_after_training(self.start.words, self.data, teacher.class_names if teacher else None)
        return TrainedModel(self.start, self.config, self.out, pictures, self.card, words)

    def _write_model(self, report: EvaluationReport | None, folder: Path | None = None) -> str:
        weights, steps = whole(self.learner.average.weights), self.learner.step
        return self.processes.once(lambda: self._trained.write(folder or self.out, weights, steps=steps, report=report))

    def _save_epoch(self) -> None:
        saved = SavedEpochs(self.run_folder, self.config, self.steps_per_epoch)
        if (folder := saved.folder_after(self.learner.step)) is not None:
            self._write_model(None, folder)
            self.processes.once(saved.drop_older)

    def _identity(self) -> dict[str, Any]:
        return run_identity(self.config, self.start, self.data, self.learner.objective, held_out=len(self.held_out))

    def _save_checkpoint(self, *, is_unsteady: bool = False, together: bool = True) -> None:
        """Save all that the run goes on from; without the help of the other processes only if it is not divided."""
        if not self.learner.is_whole:  # the last checkpoint stays
            return
        state = {"step": self.learner.step, **dataclasses.asdict(self.state)}
        contents = {"state": state, "best_report": self.best_report, **self.learner.stored()}
        may_change = STEADYING if is_unsteady else ()

        def save() -> None:
            self._checkpoint.save(contents, self._identity(), may_change=may_change)

        if together:
            self.processes.once(save)
        elif self.processes.is_first:
            save()
        self._kept = self.learner.step

    def _save_after(self, error: Exception) -> None:
        """Save what can be saved after a failure, which the other processes may not have met."""
        is_met_by_all = isinstance(error, NotANumberError)
        if is_met_by_all or not is_sharded(self.model):
            with suppress(CocaSearchError):  # the failure is what is to be reported
                self._save_checkpoint(is_unsteady=is_met_by_all, together=is_met_by_all)

    def _resume(self) -> None:
        contents = self._checkpoint.load(self._identity(), self.device)
        if contents is None:
            return
        state = dict(contents["state"])
        self.learner.restore(contents, state.pop("step"))
        self.state = _State(**state)
        self._kept = self.learner.step
        self.best_report = contents["best_report"]
        self.resumed(self.learner.step)

    def _result(self) -> TrainingResult:
        if self.held_out:
            fingerprint = self.processes.once(lambda: read_model_folder(self.out).fingerprint)
        else:
            fingerprint = self._write_model(None)
        unreadable = {key: reason for own in self.processes.gather(self.data.unreadable) for key, reason in own.items()}
        return TrainingResult(self.out, fingerprint, self.learner.steps, self.best_report, unreadable)
