"""The job `finetune`: a model folder trained further on one's own pictures, measured before and after.

Receives paths and settings; reads the data, sets pictures aside, runs the trainer and measures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cocasearch.captioned_data import CaptionedImage
from cocasearch.checkpoints.registry import resolve_model
from cocasearch.errors import CocaSearchError
from cocasearch.evaluation.benchmark import EvaluationReport, evaluate
from cocasearch.inference.caption_options import CaptionOptions
from cocasearch.inference.loaded_model import load_model
from cocasearch.training.config import AugmentationConfig, TrainingConfig
from cocasearch.training.dataset import Source
from cocasearch.training.processes import Processes, device_of_process
from cocasearch.training.progress import TrainingProgress
from cocasearch.training.resizing import forced
from cocasearch.training.run_checkpoint import refuse_taken_folder
from cocasearch.training.sources import Columns, split, training_data
from cocasearch.training.starting_point import from_model_folder
from cocasearch.training.trainer import Trainer, TrainingResult

OnProgress = Callable[[TrainingProgress], None]


@dataclass(frozen=True)
class FinetuneResult:
    """A finished fine-tuning with the same held-out pictures measured before and after."""

    training: TrainingResult
    before: EvaluationReport
    after: EvaluationReport


def finetune_config(n_images: int) -> TrainingConfig:
    """Gentle defaults for a collection of this size: low rates, more passes over fewer pictures."""
    passes = min(40.0, max(4.0, 16_000 / max(1, n_images)))
    return TrainingConfig(
        passes=passes,
        images_per_step=max(2, min(64, n_images // 4)),
        captions_per_image=3,
        optimizer="adamw",
        learning_rate=3e-4,
        encoder_learning_rate=3e-5,
        frozen_passes=passes / 4,
        frozen_blocks=0,
        ema_decay=0.98,
        augmentation=AugmentationConfig(min_area=0.8, flip=False, color=0.1),
        held_out=500,
        validations=5,
    )


def finetune(
    data: str | Path,
    *,
    out: Path,
    model: str | Path | None = None,
    validation: str | Path | None = None,
    columns: Columns | None = None,
    adjust: Callable[[TrainingConfig], TrainingConfig] | None = None,
    measured: Callable[[str, EvaluationReport], None] | None = None,
    progress: OnProgress | None = None,
    device: str = "auto",
) -> FinetuneResult:
    """Train a model folder on captioned pictures, measured on held-out ones before and after.

    Args:
        data: Captioned pictures.
        out: The model folder to write.
        model: Name or folder to start from; the bundled model for None.
        validation: Data to measure on, instead of a part of `data` split off by picture.
        columns: Which columns of the data hold what.
        adjust: Changes what `finetune_config` chose for this number of pictures.
        measured: Told "before" and "after" with each report as soon as it is there.
        progress: Called after every step.
        device: "auto", "cpu" or "cuda".

    Raises:
        CocaSearchError: Too few pictures to hold any out, or anything `train` raises.
    """
    processes = Processes.join(device_of_process(device))
    processes.once(lambda: refuse_taken_folder(out))
    columns = columns or Columns()
    images = columns.read(data)
    config = finetune_config(len(images))
    config = adjust(config) if adjust else config
    (training,), held_out = split([images], validation, columns, config)
    if not held_out:
        raise CocaSearchError(
            f"{data} has {len(images)} pictures, too few to hold some out for measuring",
            hint="five pictures at least, or --val DATA",
        )
    measured = measured or (lambda _moment, _report: None)
    folder = resolve_model(model)
    before = processes.once(lambda: _measure(folder, held_out, device))
    measured("before", before)
    start = forced(from_model_folder(folder), config)
    trainer = Trainer(
        start,
        training_data(start, [Source(training, 1.0)]),
        config,
        out,
        held_out=held_out,
        progress=progress,
        card=_finetuned_card(out.name, folder.resolve().name, len(training)),
        device=device,
    )
    result = trainer.run()
    after = processes.once(lambda: _measure(out, held_out, device))
    measured("after", after)
    return FinetuneResult(result, before, after)


def _measure(folder: Path, held_out: list[CaptionedImage], device: str) -> EvaluationReport:
    return evaluate(load_model(folder, device=device), held_out, caption_options=CaptionOptions())


def _finetuned_card(name: str, base: str, n_images: int) -> str:
    return (
        f"# {name}\n\nA CoCa model, fine-tuned from {base} on {n_images} captioned pictures with `cocasearch finetune`."
        "\nSettings and held-out figures are under `provenance` in config.json. The terms of the model it started"
        "\nfrom and of the pictures apply to these weights.\n"
    )
