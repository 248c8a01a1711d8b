"""Of several processes one fails, or whoever started them: told once, nobody left waiting, and the run goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torchrun_command import torchrun

from cocasearch.checkpoints.model_folder import read_model_folder

FAILING = Path(__file__).parent / "failing_process.py"
WITHOUT_A_WORD = "another process of this run ended without a word"
# Each as a fault, its process and step, and how the survivors or the process itself tell it; they follow each other.
FEW = [
    ("memory", 1, 2, "process 1: error: 3 photos at once do not fit in memory; the 2 steps done are kept"),
    ("killed", 0, 3, f"process 1: error: {WITHOUT_A_WORD}"),
    ("launcher killed", 1, 5, "stopped: what was done is kept"),
]
MANY = [
    ("killed", 1, 1, f"error: {WITHOUT_A_WORD}"),
    *FEW[:2],
    ("launcher stopped", 1, 3, "stopped: what was done is kept"),
    ("disk", 0, 5, "error: cannot write the checkpoint"),
    ("not a number", 1, 5, "error: the loss is no longer a number at step 6; the 5 before it are kept"),
    ("launcher killed", 0, 6, "stopped: what was done is kept"),
]


@pytest.fixture(scope="module")
def data(csv_of: Callable[..., Path], more_drawings: Callable[..., list], tmp_path_factory) -> Path:
    return csv_of(tmp_path_factory.mktemp("data") / "photos", more_drawings(24))


def told(stderr: str) -> list[str]:
    """The sentences that are ours, without progress and what torchrun says."""
    return [line for line in stderr.splitlines() if "error: " in line or line.startswith("stopped")]


@pytest.mark.parametrize("faults", [FEW, pytest.param(MANY, marks=pytest.mark.soak)], ids=["few", "many"])
def test_every_failure_is_told_once_and_the_run_ends_in_the_same_weights(
    data: Path, model_folder: Path, tmp_path: Path, faults: list[tuple[str, int, int, str]]
) -> None:
    for fault, rank, step, sentence in faults:
        program = (FAILING, fault, str(rank), str(step))
        running = torchrun(2, data, tmp_path / "failing", model_folder, "dropout=0.1", program=program)
        _, stderr = running.communicate(timeout=120)  # which waits for every process that could write there
        assert running.returncode != 0
        (found,) = told(stderr)
        assert sentence in found
    weights = []
    for name in ("failing", "whole"):
        running = torchrun(2, data, tmp_path / name, model_folder, "dropout=0.1")
        _, stderr = running.communicate(timeout=120)
        assert running.returncode == 0, stderr
        weights.append(read_model_folder(tmp_path / name).load_model().state_dict())
    found, whole = weights
    assert [name for name, value in whole.items() if not torch.equal(found[name], value)] == []
