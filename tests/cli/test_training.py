import json

import pytest

from cocasearch.cli.settings import apply_settings
from cocasearch.errors import CocaSearchError
from cocasearch.training.config import TrainingConfig

TINY_RUN = ("--set", "passes=1", "--set", "images_per_step=4", "--set", "validations=1", "--set", "frozen_passes=0")


@pytest.fixture
def captioned(prompt):
    """Ten captioned photos of two kinds."""
    photos = prompt.folder / "photos"
    rows = ["filepath\ttitle"]
    for name in ("red-square.jpg", "turned.jpg"):
        for number in range(5):
            copy = photos / f"{number}-{name}"
            copy.write_bytes((photos / name).read_bytes())
            rows.append(f"photos/{copy.name}\ta {name.split('-')[0]} thing")
    (prompt.folder / "captions.tsv").write_text("\n".join(rows) + "\n")
    return prompt


def test_settings_change_fields_by_name_and_type():
    changed = apply_settings(
        TrainingConfig(), ["passes=2", "optimizer=adamw", "augmentation.flip=false", "frozen_passes=inf"]
    )
    assert (changed.passes, changed.optimizer, changed.augmentation.flip) == (2.0, "adamw", False)
    assert changed.frozen_passes == float("inf")
    assert changed.augmentation.min_area == TrainingConfig().augmentation.min_area


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("dropuot=0.1", "did you mean 'dropout'"),
        ("augmentation.colour=0.1", "did you mean 'color'"),
        ("passes", "'passes' gives no value"),
        ("passes=many", "'passes' takes a number, not 'many'"),
        ("images_per_step=1.5", "'images_per_step' takes a whole number"),
        ("dropout=2", "dropout must be from 0"),
    ],
)
def test_wrong_setting_is_named(setting, words):
    with pytest.raises(CocaSearchError, match=words):
        apply_settings(TrainingConfig(), [setting])


def test_trained_model_can_be_used(captioned):
    result = captioned("train", "captions.tsv", "--out", "trained", "--model", "tiny", *TINY_RUN)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert "wrote trained after 2 steps" in result.stderr
    assert captioned("index", "photos", "--model", "./trained").exit_code == 0


def test_finetuning_measures_the_same_photos_before_and_after(captioned):
    options = ("--out", "mine", "--model", "tiny", "--passes", "1", "--batch-size", "2", "--json")
    result = captioned("finetune", "captions.tsv", *options)
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["before"]["n_images"] == report["after"]["n_images"] == 2
    assert captioned("models", "info", "./mine").exit_code == 0
