"""What is drawn of a step has the names that people look for, and an unknown reporter is refused."""

from pathlib import Path

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.run_folder.reporters import open_reporter, refuse_unknown, scalars

PROGRESS = TrainingProgress(
    3, 9, {"caption": 2.0}, 40.0, 6.0, total_loss=4.0, logit_scale=14.0, rates={"encoder": 0.001}, reward=0.5
)


def test_a_step_is_drawn_by_name() -> None:
    assert scalars(PROGRESS) == {
        "loss/total": 4.0,
        "loss/caption": 2.0,
        "reward": 0.5,
        "speed/images_per_second": 40.0,
        "logit_scale": 14.0,
        "rate/encoder": 0.001,
    }


def test_a_reporter_that_there_is_not_is_refused(tmp_path: Path) -> None:
    refuse_unknown("wandb")
    with pytest.raises(CocaSearchError, match="'mlflow', only to tensorboard and wandb"):
        open_reporter("mlflow", tmp_path, {}).__enter__()
