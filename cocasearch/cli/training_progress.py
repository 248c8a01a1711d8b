"""A training run as it goes, on stderr: a bar with losses and time left, and a line for every validation."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tqdm import tqdm

from cocasearch.cli import console

if TYPE_CHECKING:
    from cocasearch.training.trainer import TrainingProgress


@contextmanager
def training_progress() -> Iterator[Callable[["TrainingProgress"], None]]:
    """What a trainer reports its steps to, for as long as the context is open."""
    bar: tqdm[None] = tqdm(
        unit="step", dynamic_ncols=True, leave=False, file=sys.stderr, disable=not sys.stderr.isatty()
    )
    shown_at = time.monotonic()

    def show(progress: "TrainingProgress") -> None:
        nonlocal shown_at
        bar.total, bar.n = progress.steps, progress.step
        bar.set_postfix_str(_losses(progress))
        if progress.validation is not None:
            bar.clear()
            console.say(f"step {progress.step}: {_validation(progress)}")
        if bar.disable and time.monotonic() - shown_at > console.SECONDS_BETWEEN_LINES:
            shown_at = time.monotonic()
            left = f"{progress.seconds_left / 60:.0f} min left"
            console.say(f"step {progress.step} of {progress.steps}: {_losses(progress)}, {left}")

    try:
        yield show
    finally:
        bar.close()


def _losses(progress: "TrainingProgress") -> str:
    parts = {
        "contrastive": progress.contrastive_loss,
        "caption": progress.caption_loss,
        "name": progress.name_loss,
    }
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in parts.items() if loss)
    return f"{losses}, {progress.images_per_second:.1f} photos/s"


def _validation(progress: "TrainingProgress") -> str:
    assert progress.validation is not None
    retrieval = progress.validation.retrieval
    sides = (("text to image", retrieval.text_to_image), ("image to text", retrieval.image_to_text))
    return "; ".join(
        f"{side} recall " + " ".join(f"@{k} {100 * share:.1f} %" for k, share in recall.at.items())
        for side, recall in sides
    )
