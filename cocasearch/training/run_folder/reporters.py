"""A run's steps, reported to TensorBoard or Weights & Biases as they come; a run may go without either."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from cocasearch.errors import CocaSearchError
from cocasearch.training.run_folder.progress import TrainingProgress

EXTRAS = {"tensorboard": "train", "wandb": "wandb"}


class Reporter(Protocol):
    """Somebody who follows a run."""

    def add(self, progress: TrainingProgress) -> None:
        """Take in a step."""


def refuse_unknown(name: str) -> None:
    """Refuse the name of a reporter that there is not.

    Raises:
        CocaSearchError: There is none of that name.
    """
    if name not in EXTRAS:
        raise CocaSearchError(f"a run cannot be reported to '{name}', only to {' and '.join(EXTRAS)}")


@contextmanager
def open_reporter(name: str, folder: Path, facts: Mapping[str, Any]) -> Iterator[Reporter]:
    """The reporter of a name, closed at the end; what it writes lies in the run's folder.

    Raises:
        CocaSearchError: There is none of that name, or its package is not installed.
    """
    refuse_unknown(name)
    try:
        reporter = _TensorBoard(folder) if name == "tensorboard" else _WeightsAndBiases(folder, facts)
    except ImportError as error:
        extra = EXTRAS[name]
        raise CocaSearchError(
            f"{name} is not installed; it comes with the extra '{extra}'", hint=f"pip install 'cocasearch[{extra}]'"
        ) from error
    try:
        yield reporter
    finally:
        reporter.close()


def scalars(progress: TrainingProgress) -> dict[str, float]:
    """What can be drawn of a step, by name."""
    values = {
        "loss/total": progress.total_loss,
        **{f"loss/{name}": loss for name, loss in progress.losses.items()},
        "reward": progress.reward,
        "speed/images_per_second": progress.images_per_second,
        "logit_scale": progress.logit_scale,
        **{f"rate/{name}": rate for name, rate in progress.rates.items()},
    }
    if progress.validation is not None:
        retrieval = progress.validation.retrieval
        for way, recall in (("text_to_image", retrieval.text_to_image), ("image_to_text", retrieval.image_to_text)):
            values |= {f"held_out/{way}/recall@{k}": share for k, share in recall.at.items()}
        if progress.validation.caption_loss is not None:
            values["held_out/caption_loss"] = progress.validation.caption_loss
    return values


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._new_writer: Any = SummaryWriter
        self._folder = folder / "tensorboard"
        self._writer: Any = None

    def add(self, progress: TrainingProgress) -> None:
        if self._writer is None:  # steps that a killed run reported, and that are taken again, are not shown twice
            self._writer = self._new_writer(str(self._folder), purge_step=progress.step)
        for name, value in scalars(progress).items():
            self._writer.add_scalar(name, value, progress.step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _WeightsAndBiases:
    """One run of W&B; project, entity and mode are those of its own variables (WANDB_PROJECT, WANDB_MODE, …)."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        name = folder.name.removesuffix(".run")
        # The same name goes on with the same curves when an interrupted run is resumed.
        self._run: Any = wandb.init(
            dir=str(folder), name=name, id=_identifier(folder), resume="allow", config=dict(facts.get("config", {}))
        )

    def add(self, progress: TrainingProgress) -> None:
        self._run.log(scalars(progress), step=progress.step)

    def close(self) -> None:
        self._run.finish()


def _identifier(folder: Path) -> str:
    file = folder / "wandb-id"
    if not file.is_file():
        file.write_text(secrets.token_hex(4), encoding="utf-8")
    return file.read_text(encoding="utf-8")
