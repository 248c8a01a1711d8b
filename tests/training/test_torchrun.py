"""The commands under `torchrun`: the model that one process makes, told and written once, resumed by any number."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torchrun_command import CONFIG, torchrun

from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.evaluation.benchmark import EvaluationReport
from cocasearch.evaluation.retrieval_metrics import Recall, RetrievalScores
from cocasearch.training.config import TrainingConfig
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.train_job import TrainingRequest, train

FAILING = Path(__file__).parent / "failing_process.py"


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


@pytest.mark.parametrize(
    "settings",
    [
        ("sharding=none",),
        ("sharding=full",),
        pytest.param(("sharding=none", "compile=true"), marks=pytest.mark.soak),
        pytest.param(("sharding=full", "compile=true"), marks=pytest.mark.soak),
    ],
    ids=str,
)
def test_two_processes_make_the_model_of_one(
    data: Path, alone: Path, model_folder: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    running = torchrun(2, data, tmp_path / "shared", model_folder, *settings)
    stdout, stderr = running.communicate(timeout=240)
    assert running.returncode == 0, stderr
    assert stdout == ""
    assert stderr.count("wrote ") == 1
    assert stderr.count("text to image") == 3  # two validations and the best
    log = [json.loads(line) for line in (tmp_path / "shared.run" / "log.jsonl").read_text().splitlines()]
    whole = [json.loads(line) for line in (alone.with_name("alone.run") / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [entry["step"] for entry in whole] == list(range(1, 9))
    for name in ("contrastive", "caption"):
        assert log[-1]["losses"][name] == pytest.approx(whole[-1]["losses"][name], rel=1e-3)
    assert_alike(tmp_path / "shared", alone, model_folder)
    stored = read_model_folder(tmp_path / "shared").provenance["validation"]
    assert stored["n_images"] == 4


def test_two_processes_that_divide_the_model_read_cached_features_as_one_does(
    data: Path, model_folder: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"frozen_blocks": 2, "fixed_views": 2, "cache_features": True, "sentence_weight": 0.3}
    train(
        TrainingRequest([data], tmp_path / "alone", model=str(model_folder)),
        CONFIG.changed(**changes),
        device="cpu",
    )
    settings = [f"{name}={value}" for name, value in changes.items()]
    running = torchrun(2, data, tmp_path / "shared", model_folder, "sharding=full", *settings)
    _, stderr = running.communicate(timeout=240)
    assert running.returncode == 0, stderr
    assert_alike(tmp_path / "shared", tmp_path / "alone", model_folder)


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


def stop_after(step: int, out: Path, data: Path, model: Path, config: TrainingConfig) -> None:
    """One process trains until then."""

    def stop(progress: TrainingProgress) -> None:
        if progress.step == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TrainingRequest([data], out, model=str(model)), config, progress=stop, device="cpu")


def checkpoint(out: Path) -> dict[str, Any]:
    with torch.serialization.safe_globals([EvaluationReport, RetrievalScores, Recall]):
        return torch.load(out.with_name(f"{out.name}.run") / "checkpoint.pt", weights_only=True)


def stored_tensors(stored: Any) -> list[torch.Tensor]:
    is_named = isinstance(stored, dict)
    children = [stored[name] for name in sorted(stored)] if is_named else stored if isinstance(stored, list) else []
    own = [stored.float().flatten()] if isinstance(stored, torch.Tensor) else []
    return own + [tensor for child in children for tensor in stored_tensors(child)]


ONCE_DIVIDED = [(3, "full")]
THREE_WAYS = [(3, "full"), (5, "none"), (6, "full")]


@pytest.mark.parametrize(
    ("stages", "changes", "tolerance"),
    [
        (ONCE_DIVIDED, {}, 1e-5),
        pytest.param(THREE_WAYS, {}, 1e-5, marks=pytest.mark.soak),
        pytest.param(THREE_WAYS, {"lora_rank": 2}, 1e-5, marks=pytest.mark.soak),
        pytest.param(THREE_WAYS, {"lock_image": True, "micro_batch": 2}, 1e-5, marks=pytest.mark.soak),
        # It rounds to bfloat16, and so enlarges differences of rounding.
        pytest.param(THREE_WAYS, {"optimizer": "muon"}, 1e-2, marks=pytest.mark.soak),
    ],
    ids=str,
)
def test_a_run_goes_on_with_any_number_of_processes_and_any_sharding(
    data: Path,
    model_folder: Path,
    tmp_path: Path,
    stages: list[tuple[int, str]],
    changes: dict[str, Any],
    tolerance: float,
) -> None:
    config = CONFIG.changed(**changes)
    settings = [f"{name}={value}" for name, value in changes.items()]
    out, whole = tmp_path / "changing", tmp_path / "whole"
    stop_after(1, out, data, model_folder, config)
    for step, sharding in stages:
        program = (FAILING, "launcher stopped", "0", str(step - 1))
        running = torchrun(2, data, out, model_folder, f"sharding={sharding}", *settings, program=program)
        _, stderr = running.communicate(timeout=120)
        assert checkpoint(out)["state"]["step"] == step, stderr
    stop_after(7, out, data, model_folder, config)
    stop_after(7, whole, data, model_folder, config)
    found, expected = checkpoint(out), checkpoint(whole)
    for part, times in (("model", 1), ("average", 1), ("optimizers", 10)):  # squares of gradients differ by more
        ours, alone = (torch.cat(stored_tensors(stored[part])) for stored in (found, expected))
        assert (ours - alone).norm() <= times * tolerance * alone.norm(), part


def test_fewer_pictures_than_processes_are_refused(data: Path, model_folder: Path, tmp_path: Path) -> None:
    running = torchrun(2, data, tmp_path / "shared", model_folder, "batch_size=1")
    _, stderr = running.communicate(timeout=240)
    assert running.returncode != 0
    assert "error: a step of 1 photo cannot be shared by 2 processes" in stderr
