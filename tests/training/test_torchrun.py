"""The commands under `torchrun`: the model that one process makes, told and written once, resumed by any number."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchrun_command import CONFIG, torchrun

from cocasearch.checkpoints.storage import read_model_folder
from cocasearch.training.train import TrainingRequest, train


@pytest.fixture(scope="module")
def data(
    csv_of: Callable[..., Path], more_drawings: Callable[..., list], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return csv_of(tmp_path_factory.mktemp("data") / "photos", more_drawings(24))


@pytest.fixture(scope="module")
def alone(data: Path, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that one process makes."""
    out = tmp_path_factory.mktemp("models") / "alone"
    train(TrainingRequest([data], out, model=str(model_folder)), CONFIG, device="cpu")
    return out


def assert_alike(found: Path, expected: Path, start: Path) -> None:
    """The weights moved to the same place, but for rounding."""
    ours, whole, before = (read_model_folder(folder).load_model().state_dict() for folder in (found, expected, start))
    assert ours.keys() == whole.keys()
    ours, whole, before = (torch.cat([w.float().flatten() for w in x.values()]) for x in (ours, whole, before))
    assert (ours - whole).norm() < 0.02 * (whole - before).norm()


@pytest.mark.parametrize("sharding", ["none", "full"])
def test_two_processes_make_the_model_of_one(
    data: Path, alone: Path, model_folder: Path, tmp_path: Path, sharding: str
) -> None:
    running = torchrun(2, data, tmp_path / "shared", model_folder, f"sharding={sharding}")
    stdout, stderr = running.communicate(timeout=240)
    assert running.returncode == 0, stderr
    assert stdout == ""
    assert stderr.count("wrote ") == 1
    assert stderr.count("text to image") == 3  # two validations and the best
    log = [json.loads(line) for line in (tmp_path / "shared.run" / "log.jsonl").read_text().splitlines()]
    whole = [json.loads(line) for line in (alone.with_name("alone.run") / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [entry["step"] for entry in whole] == list(range(1, 9))
    for name in ("contrastive_loss", "caption_loss"):
        assert log[-1][name] == pytest.approx(whole[-1][name], rel=1e-3)
    assert_alike(tmp_path / "shared", alone, model_folder)
    stored = read_model_folder(tmp_path / "shared").provenance["validation"]
    assert stored["n_images"] == 4


def test_two_processes_stop_together_and_one_goes_on(
    data: Path, alone: Path, model_folder: Path, tmp_path: Path
) -> None:
    running = torchrun(2, data, tmp_path / "shared", model_folder)
    log, checkpoint = tmp_path / "shared.run" / "log.jsonl", tmp_path / "shared.run" / "checkpoint.pt"
    while running.poll() is None and not (log.exists() and log.read_text().count("\n") >= 2):
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    _, stderr = running.communicate(timeout=240)
    assert running.returncode != 0
    assert stderr.count("stopped: what was done is kept") == 1, stderr
    assert checkpoint.exists()
    done = log.read_text().count("\n")
    assert done < 8
    request = TrainingRequest([data], tmp_path / "shared", model=str(model_folder))
    result = train(request, CONFIG, device="cpu")
    assert result.steps == 8
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == list(range(1, 9))
    assert_alike(tmp_path / "shared", alone, model_folder)


def test_fewer_pictures_than_processes_are_refused(data: Path, model_folder: Path, tmp_path: Path) -> None:
    running = torchrun(2, data, tmp_path / "shared", model_folder, "images_per_step=1")
    _, stderr = running.communicate(timeout=240)
    assert running.returncode != 0
    assert "error: a step of 1 pictures cannot be shared by 2 processes" in stderr
