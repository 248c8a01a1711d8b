"""How a run stands: what is told after each step, and the run's log of it."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cocasearch.evaluation.benchmark import EvaluationReport
from cocasearch.training.run_folder.run_log import RunLog
from cocasearch.training.step.gradients import StepLosses
from cocasearch.training.step.learner import Learner
from cocasearch.training.step.optimizer import learning_rates

_AVERAGED_STEPS = 20


@dataclass(frozen=True)
class TrainingProgress:
    """Where a run stands after a step. Losses are averages over the last steps.

    Attributes:
        images_per_second: In captioned pictures.
        total_loss: All losses as they are weighted.
        logit_scale: What similarities are multiplied by, not its logarithm.
        rates: The learning rates of the step, as `learning_rates` names them.
        reward: The mean of the captions that the model drew, 0 where it draws none.
    """

    step: int
    steps: int
    contrastive_loss: float
    caption_loss: float
    name_loss: float
    distillation_loss: float
    images_per_second: float
    seconds_left: float
    validation: EvaluationReport | None = None
    total_loss: float = 0.0
    logit_scale: float = 0.0
    rates: Mapping[str, float] = field(default_factory=dict)
    reward: float = 0.0


class ProgressReport:
    """Tells of a run step by step, from the step at which it was begun or resumed.

    Args:
        log: Gets a line for each step.
        tell: Called after each step.
        learner: What takes the steps, at the one where the run begins or goes on.
    """

    def __init__(self, log: RunLog, tell: Callable[[TrainingProgress], None], learner: Learner) -> None:
        self._log, self._tell, self._learner = log, tell, learner
        self._first_step, self._started = learner.step, time.monotonic()

    def add(self, averages: list[float], losses: StepLosses, report: EvaluationReport | None) -> None:
        """Take the losses of the last step into the averages, in place, and tell."""
        learner, step, steps = self._learner, self._learner.step, self._learner.steps
        latest = (losses.contrastive, losses.caption, losses.name, losses.distillation, losses.total, losses.reward)
        weight = 1 / min(step, _AVERAGED_STEPS)
        averages[:] = [(1 - weight) * old + weight * float(new) for old, new in zip(averages, latest, strict=True)]
        seconds, done = time.monotonic() - self._started, step - self._first_step
        progress = TrainingProgress(
            step,
            steps,
            contrastive_loss=averages[0],
            caption_loss=averages[1],
            name_loss=averages[2],
            distillation_loss=averages[3],
            images_per_second=done * learner.config.batch_size / seconds,
            seconds_left=(steps - step) * seconds / done,
            validation=report,
            total_loss=averages[4],
            logit_scale=float(learner.model.logit_scale.detach().exp()),
            rates=learning_rates(learner.optimizers),
            reward=averages[5],
        )
        entry = dataclasses.asdict(dataclasses.replace(progress, validation=None))
        self._log.add({**entry, "validation": report.to_dict() if report else None})
        self._tell(progress)
