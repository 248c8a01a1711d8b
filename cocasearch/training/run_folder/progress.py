"""How a run stands: what is reported after each step, and the run's log of it."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cocasearch.evaluation.benchmark import EvaluationReport
from cocasearch.training.losses.step_losses import StepLosses
from cocasearch.training.run_folder.run_log import RunLog
from cocasearch.training.step.learner import Learner
from cocasearch.training.step.optimizer import learning_rates

_AVERAGED_STEPS = 20


@dataclass(frozen=True)
class TrainingProgress:
    """Where a run stands after a step. Losses are averages over the last steps.

    Attributes:
        losses: Each loss by name, before its weight.
        images_per_second: In captioned pictures.
        total_loss: All losses as they are weighted.
        logit_scale: What similarities are multiplied by, not its logarithm.
        rates: The learning rates of the step, as `learning_rates` names them.
        reward: The mean of the captions that the model drew, 0 where it draws none.
    """

    step: int
    steps: int
    losses: Mapping[str, float]
    images_per_second: float
    seconds_left: float
    validation: EvaluationReport | None = None
    total_loss: float = 0.0
    logit_scale: float = 0.0
    rates: Mapping[str, float] = field(default_factory=dict)
    reward: float = 0.0


class ProgressReport:
    """Reports a run step by step, from the step at which it was begun or resumed.

    Args:
        log: Gets a line for each step.
        report: Called after each step.
        learner: What takes the steps, at the one where the run begins or goes on.
    """

    def __init__(self, log: RunLog, report: Callable[[TrainingProgress], None], learner: Learner) -> None:
        self._log, self._report, self._learner = log, report, learner
        self._first_step, self._started = learner.step, time.monotonic()
        log.keep_until(learner.step)

    def add(self, averages: dict[str, float], losses: StepLosses, validation: EvaluationReport | None) -> None:
        """Take the losses of the last step into the averages, in place, and report the step."""
        learner, step, steps = self._learner, self._learner.step, self._learner.steps
        latest = {**losses.values, "total": losses.total, "reward": losses.reward}
        weight = 1 / min(step, _AVERAGED_STEPS)
        for name, value in latest.items():
            averages[name] = (1 - weight) * averages.get(name, 0.0) + weight * float(value)
        seconds, done = time.monotonic() - self._started, step - self._first_step
        progress = TrainingProgress(
            step,
            steps,
            losses={name: averages[name] for name in losses.values},
            images_per_second=done * learner.config.data.batch_size / seconds,
            seconds_left=(steps - step) * seconds / done,
            validation=validation,
            total_loss=averages["total"],
            logit_scale=float(learner.model.logit_scale.detach().exp()),
            rates=learning_rates(learner.optimizers),
            reward=averages["reward"],
        )
        entry = dataclasses.asdict(dataclasses.replace(progress, validation=None))
        self._log.add({**entry, "validation": validation.to_dict() if validation else None})
        self._report(progress)
