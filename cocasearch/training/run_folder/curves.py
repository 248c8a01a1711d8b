"""A run's log -> a picture of its curves: the losses of every step, recall@1 and @10 of every validation."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cocasearch.atomic_files import replacing
from cocasearch.training.run_folder.run_log import read_log

Points = Sequence[tuple[float, float]]
"""Step and value."""


def draw_curves(log: Path, out: Path) -> None:
    """Write the curves of a log as PNG: losses above, recall of the held-out photos below where there is any.

    Without matplotlib, which comes with the extra `train`, there is no picture.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    entries = read_log(log)
    panels: dict[str, dict[str, Points]] = {}
    with suppress(TypeError, ValueError, AttributeError, LookupError, ArithmeticError):  # others have changed the log
        panels = {"loss": _losses(entries), "recall": _recalls(entries)}
        panels = {name: curves for name, curves in panels.items() if curves}
    figure = Figure(figsize=(9, 3.6 * max(1, len(panels))), layout="constrained")
    for number, (name, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(len(panels), 1, number, xlabel="step", ylabel=name)
        for label, points in curves.items():
            axes.plot(*zip(*points, strict=True), label=label, marker="o" if len(points) <= 50 else None)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(out) as partial:
        figure.savefig(partial, format="png", dpi=100)


def _losses(entries: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    names = {name for entry in entries for name, value in entry.get("losses", {}).items() if value}
    return {
        name: [(float(entry["step"]), float(entry["losses"].get(name, 0.0))) for entry in entries]
        for name in sorted(names)
    }


def _recalls(entries: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    measured = [(float(entry["step"]), entry["validation"]) for entry in entries if entry.get("validation")]
    curves: dict[str, Points] = {
        f"{way.replace('_', ' ')} recall@{k}": [(step, float(report[way][f"recall@{k}"])) for step, report in measured]
        for way in ("text_to_image", "image_to_text")
        for k in (1, 10)
    }
    return curves if measured else {}
