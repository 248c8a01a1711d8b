"""The job `finetune`: a model folder trained further on one's own pictures, measured before and after.

Receives paths and settings; reads the data, sets pictures aside, plans, trains, measures, and keeps what is best.
"""

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from cocasearch.captioned_data.duplicates.near_duplicates import find_same_between
from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.checkpoints.registry import resolve_model
from cocasearch.errors import CocaSearchError
from cocasearch.evaluation.benchmark import EvaluationReport, Examination, examine
from cocasearch.evaluation.comparison import compare
from cocasearch.inference.device import choose_device
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.loaded_model import LoadedModel, load_model
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import Source
from cocasearch.training.data.splitting import validation_and_test
from cocasearch.training.data.training_sources import Columns, split, training_data
from cocasearch.training.failures import reported_once
from cocasearch.training.finetune_defaults import Plan, adjusted, choose_config, fit_memory, reason_of_rate
from cocasearch.training.forgetting import Forgetting, Guard
from cocasearch.training.model.interpolation import interpolate, known_between, save_interpolated
from cocasearch.training.model.interpolation_curve import measure_curve
from cocasearch.training.model.resizing import forced
from cocasearch.training.model.starting_point import StartingPoint, from_model_folder
from cocasearch.training.results import FinetuneResult, TrainingResult
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.run_folder.run_checkpoint import (
    RunCheckpoint,
    is_model_folder,
    leaving_nothing_if_refused,
    refuse_taken_folder,
    run_folder_of,
)
from cocasearch.training.run_folder.run_data import RunData
from cocasearch.training.run_folder.run_record import Reporting, RunRecord, bring_run_back, recording, run_facts
from cocasearch.training.step.memory_estimate import estimate_run, free_memory
from cocasearch.training.step.processes import Processes, device_of_process
from cocasearch.training.trainer import Trainer


@dataclass(frozen=True)
class FinetuneRequest:
    """What `finetune` is asked for.

    Args:
        data: Captioned pictures.
        out: The model folder to write.
        model: Name or folder to start from; the best model here for None.
        validation: Data to measure on, instead of a part of `data` split off by picture.
        guard: Captioned pictures of a kind that the model knows already and should not forget; only measured. The
            sample photographs of the package for None.
        keep: The share of the starting weights in the written model, 0 to 1.
        columns: Which columns of the data hold what.
        adjust: Changes what was chosen for this collection.
        reporting: Who else is to see the run.
    """

    data: str | Path
    out: Path
    model: str | Path | None = None
    validation: str | Path | None = None
    guard: str | Path | None = None
    keep: float = 0.0
    columns: Columns = field(default_factory=Columns)
    adjust: Callable[[TrainingConfig], TrainingConfig] = lambda config: config
    reporting: Reporting = field(default_factory=Reporting)


@dataclass(frozen=True)
class FinetuneListener:
    """Called while a fine-tuning goes on.

    Args:
        planned: What is going to be done.
        measured: "before" and "after" with each report as soon as it is there; the first process alone.
        progress: Every step.
        stage: What else is being done, how much of it is done and how much there is.
    """

    planned: Callable[[Plan], None] = lambda _plan: None
    measured: Callable[[str, EvaluationReport], None] = lambda _moment, _report: None
    progress: Callable[[TrainingProgress], None] = lambda _progress: None
    stage: Callable[[str, int, int], None] = lambda _what, _done, _total: None


@reported_once
def finetune(
    request: FinetuneRequest, *, listener: FinetuneListener | None = None, device: str = "auto"
) -> FinetuneResult:
    """Train a model folder on captioned pictures, measured on held-out ones before and after.

    Raises:
        CocaSearchError: Too few pictures to hold any out, or anything `train` raises.
    """
    if not 0 <= request.keep < 1:
        raise CocaSearchError(f"keep must be from 0 to below 1, not {request.keep}")
    processes = Processes.join(device_of_process(device))
    processes.once(lambda: bring_run_back(request.out, request.reporting))
    processes.once(lambda: refuse_taken_folder(request.out))
    processes.once(lambda: _refuse_mixed(request.out))
    with leaving_nothing_if_refused(request.out, is_first=processes.is_first):
        return _Finetuning(request, listener or FinetuneListener(), device).run()


def _refuse_mixed(out: Path) -> None:
    """Stop a run whose last act, writing a share of the starting weights, was done when it was killed."""
    if is_model_folder(out) and "kept" in read_model_folder(out).provenance:
        RunCheckpoint(run_folder_of(out)).finish()
        refuse_taken_folder(out)


class _Finetuning:
    """One fine-tuning from reading to the last figure."""

    def __init__(self, request: FinetuneRequest, listener: FinetuneListener, device: str) -> None:
        self.request, self.listener, self.device = request, listener, device
        self.processes = Processes.join(device_of_process(device))
        self.folder = resolve_model(request.model)
        self.guard = Guard.read(request.guard, request.columns)  # first: what is wrong with it is found at once
        images = request.columns.read(request.data)
        architecture = read_model_folder(self.folder).config
        chosen = choose_config(len(images), architecture, choose_device(device))
        config, of_encoder = adjusted(chosen, architecture, request.adjust)
        (self.training,), self.held_out = split(
            [images], request.validation, request.columns, config, RunData(request.out, self.processes)
        )
        if not self.held_out and not config.data.held_out:
            raise CocaSearchError("held_out=0 leaves no photos to measure on", hint="held_out=1 or more, or --val DATA")
        if not self.held_out:
            raise CocaSearchError(
                f"{request.data} has {len(images)} photos, too few to hold some out for measuring",
                hint="five photos at least, or --val DATA",
            )
        self.validation, self.test = validation_and_test(self.held_out, seed=config.run.seed)
        plan = self.processes.once(lambda: self._planned(config, reason_of_rate(config, chosen)))
        self.plan = dataclasses.replace(plan, encoder_settings=of_encoder)

    def run(self) -> FinetuneResult:
        """Train, measure and keep what is best."""
        self.listener.planned(self.plan)
        with self._recording() as record:
            trainer = self._trainer(record)
            # Whatever settings make impossible is refused by now: to measure takes long.
            before = self.processes.once(lambda: self._measure("before", load_model(self.folder, device=self.device)))
            training = trainer.run(forget=False)
            result = self.processes.once(lambda: self._compare(training, before))
            self.processes.once(lambda: record.keep(result.to_dict()))
            trainer.forget()
        return dataclasses.replace(result, training=dataclasses.replace(training, not_copied=record.not_copied))

    def _start(self) -> StartingPoint:
        return forced(from_model_folder(self.folder), self.plan.config)

    def _compare(self, training: TrainingResult, before: "_Measured") -> FinetuneResult:
        """What training was worth, and how much of the starting weights is kept because of it.

        The folder changes last, and at once, so that a run killed in between finds the trained weights again.
        """
        out, kept, seed = self.request.out, self.request.keep, self.plan.config.run.seed
        start = self._start().model.state_dict()
        trained = read_model_folder(out).load_model().state_dict()
        loaded = load_model(out, device=self.device, prepack=False)
        loaded.model.load_state_dict(interpolate(start, trained, kept))
        after = self._measure("after", loaded)
        comparison = compare(before.new.outcomes, after.new.outcomes, seed=seed)
        curve = measure_curve(
            out, start, trained, self.validation, self.guard.images, device=self.device, progress=self.listener.stage
        )
        kept = kept if comparison.anything_gained else 1.0
        if kept:
            self._write_interpolated(start, trained, kept)
        return FinetuneResult(
            training=training,
            plan=self.plan,
            before=before.new.report,
            after=after.new.report,
            comparison=comparison,
            curve=curve,
            forgetting=Forgetting.between(self.guard.name, before.old, after.old, seed=seed),
            kept=kept,
            fingerprint=read_model_folder(out).fingerprint,
            is_measured_apart=self.test is not self.validation,
        )

    def _planned(self, config: TrainingConfig, reason: str) -> Plan:
        device = choose_device(self.device)
        available = free_memory(device)
        start = forced(from_model_folder(self.folder), config)
        estimate = estimate_run(start, config, self.training, device)
        fitted = fit_memory(config, estimate, available)
        guarded = len(find_same_between(self.guard.images, self.training))
        counts = len(self.training), len(self.held_out)
        return Plan(*counts, fitted, estimate, available, device, reason, n_guard_trained_on=guarded)

    def _trainer(self, record: RunRecord) -> Trainer:
        out, start = self.request.out, self._start()
        trainer = Trainer(
            start,
            training_data(start, [Source(self.training, 1.0)]),
            self.plan.config,
            out,
            held_out=self.validation,
            progress=record,
            card=_finetuned_card(out.name, self.folder.resolve().name, len(self.training)),
            device=self.device,
            stage=self.request.columns.listener.progress,
            resumed=self.request.columns.listener.resumed,
        )
        trainer.refuse_other_run()
        return trainer

    def _recording(self) -> AbstractContextManager[RunRecord]:
        pictures = {str(self.request.data): self.training, "held out": self.held_out}
        facts = run_facts("finetune", self.plan.config.values(), pictures)
        return recording(
            self.request.out,
            facts,
            self.request.reporting,
            is_first=self.processes.is_first,
            progress=self.listener.progress,
        )

    def _measure(self, moment: str, loaded: LoadedModel) -> "_Measured":
        new, old = (
            examine(
                loaded,
                images,
                caption_options=CaptionOptions(),
                progress=lambda done, total: self.listener.stage(f"measuring {moment}", done, total),
            )
            for images in (self.test, self.guard.images)
        )
        self.listener.measured(moment, new.report)
        return _Measured(new, old)

    def _write_interpolated(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor], keep: float) -> None:
        out = self.request.out
        trained, card = read_model_folder(out), (out / "README.md").read_text(encoding="utf-8")
        origin = trained.provenance["started_from"]
        words = known_between(read_model_folder(self.folder), trained, keep)
        weights = interpolate(before, after, keep)
        save_interpolated(out, weights, trained, keep=keep, started_from=origin, card=card, words=words)


class _Measured(NamedTuple):
    """One model on the new kind of picture and on the guard."""

    new: Examination
    old: Examination


def _finetuned_card(name: str, base: str, n_images: int) -> str:
    return (
        f"# {name}\n\nA CoCa model, fine-tuned from {base} on {n_images} captioned photos with `cocasearch finetune`."
        "\nSettings and held-out figures are under `provenance` in config.json. The terms of the model it started"
        "\nfrom and of the photos apply to these weights.\n"
    )
