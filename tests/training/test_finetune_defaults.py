"""What is chosen where nothing is said, and what it is expected to need."""

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cocasearch.model.config import EfficientNetLiteConfig
from cocasearch.training.config import TrainingConfig
from cocasearch.training.distillation import read_teacher
from cocasearch.training.finetune_defaults import choose_config, consistent, fit_memory
from cocasearch.training.gradients import Gradients
from cocasearch.training.memory_estimate import MemoryEstimate, estimate_memory
from cocasearch.training.objective import Objective
from cocasearch.training.preparation import prepare

CPU = torch.device("cpu")
FLOAT32 = {"precision": "float32", "optimizer": "adamw", "captions_per_image": 2, "frozen_blocks": 0}


def test_defaults_are_gentle_and_longer_for_fewer_pictures(tiny_config) -> None:
    few, many = choose_config(40, tiny_config, CPU), choose_config(100_000, tiny_config, CPU)
    assert few.passes > many.passes >= 4
    assert (few.images_per_step, many.images_per_step) == (10, 64)
    assert choose_config(1, tiny_config, CPU).images_per_step >= 2
    for config in (few, many):
        assert config.learning_rate < TrainingConfig().learning_rate
        assert not config.augmentation.flip  # captions may speak of left and right


def test_wider_models_learn_more_slowly(tiny_config) -> None:
    wide = replace(tiny_config, text=replace(tiny_config.text, width=768, heads=12))
    assert choose_config(500, wide, CPU).learning_rate == pytest.approx(3e-4 / 4)


def test_image_encoder_is_thawed_for_many_pictures_on_a_gpu_or_when_asked(tiny_config) -> None:
    def frozen(config: TrainingConfig) -> bool:
        return config.frozen_passes >= config.passes

    gpu = torch.device("cuda")
    assert frozen(choose_config(500, tiny_config, gpu))
    assert frozen(choose_config(50_000, tiny_config, CPU))
    assert not frozen(choose_config(50_000, tiny_config, gpu))
    asked = consistent(replace(choose_config(500, tiny_config, CPU), encoder_learning_rate=1e-5))
    assert asked.frozen_passes == asked.passes / 4
    longer = consistent(replace(choose_config(500, tiny_config, CPU), passes=100.0))
    assert longer.frozen_passes == 100


def gradients_of(new_start, config: TrainingConfig) -> Gradients:
    start = new_start()
    prepare(start.model, config, start.provenance)
    return Gradients(Objective(start.model, start.tokenizer, config), config)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_estimate_leaves_nothing_behind_and_grows_with_pictures(new_start, is_frozen: bool) -> None:
    config = TrainingConfig(**FLOAT32)
    gradients = gradients_of(new_start, config)
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
        config = TrainingConfig(**{**FLOAT32, "ema_decay": 0.0, **changes})
        start = new_start()
        prepare(start.model, config, start.provenance)
        larger = read_teacher(config, start, CPU)
        gradients = Gradients(Objective(start.model, start.tokenizer, config, larger=larger), config)
        return estimate_memory(gradients, config, image_size=32, caption_tokens=12, encoder_is_frozen=False)

    plain, taught = estimate(), estimate(distill_from=str(model_folder))
    assert taught.weights == 2 * plain.weights
    assert taught.activations(16) > plain.activations(16)
    assert estimate(ema_decay=0.9).weights == 2 * plain.weights
    narrow = {"precision": "pure_bfloat16"}
    average = estimate(ema_decay=0.9, **narrow).weights - estimate(**narrow).weights
    assert average == plain.weights


def test_steps_that_do_not_fit_are_divided(new_start) -> None:
    config = TrainingConfig(**FLOAT32, images_per_step=64)
    estimate = estimate_memory(
        gradients_of(new_start, config), config, image_size=32, caption_tokens=12, encoder_is_frozen=False
    )
    assert fit_memory(config, estimate, None) == config
    assert fit_memory(config, estimate, 1 << 40) == config
    tight = int(estimate.total(16) / 0.7) + 1
    assert fit_memory(config, estimate, tight).micro_batch == 16
    assert fit_memory(config, estimate, 1).micro_batch == 2


def measured_peak(images: int) -> None:
    """Take two steps of coca-mini with its encoder trained, and print expected and measured bytes."""
    from cocasearch.inference.device import keep_freed_memory
    from cocasearch.inference.loaded_model import lay_out_image_encoder
    from cocasearch.paths import bundled_model_folder
    from cocasearch.training.memory_estimate import _batch
    from cocasearch.training.optimizer import WeightAverage, build_optimizers
    from cocasearch.training.starting_point import from_model_folder

    keep_freed_memory()
    start, config = from_model_folder(bundled_model_folder()), TrainingConfig(**FLOAT32)
    assert isinstance(start.model.config.image, EfficientNetLiteConfig)
    lay_out_image_encoder(start.model)
    prepare(start.model, config, start.provenance)
    gradients = Gradients(Objective(start.model, start.tokenizer, config), config)
    estimate = estimate_memory(gradients, config, image_size=192, caption_tokens=16, encoder_is_frozen=False)
    optimizers, average = build_optimizers(start.model, config), WeightAverage(start.model, 0.98)
    start.model.train()
    for step in range(2):
        gradients.compute(
            _batch(images, 192, 16, config, CPU), encoder_is_frozen=False, chance=random.Random(step), seed=step
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
