"""Processes that share a batch find the gradients of one that has it all; or OpenCLIP's, for its other modes."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from openclip_gradients import assert_openclips, in_openclips_layout
from safetensors.torch import load_file
from torch import Tensor

import cocasearch.training.step.processes as processes_module
from cocasearch.errors import CocaSearchError
from cocasearch.training.step.processes import Processes

HERE = Path(__file__).parent
TESTS = HERE.parents[1]
GOLDEN = TESTS / "golden" / "openclip" / "tiny_main_training.safetensors"
EXACT = 1e-5
# of seven pictures with one to three captions each: processes get three and four
EXACT_CASES: list[dict[str, Any]] = [
    {"local_loss": local_loss, **divided, **others, "several": True}
    for local_loss in (False, True)
    for divided in ({}, {"micro_batch": 2}, {"accumulation": 3})
    for others in ({}, {"objective": "caption"}, {"objective": "contrastive"}, {"lock_image": True})
    if not (local_loss and others and divided)
] + [
    {"local_loss": local_loss, **divided, **others, "several": True}
    for local_loss in (False, True)
    for divided in ({}, {"accumulation": 3})
    for others in (
        {"contrastive_loss": "sigmoid", "objective": "contrastive"},
        {"distill_from": "larger", "distill_weight": 0.5, "distill_caption_weight": 3.0},
        {"gradient_checkpointing": True, "lora_rank": 2},
    )
    if not (local_loss and "lora_rank" in others)
]
EXACT_CASES += [
    {"sharding": "full", **others, "several": True}
    for others in (
        {},
        {"micro_batch": 2},
        {"local_loss": True, "accumulation": 3},
        {"lock_image": True},
        {"micro_batch": 3},  # one part and two
        {"micro_batch": 1, "objective": "caption"},  # three and four
    )
]
# a labelled picture, which one of the processes has
EXACT_CASES += [
    {"label_caption_weight": 0.5, "labelled": True, "several": True, **others}
    for others in ({}, {"micro_batch": 2}, {"sharding": "full"}, {"sharding": "full", "micro_batch": 3})
]
EXACT_CASES += [
    {"sentence_weight": 0.6, "sentence_temperature": 0.5, "several": True, **others}
    for others in ({}, {"local_loss": True}, {"micro_batch": 2}, {"sharding": "full", "micro_batch": 3})
]
OPENCLIPS_CASES: list[dict[str, Any]] = [
    {"gather_with_grad": False},
    {"gather_with_grad": True, "objective": "contrastive"},
    {"gather_with_grad": False, "local_loss": True},
    {"gather_with_grad": True, "local_loss": True, "objective": "contrastive"},
]
OPENCLIPS_NAMES = ("two", "two_gather", "two_local", "two_local_gather")


def run_processes(count: int, cases: list[dict[str, Any]], folder: Path) -> list[dict[str, Tensor]]:
    """What `gradient_process.py` finds for each case in so many processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "USE_LIBUV": "0"}
    paths = {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(HERE / "gradient_process.py"), str(folder / "found.safetensors"), json.dumps(cases)]
    running = [
        subprocess.Popen(command, env={**os.environ, **paths, **places, "RANK": str(rank)}) for rank in range(count)
    ]
    assert [process.wait(timeout=240) for process in running] == [0] * count
    found: list[dict[str, Tensor]] = [{} for _ in cases]
    for key, value in load_file(folder / "found.safetensors").items():
        number, _, name = key.partition(".")
        found[int(number)][name] = value
    return found


Find = Callable[[int], list[dict[str, Tensor]]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Find:
    """found(processes): the gradients of every case."""
    cases = [*EXACT_CASES, *OPENCLIPS_CASES]
    counts = {count: run_processes(count, cases, tmp_path_factory.mktemp(f"of{count}")) for count in (1, 2)}
    return counts.__getitem__


@pytest.mark.parametrize("case", range(len(EXACT_CASES)), ids=lambda number: str(EXACT_CASES[number]))
def test_two_processes_find_the_gradients_of_one(found: Find, case: int) -> None:
    ours, whole = found(2)[case], found(1)[case]
    assert ours.keys() == whole.keys()
    length = torch.cat([value.flatten() for value in whole.values()]).norm()
    for name, value in whole.items():
        error = (ours[name] - value).norm()
        assert error <= EXACT * value.norm() + 1e-8 * length, name
    assert (whole["losses"] > 0).any()


def test_what_texts_mean_matters_to_processes(found: Find) -> None:
    taught = next(number for number, case in enumerate(EXACT_CASES) if "sentence_weight" in case)
    plain = EXACT_CASES.index({"local_loss": False, "several": True})
    name = "text_decoder.projection"
    of_both = [
        torch.cat([value.flatten() for key, value in found(2)[case].items() if key.startswith(name)])
        for case in (taught, plain)
    ]
    assert (of_both[0] - of_both[1]).norm() > 0.1 * of_both[1].norm()


@pytest.mark.parametrize("case", range(4), ids=OPENCLIPS_NAMES)
def test_every_mode_is_openclips(found: Find, case: int) -> None:
    """But captions count by token where gradients are exact; there OpenCLIP's count by process."""
    gradients = {name: value for name, value in found(2)[len(EXACT_CASES) + case].items() if name != "losses"}
    golden = load_file(GOLDEN)
    assert_openclips(in_openclips_layout(gradients), golden, OPENCLIPS_NAMES[case])


def test_the_modes_differ(found: Find) -> None:
    """One process knows no modes; of two, each has gradients of its own."""
    name, at = "image_projection.weight", len(EXACT_CASES)  # no captioning loss reaches it
    plain, exact, local = (found(2)[at + number][name] for number in range(3))
    torch.testing.assert_close(2 * plain, exact, rtol=1e-4, atol=1e-6)  # divided by the number of processes
    assert (local - exact).norm() > 0.1 * exact.norm()
    for number in (1, 2, 3):
        torch.testing.assert_close(found(1)[at + number][name], found(1)[at][name], rtol=1e-4, atol=1e-6)


def test_an_environment_of_one_process_needs_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "192.0.2.1", "MASTER_PORT": "9"}.items():
        monkeypatch.setenv(name, value)
    assert Processes.join(torch.device("cpu")).count == 1
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(("rank", "count"), [("2", "2"), ("abc", "2"), ("0", "abc"), ("", "2")])
def test_numbers_that_no_process_can_have_are_refused(monkeypatch: pytest.MonkeyPatch, rank: str, count: str) -> None:
    settings = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": rank, "WORLD_SIZE": count}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CocaSearchError, match=f"RANK is '{rank}' and WORLD_SIZE '{count}'"):
        Processes.join(torch.device("cpu"))


@pytest.mark.parametrize(
    ("settings", "reason"), [({}, "MASTER_ADDR"), ({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}, "imed out")]
)
def test_processes_that_never_come_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], reason: str
) -> None:
    monkeypatch.setattr(processes_module, "_GATHERING", timedelta(seconds=0.5))
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", **settings}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CocaSearchError, match=f"2 processes of this run do not find each other: .*{reason}") as caught:
        Processes.join(torch.device("cpu"))
    assert "torchrun" in str(caught.value.hint)
