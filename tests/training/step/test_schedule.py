"""The learning rate at each step of each schedule, against the formulas written out."""

import math

import pytest

from cocasearch.training.config import TrainingConfig
from cocasearch.training.step.schedule import caption_ramp, is_validated, rate_share

CONFIG = TrainingConfig().changed(warmup=0.1)


def shares(config: TrainingConfig, steps: int = 100) -> list[float]:
    return [rate_share(config, step, steps) for step in range(steps + 1)]


def test_cosine_warms_up_and_falls_to_zero() -> None:
    found = shares(CONFIG)
    assert found[:10] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert found[10:] == pytest.approx([(1 + math.cos(math.pi * step / 90)) / 2 for step in range(91)], abs=1e-12)
    assert rate_share(CONFIG.changed(warmup=0.0), 0, 1) == 1  # a run of one step trains


def test_without_warm_up_the_first_step_has_the_peak_rate() -> None:
    found = shares(CONFIG.changed(warmup=0.0))
    assert found == pytest.approx([(1 + math.cos(math.pi * step / 100)) / 2 for step in range(101)], abs=1e-12)


def test_a_warm_up_in_steps_replaces_the_share() -> None:
    found = shares(CONFIG.changed(warmup_steps=4, schedule="const"))
    assert found == pytest.approx([0.25, 0.5, 0.75] + 98 * [1])


def test_const_stays_at_the_peak() -> None:
    assert shares(CONFIG.changed(schedule="const"))[9:] == 92 * [1.0]


@pytest.mark.parametrize(("end", "power"), [(0.0, 1.0), (0.2, 1.0), (0.1, 2.0)])
def test_const_cooldown_falls_over_the_last_steps(end: float, power: float) -> None:
    config = CONFIG.changed(schedule="const-cooldown", cooldown=0.2, cooldown_end=end, cooldown_power=power)
    found = shares(config)
    assert found[9:81] == 72 * [1.0]
    # OpenCLIP's formula (its scheduler.py), with a peak of 1
    assert found[80:] == pytest.approx([(1 - step / 20) ** power * (1 - end) + end for step in range(21)])
    assert shares(config.changed(cooldown=0.0))[9:] == 92 * [1.0]


@pytest.mark.parametrize(("steps", "times"), [(150, 4), (23, 12), (16, 4), (7, 7), (1, 1), (1000, 12)])
def test_a_run_is_validated_as_often_as_it_says(steps: int, times: int) -> None:
    config = CONFIG.changed(validations=times)
    due = [step for step in range(1, steps + 1) if is_validated(config, step, steps)]
    assert (len(due), due[-1]) == (times, steps)
    gaps = {after - before for before, after in zip([0, *due], due, strict=False)}
    assert max(gaps) - min(gaps) <= 1


def test_a_run_is_validated_at_its_end_and_once_a_step_at_most() -> None:
    for times, expected in ((0, [5]), (9, [1, 2, 3, 4, 5])):
        config = CONFIG.changed(validations=times)
        assert [step for step in range(1, 6) if is_validated(config, step, 5)] == expected


def test_the_captioning_loss_may_wait_and_grow() -> None:
    config = CONFIG.changed(caption_start=0.2, caption_ramp=0.1)
    found = [caption_ramp(config, step, 100) for step in range(100)]
    assert found[:20] == 20 * [0.0]
    assert found[20:30] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert found[30:] == 70 * [1.0]
    assert [caption_ramp(CONFIG, step, 100) for step in (0, 50, 99)] == 3 * [1.0]
    assert [caption_ramp(CONFIG.changed(caption_start=0.5), step, 100) for step in (49, 50)] == [0.0, 1.0]
