"""How large a step is at which point of a run: shares of a peak rate, and of a loss's weight.

Pure numbers; knows nothing about models. The schedules are OpenCLIP's (scheduler.py), with lengths as shares of
the run.
"""

import math

from cocasearch.training.config import TrainingConfig


def rate_share(config: TrainingConfig, step: int, steps: int) -> float:
    """The share of the peak learning rate at a step of `steps`, 0 to 1: a linear warm-up, then the schedule."""
    warmup = warmup_steps(config, steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.optimization.schedule == "const":
        return 1.0
    if config.optimization.schedule == "const-cooldown":
        return _cooled(config, step, steps)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def warmup_steps(config: TrainingConfig, steps: int) -> int:
    """How many steps the warm-up takes: `warmup_steps` of them where that is set, else a share of the run."""
    return config.optimization.warmup_steps or round(config.optimization.warmup * steps)


def is_validated(config: TrainingConfig, step: int, steps: int) -> bool:
    """Whether a run is validated after so many of `steps`: `validations` times, evenly, and at its end."""
    times = config.run.validations
    return step == steps or step * times // steps > (step - 1) * times // steps


def _cooled(config: TrainingConfig, step: int, steps: int) -> float:
    length = round(config.optimization.cooldown * steps)
    done = step - (steps - length)
    if done < 0 or not length:
        return 1.0
    left: float = (1 - done / length) ** config.optimization.cooldown_power
    return config.optimization.cooldown_end + (1 - config.optimization.cooldown_end) * left


def caption_ramp(config: TrainingConfig, step: int, steps: int) -> float:
    """The share of `caption_weight` at a step: 0 while the run is contrastive alone, then rising to 1 along a line."""
    start, ramp = config.losses.caption_start * steps, config.losses.caption_ramp * steps
    if step < start:
        return 0.0
    return min(1.0, (step + 1 - start) / ramp) if ramp else 1.0
