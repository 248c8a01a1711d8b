"""Recall along the line between the weights before and after training (WiSE-FT), on new pictures and on the guard.

Receives the weights before and after training; hands on recall for each mixture, so that a user can choose
`--keep`, which is 1 - alpha of the paper.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from cocasearch.captioned_data import CaptionedImage
from cocasearch.evaluation.benchmark import evaluate
from cocasearch.evaluation.retrieval_metrics import RetrievalScores
from cocasearch.inference.loaded_model import load_model
from cocasearch.training.model.interpolation import interpolate

KEPT = (0.0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.9, 1.0)
TOLERATED_LOSS = 0.03  # of the old kind's recall; of a small guard one picture may be lost
_SMALL_GUARD = 100  # pictures: among the first ten of fewer almost anything is found, so recall@1 is what counts


@dataclass(frozen=True)
class CurvePoint:
    """Recall with a share of the starting weights kept, on new pictures and on the guard, which is of the old kind.

    `is_gentle`: it loses no more of the old kind than `TOLERATED_LOSS`.
    """

    keep: float
    new: RetrievalScores
    old: RetrievalScores
    is_gentle: bool

    def to_dict(self) -> dict[str, object]:
        """The point as `--json` prints it."""
        sides = {"held_out": self.new, "guard": self.old}
        return {"keep": self.keep} | {
            name: {"text_to_image": scores.text_to_image.to_dict(), "image_to_text": scores.image_to_text.to_dict()}
            for name, scores in sides.items()
        }


def measure_curve(
    start: Path,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    held_out: Sequence[CaptionedImage],
    guard: Sequence[CaptionedImage],
    *,
    device: str = "auto",
    progress: Callable[[str, int, int], None] | None = None,
) -> list[CurvePoint]:
    """Recall for each of `KEPT`; both weights are of the model folder `start`'s architecture."""
    loaded = load_model(start, device=device, prepack=False)
    measured = []
    for number, keep in enumerate(KEPT):
        if progress is not None:
            progress("measuring shares of the old weights", number, len(KEPT))
        loaded.model.load_state_dict(interpolate(before, after, keep))
        new, old = (evaluate(loaded, data, caption_options=None).retrieval for data in (held_out, guard))
        measured.append((keep, new, old))
    untouched, tolerated = measured[-1][2], round(max(TOLERATED_LOSS, 1 / len(guard)), 6)
    k = 1 if len(guard) < _SMALL_GUARD else 10
    return [CurvePoint(keep, new, old, _loss(untouched, old, k) <= tolerated) for keep, new, old in measured]


def suggested_point(curve: Sequence[CurvePoint]) -> CurvePoint | None:
    """The point that finds most of the new kind among those that lose little of the old; None if all lose more."""
    gentle = [point for point in curve[:-1] if point.is_gentle]
    return max(gentle, key=lambda point: point.new.text_to_image.at[1] + point.new.image_to_text.at[1], default=None)


def _loss(before: RetrievalScores, after: RetrievalScores, k: int) -> float:
    """The larger loss of recall@k of both ways, without what rounding adds to it."""
    lost_texts = before.text_to_image.at[k] - after.text_to_image.at[k]
    return round(max(lost_texts, before.image_to_text.at[k] - after.image_to_text.at[k]), 6)
