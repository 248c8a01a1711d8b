"""Ours against OpenCLIP on the same weights and inputs, in turn: `make bench` prints the ratios.

README.md beside this file says how to install OpenCLIP for it. The goals stand in the table as "wanted"; what is
asserted is only that both sides do the same work.
"""

import contextlib
import datetime
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.processes import DATA, HERE, ROUNDS, THREADS, Json, Report, Worker, processor
from benchmarks.seeded_models import ARCHITECTURE

import cocasearch

pytestmark = pytest.mark.benchmark

REPORT = DATA / "against-openclip.md"
BATCH = 8
MAX_IDS = 30
VECTORS_AGREE = 1e-5
# What inference/device.py sets, by the names under which glibc reads it when a process starts.
KEEP_FREED_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}


@dataclass(frozen=True, eq=False)
class Contender:
    """One way of doing a task: what its request says beside the task, and how many times faster ours should be."""

    label: str
    request: Json = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    wanted: float | None = None


@dataclass(frozen=True)
class Contest:
    """A task, our ways of doing it, and OpenCLIP's.

    Args:
        fresh: Every run is a new process, timed from its start.
    """

    task: str
    ours: list[Contender]
    theirs: list[Contender]
    fresh: bool = False


def both_ways(label: str, request: Json, wanted: float | None) -> list[Contender]:
    """OpenCLIP as it comes, and with the allocator set as we set it."""
    return [
        Contender(label, request, wanted=wanted),
        Contender(f"{label}, allocator set", request, KEEP_FREED_MEMORY),
    ]


def captions_with(**options: Any) -> Json:
    return {"options": options}


CONTESTS = {
    "default_captions": Contest(
        task="captions",
        ours=[
            Contender("as shipped", captions_with(max_length=MAX_IDS)),
            Contender("3 beams, no rerank", captions_with(max_length=MAX_IDS, num_beams=3, rerank=0.0)),
        ],
        theirs=both_ways("beam search 6x3", captions_with(seq_len=MAX_IDS), 40),
    ),
    "greedy_captions": Contest(
        task="captions",
        ours=[Contender("greedy", captions_with(max_length=MAX_IDS, strategy="greedy"))],
        theirs=both_ways("top_k=1", captions_with(seq_len=MAX_IDS, generation_type="top_k", top_k=1), 10),
    ),
    "image_embedding": Contest(
        task="images",
        ours=[Contender("as shipped")],
        theirs=[
            *both_ways("fp32, one process", {"loaders": 0}, 3.5),
            *both_ways("fp32, 2 loaders", {"loaders": 2}, 3.5),
            Contender("bf16 autocast, one process", {"loaders": 0, "autocast": True}, wanted=1.2),
            Contender("bf16 autocast, 2 loaders", {"loaders": 2, "autocast": True}, wanted=1.2),
        ],
    ),
    "text_embedding": Contest(
        task="texts",
        ours=[
            Contender("batch 8"),
            Contender("its own batch", {"batch_size": None}),
        ],
        theirs=both_ways("batch 8", {}, 5),
    ),
    "start_to_first_vector": Contest(
        task="texts",
        ours=[Contender("new process", {"texts": ["a dog on a beach"]})],
        theirs=both_ways("new process", {"texts": ["a dog on a beach"]}, None),
        fresh=True,
    ),
}


Start = Callable[[str, str, Contender], Worker]


@pytest.fixture
def start(
    request: pytest.FixtureRequest, openclip_python: str, weights: Path, model_folder: Path, captions: list[str]
) -> Start:
    """Starts a worker: the side, the task and the contender's way of doing it."""
    commands = {
        "ours": [sys.executable, str(HERE / "cocasearch_worker.py")],
        "theirs": [openclip_python, str(HERE / "openclip_worker.py")],
    }
    common = {"architecture": ARCHITECTURE, "weights": str(weights), "model": str(model_folder)}
    common |= {"threads": THREADS, "batch_size": BATCH}

    def start(side: str, task: str, contender: Contender) -> Worker:
        inputs = {"files": request.getfixturevalue("photos")} if task == "images" else {"texts": captions}
        return Worker(commands[side], {**common, **inputs, "task": task, **contender.request}, contender.environment)

    return start


Run = tuple[str, Contender]  # side and its way
Results = dict[Run, list[Json]]


def hold(contest: Contest, start: Start) -> Results:
    """The answers of every contender, round by round in turn, after one run each that does not count."""
    runs = [("ours", contender) for contender in contest.ours] + [("theirs", contender) for contender in contest.theirs]
    results: Results = {run: [] for run in runs}
    if contest.fresh:
        for _, run in itertools.product(range(ROUNDS), runs):
            results[run].append(new_process(start, contest.task, run))
        return results
    with contextlib.ExitStack() as stack:
        workers = {run: stack.enter_context(contextlib.closing(start(run[0], contest.task, run[1]))) for run in runs}
        for worker in workers.values():
            worker.run()
        for _, (run, worker) in itertools.product(range(ROUNDS), workers.items()):
            results[run].append(worker.run())
    return results


def new_process(start: Start, task: str, run: Run) -> Json:
    started = time.perf_counter()
    with contextlib.closing(start(run[0], task, run[1])) as worker:
        return {**worker.run(), "seconds": time.perf_counter() - started}


class ContestReport(Report):
    """The table, a file in the end."""

    def add_contest(self, name: str, contest: Contest, results: Results) -> None:
        """One row for each pair of ours and theirs."""
        for ours, theirs in itertools.product(contest.ours, contest.theirs):
            our_runs, their_runs = results["ours", ours], results["theirs", theirs]
            pairs = zip(our_runs, their_runs, strict=True)
            ratio = statistics.median(b["seconds"] / a["seconds"] for a, b in pairs)
            wanted = f"{theirs.wanted:g}" if theirs.wanted else ""
            cells = [name.replace("_", " "), ours.label, *figures(our_runs), theirs.label, *figures(their_runs)]
            self.add(f"| {' | '.join(cells)} | {ratio:.2f} | {wanted} |")


def figures(runs: list[Json]) -> tuple[str, str]:
    """Median seconds and peak memory."""
    seconds = statistics.median(run["seconds"] for run in runs)
    return f"{seconds:.3f}", f"{max(run['peak_bytes'] for run in runs) / 1e6:,.0f}"


@pytest.fixture(scope="module")
def report(openclip_python: str) -> Iterator[ContestReport]:
    """The table under a line about the machine."""
    columns = ["task", "ours", "s", "MB", "OpenCLIP", "s", "MB", "times", "wanted"]
    report = ContestReport([])
    report.add(*about(openclip_python), "", f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}")
    yield report
    report.add("", f"load average at the end: {os.getloadavg()[0]:.1f}", "")
    REPORT.write_text("\n".join(report.lines), encoding="utf-8")


def about(openclip_python: str) -> list[str]:
    """The machine, the versions and how it was measured."""
    packages = ("open_clip_torch", "transformers", "torch")
    ask = f"import importlib.metadata as m; print(*(p + ' ' + m.version(p) for p in {packages}), sep=', ')"
    theirs = subprocess.run([openclip_python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
    return [
        f"{datetime.date.today()}, {processor()}; {THREADS} threads, batch {BATCH}, {ROUNDS} paired rounds, medians,",
        f"load average at the start: {os.getloadavg()[0]:.1f}",
        f"ours: cocasearch {cocasearch.__version__}, torch {torch.__version__}; theirs: {theirs}",
    ]


def test_both_sides_compute_the_same(start: Start) -> None:
    exactly = Contender("exactly", {"dtype": "float32"})  # ours is in bfloat16 where the CPU has it
    answers = []
    for side in ("ours", "theirs"):
        with contextlib.closing(start(side, "vectors", exactly)) as worker:
            answers.append(worker.run())
    for kind in ("images", "texts"):
        ours, theirs = (np.array(answer[kind]) for answer in answers)
        assert np.abs(ours - theirs).max() < VECTORS_AGREE


@pytest.mark.parametrize("name", CONTESTS)
def test_contest(name: str, start: Start, report: ContestReport) -> None:
    contest = CONTESTS[name]
    results = hold(contest, start)
    report.add_contest(name, contest, results)
    everything = [answer for answers in results.values() for answer in answers]
    assert len({answer["items"] for answer in everything}) == 1
    assert {length for answer in everything for length in answer.get("lengths", [])} <= {MAX_IDS}
