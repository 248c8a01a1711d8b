"""A collection of a kind that no photo model has seen: charts and shapes, rendered and captioned from a seed.

    python tests/shapes_collection.py FOLDER 500

writes FOLDER/shapes.csv and its pictures. Four families of pictures make up some 700 captions out of few words, so that
pictures held out of 500 have captions that training saw and captions that it did not.
"""

import csv
import itertools
import random
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw

SIDE = 240  # pixels
COLORS = {
    "red": (214, 40, 40),
    "blue": (36, 84, 200),
    "green": (40, 150, 70),
    "orange": (245, 140, 20),
    "purple": (130, 60, 160),
}
BACKGROUNDS = {"white": (255, 255, 255), "gray": (190, 190, 190), "black": (20, 20, 20)}
SHAPES = ("circle", "square", "triangle", "star")
COUNTS = {1: "a", 2: "two", 3: "three", 4: "four", 5: "five"}


def bar_chart(chance: random.Random) -> tuple[Image.Image, str]:
    """Three to five bars of one color on two axes; the tallest is the first or the last."""
    picture, pen = _page("white")
    count, color, side = chance.choice((3, 4, 5)), chance.choice(list(COLORS)), chance.choice(("left", "right"))
    heights = [chance.uniform(40, 120) for _ in range(count)]
    heights[0 if side == "left" else -1] = chance.uniform(165, 195)
    _axes(pen)
    pitch = 190 / count
    for number, height in enumerate(heights):
        left = 35 + number * pitch + pitch * 0.15
        pen.rectangle((left, 220 - height, left + pitch * 0.7, 219), fill=COLORS[color])
    return picture, f"a bar chart with {COUNTS[count]} {color} bars, the tallest on the {side}"


def line_chart(chance: random.Random) -> tuple[Image.Image, str]:
    """One rising or falling line on two axes, plain or dotted."""
    picture, pen = _page("white")
    color, way, style = (
        chance.choice(list(COLORS)),
        chance.choice(("rising", "falling")),
        chance.choice(("", "dotted ")),
    )
    _axes(pen)
    low, high = chance.uniform(20, 60), chance.uniform(140, 190)
    ends = (low, high) if way == "rising" else (high, low)
    knots = [ends[0] + (ends[1] - ends[0]) * step / 6 + chance.uniform(-9, 9) for step in range(7)]
    points = [(40 + 30 * step, 220 - height) for step, height in enumerate(knots)]
    if style:
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            for part in (0, 1 / 2):
                x, y = x0 + (x1 - x0) * part, y0 + (y1 - y0) * part
                pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=COLORS[color])
    else:
        pen.line(points, fill=COLORS[color], width=6, joint="curve")
    return picture, f"a line chart with a {way} {style}{color} line"


def same_shapes(chance: random.Random) -> tuple[Image.Image, str]:
    """One to three shapes of one kind and color, side by side on a background."""
    background, color, shape = (chance.choice(list(names)) for names in (BACKGROUNDS, COLORS, SHAPES))
    count = chance.choice((1, 2, 3))
    picture, pen = _page(background)
    y = chance.uniform(85, 155)
    for number in range(count):
        x = SIDE * (number + 0.5) / count + chance.uniform(-6, 6)
        _draw(pen, shape, x, y + chance.uniform(-12, 12), chance.uniform(27, 34), COLORS[color])
    return picture, f"{COUNTS[count]} {_color_first(color, shape, count)} on a {background} background"


def pair(chance: random.Random) -> tuple[Image.Image, str]:
    """A shape of one color above a shape of another."""
    above, below = chance.sample(list(COLORS), 2)
    shapes = chance.choice(SHAPES), chance.choice(SHAPES)
    picture, pen = _page("white")
    for color, shape, middle in ((above, shapes[0], 65), (below, shapes[1], 175)):
        size = chance.uniform(34, 44)
        _draw(pen, shape, chance.uniform(80, 160), middle + chance.uniform(-8, 8), size, COLORS[color])
    return picture, f"{_article(above)} {above} {shapes[0]} above {_article(below)} {below} {shapes[1]}"


FAMILIES: tuple[Callable[[random.Random], tuple[Image.Image, str]], ...] = (bar_chart, line_chart, same_shapes, pair)


def render(number: int, seed: int = 0) -> tuple[Image.Image, str]:
    """The picture of a number and its caption; the families take turns."""
    return FAMILIES[number % len(FAMILIES)](random.Random(f"{seed}/{number}"))


def write_shapes(folder: Path, count: int, *, seed: int = 0) -> Path:
    """A CSV of `count` captioned pictures, which lie beside it as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        picture, caption = render(number, seed)
        rows.append((f"{number:04d}.png", caption))
        picture.save(folder / rows[-1][0])
    with (folder / "shapes.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("filepath", "title"), *rows])
    return folder / "shapes.csv"


def _page(background: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (SIDE, SIDE), BACKGROUNDS[background])
    return picture, ImageDraw.Draw(picture)


def _axes(pen: ImageDraw.ImageDraw) -> None:
    pen.line((30, 15, 30, 220, 230, 220), fill="black", width=3)


def _draw(pen: ImageDraw.ImageDraw, shape: str, x: float, y: float, size: float, color: tuple[int, int, int]) -> None:
    box = (x - size, y - size, x + size, y + size)
    if shape == "circle":
        pen.ellipse(box, fill=color)
    elif shape == "square":
        pen.rectangle(box, fill=color)
    elif shape == "triangle":
        pen.polygon([(x, y - size), (x + size, y + size), (x - size, y + size)], fill=color)
    else:
        pen.polygon(_star(x, y, size * 1.15), fill=color)


def _star(x: float, y: float, size: float) -> list[tuple[float, float]]:
    turn = complex(0.8090169943749475, 0.5877852522924731)  # a tenth of a circle
    spokes = [-1j * turn**number * size * (1 if number % 2 == 0 else 0.42) for number in range(10)]
    return [(x + spoke.real, y + spoke.imag) for spoke in spokes]


def _color_first(color: str, shape: str, count: int) -> str:
    return f"{color} {shape}" + ("s" if count > 1 else "")


def _article(color: str) -> str:
    return "an" if color == "orange" else "a"


if __name__ == "__main__":
    write_shapes(Path(sys.argv[1]), int(sys.argv[2]))
