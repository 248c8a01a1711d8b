"""Settings that make no sense are refused, each by its name."""

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.training.config import TrainingConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be above 0, not 0"),
        ({"epochs": float("inf")}, "epochs must be a finite number, not inf"),
        ({"learning_rate": float("inf")}, "learning_rate must be a finite number, not inf"),
        ({"seed": -1}, "seed must be 0 or above, not -1"),
        ({"batch_size": -1}, "batch_size must be above 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"dropout": 1.0}, "dropout must be from 0 to"),
        ({"ema_decay": -0.1}, "ema_decay must be from 0 to"),
        ({"warmup": 3}, "warmup must be from 0 to"),
        ({"fixed_views": -1}, "fixed_views must be from 0 to 1000"),
        ({"fixed_views": 10**9}, "fixed_views must be from 0 to 1000"),
        ({"optimizer": "sgd"}, "optimizer must be adamw or muon, not 'sgd'"),
        ({"precision": "bf16"}, "precision must be auto, float32, bfloat16, pure_bfloat16 or float16, not 'bf16'"),
        ({"schedule": "linear"}, "schedule must be cosine, const or const-cooldown, not 'linear'"),
        ({"cooldown": 1.1}, "cooldown must be from 0 to 1, not 1.1"),
        ({"cooldown_power": 0}, "cooldown_power must be above 0, not 0"),
        ({"warmup_steps": -1}, "warmup_steps must be 0 or above, not -1"),
        ({"max_gradient_norm": -1.0}, "max_gradient_norm must be 0 or above"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, not nan"),
        ({"encoder_learning_rate": -1e-4}, "encoder_learning_rate must be 0 or above, not -0.0001"),
        ({"caption_weight": -1.0}, "caption_weight must be 0 or above, not -1.0"),
        ({"objective": "caption", "caption_start": 0.5}, "caption_start=0 is needed with objective=caption"),
        ({"distill_from": "x", "distill_weight": 0, "distill_caption_weight": 0}, "nothing is learned from x"),
        ({"distill_from": "x", "objective": "caption", "distill_caption_weight": 0}, "nothing is learned from x"),
        (
            {"sharding": "full", "precision": "pure_bfloat16", "optimizer": "adamw"},
            "sharding=full cannot divide weights with precision=pure_bfloat16",
        ),
        ({"sharding": "full", "precision": "float16"}, "sharding=full cannot divide weights with precision=float16"),
        ({"sharding": "full", "contrastive_loss": "sigmoid"}, "sharding=full cannot divide the bias"),
        ({"sentence_weight": 1.1}, "sentence_weight must be from 0 to 1, not 1.1"),
        ({"sentence_temperature": 0.0}, "sentence_temperature must be above 0"),
        (
            {"sentence_weight": 0.3, "contrastive_loss": "sigmoid"},
            "sentence_weight changes the targets of contrastive_loss=",
        ),
        (
            {"sentence_weight": 0.3, "objective": "caption"},
            "sentence_weight changes the targets of contrastive_loss=softmax",
        ),
        ({"sentence_weight": 0.3, "contrastive_weight": 0.0}, "which this run does not learn"),
        ({"image_layer_decay": 0.0}, "image_layer_decay must be above 0"),
        ({"unlocked_text_groups": 2}, "unlocked_text_groups=2 needs lock_text=true"),
        ({"precision": "pure_bfloat16"}, "precision=pure_bfloat16 needs optimizer=adamw"),
        ({"caption_start": 0.6, "caption_ramp": 0.6}, "caption_start and caption_ramp are 1.2 of the run together"),
    ],
)
def test_settings_out_of_range(settings: dict[str, object], message: str) -> None:
    with pytest.raises(CocaSearchError, match=message):
        TrainingConfig().changed(**settings)  # type: ignore[arg-type]


def test_an_encoder_may_be_frozen_for_good() -> None:
    assert TrainingConfig().changed(frozen_epochs=float("inf")).freezing.frozen_epochs == float("inf")


def test_settings_are_changed_by_their_plain_names() -> None:
    config = TrainingConfig().changed(epochs=2.0, flip=False, caption_weight=0.5)
    assert (config.data.epochs, config.augmentation.flip, config.losses.caption_weight) == (2.0, False, 0.5)
    assert config.changed(epochs=16.0, flip=True, caption_weight=1.0) == TrainingConfig()
    with pytest.raises(CocaSearchError, match="there is no setting 'passes'"):
        TrainingConfig().changed(passes=2)


def test_what_only_costs_time_or_room_is_no_part_of_what_a_run_is() -> None:
    identity = TrainingConfig().identity()
    assert TrainingConfig().changed(workers=3, micro_batch=2, compile=True, save_epochs=1.0).identity() == identity
    assert TrainingConfig().changed(dropout=0.2).identity() != identity
