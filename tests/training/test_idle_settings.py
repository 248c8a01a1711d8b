"""A setting that changes nothing is named with the reason, and one that does is not."""

import pytest

from cocasearch.training.config import TrainingConfig
from cocasearch.training.idle_settings import idle_settings


@pytest.mark.parametrize(
    ("changes", "asked", "reason"),
    [
        ({}, "lora_alpha", "without lora_rank (--lora)"),
        ({"objective": "caption"}, "contrastive_weight", "with objective=caption"),
        ({"objective": "contrastive"}, "caption_weight", "with objective=contrastive"),
        ({"optimizer": "adamw"}, "muon_learning_rate", "without optimizer=muon"),
        ({}, "name_weight", "without class names"),
        ({"held_out": 0}, "validations", "without photos to measure on"),
    ],
)
def test_an_idle_setting_is_named(changes: dict[str, object], asked: str, reason: str) -> None:
    config = TrainingConfig().changed(**changes)
    assert idle_settings(config, ["seed", asked]) == [f"{asked} has no effect {reason}"]


def test_what_a_run_is_given_makes_settings_count() -> None:
    config, asked = TrainingConfig(), ["name_weight", "labelled_per_step", "held_out"]
    assert idle_settings(config, asked, names=True, labels=True) == []
    assert idle_settings(config, asked, names=True, labels=True, val=True) == ["held_out has no effect with --val"]
