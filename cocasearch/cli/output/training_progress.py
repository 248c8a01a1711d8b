"""A training run as it goes, on stderr: one live line, and a line that stays for every validation."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from cocasearch.cli import console

if TYPE_CHECKING:
    from cocasearch.evaluation.benchmark import EvaluationReport
    from cocasearch.training.run_folder.progress import TrainingProgress


class TrainingLine:
    """What a trainer reports its steps to, and what comes before them its stages."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show

    def __call__(self, progress: "TrainingProgress") -> None:
        self._show(_standing(progress))
        if progress.validation is not None:
            console.report(f"step {progress.step}: {summary(progress.validation)}")

    def stage(self, what: str, done: int, total: int) -> None:
        """Show how far the work before the first step is."""
        self._show(f"{what}: {done:,} of {total:,}")


@contextmanager
def training_progress() -> Iterator[TrainingLine]:
    """One live line for as long as the context is open."""
    with console.live_line("reading the data") as show:
        yield TrainingLine(show)


def summary(report: "EvaluationReport") -> str:
    """Recall@1, 5 and 10 both ways, and CIDEr-D where captions were written."""
    sides = (("text to image", report.retrieval.text_to_image), ("image to text", report.retrieval.image_to_text))
    recalls = "; ".join(
        f"{side} recall " + " ".join(f"@{k} {100 * share:.1f} %" for k, share in recall.at.items())
        for side, recall in sides
    )
    cider = f"; CIDEr-D {report.captions.cider_d:.3f}" if report.captions else ""
    return recalls + cider + ("" if report.caption_loss is None else f"; caption loss {report.caption_loss:.3f}")


def _standing(progress: "TrainingProgress") -> str:
    return ", ".join(
        [
            f"step {progress.step} of {progress.steps}",
            *(f"{name} {value:.3f}" for name, value in {**progress.losses, "reward": progress.reward}.items() if value),
            f"{progress.images_per_second:.1f} photos/s",
            f"{timedelta(seconds=round(progress.seconds_left))} left",
        ]
    )
