"""A run's log -> a picture of its curves: the losses of every step, recall@10 and @1 of every validation.

Drawn with Pillow, which reads the photos anyway: two panels of lines need no plotting library.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from cocasearch.atomic_files import replacing
from cocasearch.training.run_folder.run_log import read_log

WIDTH, HEIGHT, MARGIN = 900, 360, 60
COLORS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40))
Points = Sequence[tuple[float, float]]
Place = Callable[[float, float], tuple[float, float]]  # of a step and a value on the picture

_LOSSES = {
    "contrastive loss": "contrastive_loss",
    "captioning loss": "caption_loss",
    "name loss": "name_loss",
    "distillation loss": "distillation_loss",
}


def draw_curves(log: Path, out: Path) -> None:
    """Write the curves of a log as PNG: losses above, recall of the held-out pictures below where there is any."""
    entries = read_log(log)
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    with suppress(
        TypeError, ValueError, AttributeError, LookupError, ArithmeticError
    ):  # a log that others have changed
        panels = [panel for panel in (_losses(entries), _recalls(entries)) if panel]
        picture = Image.new("RGB", (WIDTH, HEIGHT * max(1, len(panels))), "white")
        for number, curves in enumerate(panels):
            _draw_panel(ImageDraw.Draw(picture), number * HEIGHT, curves)
    with replacing(out) as partial:
        picture.save(partial, format="PNG")


def _losses(entries: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    curves: dict[str, Points] = {
        name: [(entry["step"], entry.get(key, 0.0)) for entry in entries] for name, key in _LOSSES.items()
    }
    return {name: points for name, points in curves.items() if any(value for _, value in points)}


def _recalls(entries: Sequence[Mapping[str, Any]]) -> dict[str, Points]:
    measured = [(entry["step"], entry["validation"]) for entry in entries if entry.get("validation")]
    curves: dict[str, Points] = {
        f"{way.replace('_', ' ')} recall@{k}": [(step, report[way][f"recall@{k}"]) for step, report in measured]
        for way in ("text_to_image", "image_to_text")
        for k in (1, 10)
    }
    return curves if measured else {}


def _draw_panel(pen: ImageDraw.ImageDraw, top: int, curves: Mapping[str, Points]) -> None:
    first, last = (pick(x for points in curves.values() for x, _ in points) for pick in (min, max))
    highest = max((y for points in curves.values() for _, y in points), default=0) or 1.0
    left, right, bottom = MARGIN, WIDTH - MARGIN, top + HEIGHT - MARGIN

    def at(x: float, y: float) -> tuple[float, float]:
        return left + (x - first) / max(last - first, 1) * (right - left), bottom - y / highest * (HEIGHT - 2 * MARGIN)

    _draw_axes(pen, at, first, last, highest)
    for number, (name, points) in enumerate(curves.items()):
        color = COLORS[number % len(COLORS)]
        places = [at(x, y) for x, y in points]
        if len(places) > 1:
            pen.line(places, fill=color, width=2, joint="curve")
        for x, y in places if len(places) <= 50 else ():
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=color)
        pen.text((left + number * 200, top + 20), name, fill=color, font_size=14)


def _draw_axes(
    pen: ImageDraw.ImageDraw,
    at: Callable[[float, float], tuple[float, float]],
    first: float,
    last: float,
    highest: float,
) -> None:
    for part in range(5):
        value, step = highest * part / 4, first + (last - first) * part / 4
        (left, y), (right, _) = at(first, value), at(last, value)
        pen.line((left, y, right, y), fill=(220, 220, 220))
        pen.text((left - 8, y), f"{value:.3g}", fill="black", font_size=12, anchor="rm")
        x, bottom = at(step, 0)
        pen.text((x, bottom + 8), f"{step:.0f}", fill="black", font_size=12, anchor="mt")
