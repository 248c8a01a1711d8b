"""What a run is expected to need, and what it takes."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cocasearch.model.config import EfficientNetLiteConfig
from cocasearch.training.config import TrainingConfig
from cocasearch.training.model.preparation import prepared_objective
from cocasearch.training.model.starting_point import StartingPoint, from_model_folder
from cocasearch.training.step.gradients import Gradients
from cocasearch.training.step.memory_estimate import MemoryEstimate, estimate_memory

CPU = torch.device("cpu")
FLOAT32 = {"precision": "float32", "optimizer": "adamw", "captions_per_image": 2, "frozen_blocks": 0}


def gradients_of(start: StartingPoint, config: TrainingConfig) -> Gradients:
    return Gradients(prepared_objective(start, config, CPU), config)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_estimate_leaves_nothing_behind_and_grows_with_pictures(new_start, is_frozen: bool) -> None:
    config = TrainingConfig().changed(**FLOAT32)
    gradients = gradients_of(new_start(), config)
    estimate = estimate_memory(gradients, config, image_size=32, caption_tokens=12, encoder_is_frozen=is_frozen)
    model = gradients.objective.model
    assert all(parameter.grad is None for parameter in model.parameters())
    numbers = sum(parameter.numel() for parameter in model.parameters())
    encoder = sum(parameter.numel() for parameter in model.image_encoder.parameters())
    assert estimate.weights == 2 * 4 * numbers
    assert estimate.gradients == 4 * (numbers - (encoder if is_frozen else 0))
    assert estimate.optimizer == 2 * estimate.gradients
    assert estimate.activations(64) > 3 * estimate.activations(16)
    frozen = estimate_memory(gradients, config, image_size=32, caption_tokens=12, encoder_is_frozen=True)
    assert frozen.activations(64) <= estimate.activations(64)


def test_memory_of_a_teacher_and_of_averages_in_float32_is_expected(new_start, model_folder: Path) -> None:
    def estimate(**changes: object) -> MemoryEstimate:
        config = TrainingConfig().changed(**{**FLOAT32, "ema_decay": 0.0, **changes})
        gradients = gradients_of(new_start(), config)
        return estimate_memory(gradients, config, image_size=32, caption_tokens=12, encoder_is_frozen=False)

    plain, taught = estimate(), estimate(distill_from=str(model_folder))
    assert taught.weights == 2 * plain.weights
    assert taught.activations(16) > plain.activations(16)
    assert estimate(ema_decay=0.9).weights == 2 * plain.weights
    narrow = {"precision": "pure_bfloat16"}
    average = estimate(ema_decay=0.9, **narrow).weights - estimate(**narrow).weights
    assert average == plain.weights


def measured_peak(images: int) -> None:
    """Take two steps of coca-mini with its encoder trained, and print expected and measured bytes."""
    from cocasearch.inference.device import keep_freed_memory
    from cocasearch.paths import bundled_model_folder
    from cocasearch.training.step.memory_estimate import _batch
    from cocasearch.training.step.optimizer import WeightAverage, build_optimizers

    keep_freed_memory()
    start, config = from_model_folder(bundled_model_folder()), TrainingConfig().changed(**FLOAT32)
    assert isinstance(start.model.config.image, EfficientNetLiteConfig)
    gradients = gradients_of(start, config)
    estimate = estimate_memory(gradients, config, image_size=192, caption_tokens=16, encoder_is_frozen=False)
    optimizers, average = build_optimizers(start.model, config), WeightAverage(start.model, 0.98)
    start.model.train()
    for step in range(2):
        gradients.compute(
            _batch(images, 192, 16, config, CPU), encoder_is_frozen=False, rng=random.Random(step), seed=step
        )
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        average.update(start.model, step)
    # Not ru_maxrss: in it counts what the process that started this one had held until then.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(status.split("VmHWM:")[1].split()[0]) << 10
    sys.stdout.write(f"{estimate.total(images)} {peak}\n")


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells of a process")
def test_estimate_is_near_the_measured_peak() -> None:
    answer = subprocess.run(
        [sys.executable, __file__, "16"], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    expected, measured = map(int, answer.split())
    assert measured / 1.5 < expected < measured * 1.5


if __name__ == "__main__":
    measured_peak(int(sys.argv[1]))
