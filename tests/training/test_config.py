"""Settings that make no sense are refused, each by its name."""

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.training.config import TrainingConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"passes": 0}, "passes must be above 0, not 0"),
        ({"passes": float("inf")}, "passes must be a number of passes, not inf"),
        ({"images_per_step": -1}, "images_per_step must be above 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"dropout": 1.0}, "dropout must be from 0 to"),
        ({"ema_decay": -0.1}, "ema_decay must be from 0 to"),
        ({"warmup": 3}, "warmup must be from 0 to"),
        ({"optimizer": "sgd"}, "optimizer must be adamw or muon, not 'sgd'"),
        ({"precision": "bf16"}, "precision must be auto, float32 or bfloat16, not 'bf16'"),
    ],
)
def test_settings_out_of_range(settings: dict[str, object], message: str) -> None:
    with pytest.raises(CocaSearchError, match=message):
        TrainingConfig(**settings)  # type: ignore[arg-type]


def test_an_encoder_may_be_frozen_for_good() -> None:
    assert TrainingConfig(frozen_passes=float("inf")).frozen_passes == float("inf")
