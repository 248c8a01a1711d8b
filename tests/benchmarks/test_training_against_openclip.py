"""Our training step against open_clip_train's, on the same weights and batches: the same numbers, and the ratios.

`make bench` prints the table; README.md beside this file says how to install OpenCLIP. What is asserted is that both
sides compute the same; the goals stand in the table as "wanted".
"""

import contextlib
import os
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from benchmarks.processes import DATA, HERE, ROUNDS, THREADS, Json, Report, Worker, processor
from benchmarks.training_golden import run_openclip, train_with_openclip
from openclip_gradients import Layout, gradients_in_openclips_layout, in_openclips_layout, tiny_main
from openclip_step import OPENCLIPS, compute_gradients, openclips_step
from safetensors.torch import load_file
from torch import Tensor

from cocasearch.model.coca import CoCa
from cocasearch.training.losses.step_losses import StepLosses
from cocasearch.training.model.starting_point import from_model_folder
from cocasearch.training.step.optimizer import build_optimizers

pytestmark = pytest.mark.benchmark

REPORT = DATA / "training-against-openclip.md"
ARCHITECTURE, BATCH = "coca_ViT-B-32", 32
EXACT = 1e-5


@dataclass(frozen=True)
class Contender:
    """A precision, and how many times as fast, and in which share of the memory, ours should be."""

    label: str
    request: Json = field(default_factory=dict)
    times: float | None = None
    memory: float | None = None


# Between time and memory, of which the goals ask for both: a third of the image encoder is computed twice.
OURS = [Contender("4 blocks checkpointed", {"checkpointed_image_blocks": 4}), Contender("as it comes")]
THEIRS = [
    Contender("fp32", {"precision": "fp32"}, times=3.0, memory=0.5),
    Contender("amp_bf16", {"precision": "amp_bf16"}, times=1.3),
    Contender("pure_bf16", {"precision": "pure_bf16"}, times=1.3),
]


def test_a_step_gives_openclips_gradients_and_parameters(openclip_python: str, tmp_path: Path) -> None:
    """Every element of the tiny model, after a step at the full rate without warm-up."""
    theirs = run_openclip(openclip_python, tmp_path)
    model, losses = openclips_step()
    assert_same_step(model, losses, theirs, tiny_main(), EXACT)


@pytest.mark.parametrize(("exact_caption_loss", "tolerance"), [(True, EXACT), (False, 2e-4)])
def test_a_step_at_real_size_gives_openclips_gradients_and_parameters(
    openclip_python: str,
    weights: Path,
    model_folder: Path,
    captions: list[str],
    tmp_path: Path,
    exact_caption_loss: bool,
    tolerance: float,
) -> None:
    """To 1e-5 where OpenCLIP's caption loss sums the vocabulary exactly; as it comes, its gradients are 5e-5 off.

    Ours in float32 are within 1e-6 of ours in float64.
    """
    start = from_model_folder(model_folder)
    pixels = torch.randn(BATCH, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    ids = start.tokenizer(captions[:BATCH], start.model.config.text.context_length)
    request = {"architecture": ARCHITECTURE, "weights": str(weights), "threads": THREADS}
    request["exact_caption_loss"] = exact_caption_loss
    theirs = train_with_openclip(openclip_python, tmp_path, pixels, ids, **request)
    losses = compute_gradients(start.model, pixels, ids, OPENCLIPS)
    assert_same_step(start.model, losses, theirs, (start.model.config, load_file(weights)), tolerance)


def assert_same_step(
    model: CoCa, losses: StepLosses, theirs: dict[str, Tensor], layout: Layout, tolerance: float
) -> None:
    """Losses to 1e-5; gradients and, after our step, parameters to a share of their length."""
    ours = torch.stack([losses.values["contrastive"], 2 * losses.values["caption"]])[None]
    torch.testing.assert_close(ours, theirs["losses"], atol=0, rtol=EXACT)
    gradients = gradients_in_openclips_layout(model, layout)
    whole = torch.cat([value.flatten() for value in gradients.values()]).norm()
    for key, value in gradients.items():
        expected = theirs[f"gradient.{key}"]
        assert (value - expected).norm() <= tolerance * expected.norm() + 1e-8 * whole, key
    for optimizer in build_optimizers(model, OPENCLIPS):
        optimizer.step()
    for key, value in in_openclips_layout(dict(model.named_parameters()), layout).items():
        found, expected = value.flatten(), theirs[f"parameter.{key}"].flatten()
        if key.endswith("in_proj_bias"):  # a key's bias has no gradient but rounding, of which AdamW makes a step
            third = torch.arange(len(found)) // (len(found) // 3)
            found, expected = found[third != 1], expected[third != 1]
        assert (found - expected).norm() <= tolerance * expected.norm(), key


def test_throughput_and_memory(openclip_python: str, weights: Path, model_folder: Path, captions: list[str]) -> None:
    common = {"architecture": ARCHITECTURE, "weights": str(weights), "model": str(model_folder), "threads": THREADS}
    common["texts"] = captions[:BATCH]
    scripts = {"ours": (sys.executable, "cocasearch"), "theirs": (openclip_python, "openclip")}
    runs = [("ours", contender) for contender in OURS] + [("theirs", contender) for contender in THEIRS]
    results: dict[tuple[str, Contender], list[Json]] = {}
    for side, contender in runs:  # one after the other: two models in training do not fit in the memory of a laptop
        python, name = scripts[side]
        request = {**common, **contender.request} if side == "theirs" else {**common, "config": contender.request}
        command = [python, str(HERE / f"{name}_training_worker.py")]
        with contextlib.closing(Worker(command, request)) as worker:
            worker.run()
            results[side, contender.label] = [worker.run() for _ in range(ROUNDS)]
    report = Report([])
    report.add(f"{processor()}; {THREADS} threads, {ARCHITECTURE}, batch {BATCH}, {ROUNDS} steps each, medians")
    report.add(
        "| ours | photos/s | MB | OpenCLIP | photos/s | MB | times | wanted | memory | wanted |", "|" + " --- |" * 10
    )
    for ours in OURS:
        for theirs in THEIRS:
            report.add(row(ours, results["ours", ours.label], theirs, results["theirs", theirs.label]))
    report.add(f"load average at the end: {os.getloadavg()[0]:.1f}", "")
    REPORT.write_text("\n".join(report.lines), encoding="utf-8")
    assert {answer["items"] for answers in results.values() for answer in answers} == {BATCH}


def row(ours: Contender, our_runs: list[Json], theirs: Contender, their_runs: list[Json]) -> str:
    our_seconds, their_seconds = (statistics.median(run["seconds"] for run in runs) for runs in (our_runs, their_runs))
    our_peak, their_peak = (max(run["peak_bytes"] for run in runs) for runs in (our_runs, their_runs))
    cells = [ours.label, f"{BATCH / our_seconds:.2f}", f"{our_peak / 1e6:,.0f}"]
    cells += [theirs.label, f"{BATCH / their_seconds:.2f}", f"{their_peak / 1e6:,.0f}"]
    cells += [f"{their_seconds / our_seconds:.2f}", f"{theirs.times:g}" if theirs.times else ""]
    cells += [f"{our_peak / their_peak:.2f}", f"{theirs.memory:g}" if theirs.memory else ""]
    return f"| {' | '.join(cells)} |"
