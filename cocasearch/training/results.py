"""What a training and a fine-tuning hand back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocasearch.evaluation.benchmark import EvaluationReport
from cocasearch.evaluation.comparison import Comparison
from cocasearch.training.finetune_defaults import Plan
from cocasearch.training.forgetting import Forgetting
from cocasearch.training.model.interpolation_curve import CurvePoint, suggested_point


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


@dataclass(frozen=True)
class FinetuneResult:
    """A finished fine-tuning with the same held-out pictures measured before and after.

    Attributes:
        fingerprint: Of the written model.
        kept: The share of the starting weights in it: 1 if training made nothing better.
        curve: What other shares would give, on the pictures by which the weights were chosen.
        forgetting: What the written model forgot, by the guard.
        is_measured_apart: Whether the weights were chosen by other held-out pictures than those that were measured.
    """

    training: TrainingResult
    plan: Plan
    before: EvaluationReport
    after: EvaluationReport
    comparison: Comparison
    curve: list[CurvePoint]
    forgetting: Forgetting
    kept: float
    fingerprint: str
    is_measured_apart: bool

    def to_dict(self) -> dict[str, Any]:
        """All of it, as `--json` prints it and the run's `result.json` keeps it."""
        point = None if self.comparison.proves_nothing else suggested_point(self.curve)
        return {
            "fingerprint": self.fingerprint,
            "plan": self.plan.to_dict(),
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "measured_apart": self.is_measured_apart,
            "comparison": [figure.to_dict() for figure in self.comparison.figures],
            "verdict": self.comparison.sentences(),
            "kept": self.kept,
            "guard": self.forgetting.to_dict(),
            "curve": [point.to_dict() for point in self.curve],
            "suggested_keep": point.keep if point else None,
        }
