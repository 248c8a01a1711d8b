"""A training run as it goes, on stderr: a bar with losses and time left, and a line for every validation."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tqdm import tqdm

from cocasearch.cli import console

if TYPE_CHECKING:
    from cocasearch.evaluation.benchmark import EvaluationReport
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
            console.say(f"step {progress.step}: {summary(progress.validation)}")
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


def summary(report: "EvaluationReport") -> str:
    """Recall@1, 5 and 10 both ways, and CIDEr-D where captions were written."""
    sides = (("text to image", report.retrieval.text_to_image), ("image to text", report.retrieval.image_to_text))
    recalls = "; ".join(
        f"{side} recall " + " ".join(f"@{k} {100 * share:.1f} %" for k, share in recall.at.items())
        for side, recall in sides
    )
    return f"{recalls}; CIDEr-D {report.captions.cider_d:.3f}" if report.captions else recalls
