"""What is chosen where nothing is said."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cocasearch.training.config import TrainingConfig
from cocasearch.training.finetune_defaults import choose_config, consistent, fit_memory
from cocasearch.training.step.memory_estimate import MemoryEstimate

CPU = torch.device("cpu")
MIB_A_PICTURE = np.array([[0.0, 2**20]])


def test_defaults_are_gentle_and_longer_for_fewer_pictures(tiny_config) -> None:
    few, many = choose_config(40, tiny_config, CPU), choose_config(100_000, tiny_config, CPU)
    assert few.data.epochs > many.data.epochs >= 4
    assert (few.data.batch_size, many.data.batch_size) == (10, 64)
    assert choose_config(1, tiny_config, CPU).data.batch_size >= 2
    for config in (few, many):
        assert config.optimization.learning_rate < TrainingConfig().optimization.learning_rate
        assert not config.augmentation.flip  # captions may speak of left and right


def test_wider_models_learn_more_slowly(tiny_config) -> None:
    wide = replace(tiny_config, text=replace(tiny_config.text, width=768, heads=12))
    assert choose_config(500, wide, CPU).optimization.learning_rate == pytest.approx(3e-4 / 4)


def test_image_encoder_is_unfrozen_for_many_pictures_on_a_gpu_or_when_asked(tiny_config) -> None:
    def frozen(config: TrainingConfig) -> bool:
        return config.freezing.frozen_epochs >= config.data.epochs

    gpu = torch.device("cuda")
    assert frozen(choose_config(500, tiny_config, gpu))
    assert frozen(choose_config(50_000, tiny_config, CPU))
    assert not frozen(choose_config(50_000, tiny_config, gpu))
    asked = consistent(choose_config(500, tiny_config, CPU).changed(encoder_learning_rate=1e-5))
    assert asked.freezing.frozen_epochs == asked.data.epochs / 4
    longer = consistent(choose_config(500, tiny_config, CPU).changed(epochs=100.0))
    assert longer.freezing.frozen_epochs == 100


def test_steps_that_do_not_fit_are_divided() -> None:
    config = TrainingConfig().changed(batch_size=64)
    estimate = MemoryEstimate(weights=3 << 20, gradients=1 << 20, optimizer=2 << 20, process=0, moments=MIB_A_PICTURE)
    assert fit_memory(config, estimate, None) == config
    assert fit_memory(config, estimate, 1 << 40) == config
    tight = int(estimate.total(16) / 0.7) + 1
    assert fit_memory(config, estimate, tight).computation.micro_batch == 16
    assert fit_memory(config, estimate, 1).computation.micro_batch == 2
