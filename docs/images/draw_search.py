"""The picture on the first page: what `cocasearch query "a cat"` finds among the sample photos, drawn as it answers.

    python docs/images/draw_search.py

indexes the sample photos into a temporary folder, asks, and writes search.png beside this program.
"""

import json
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PHOTOS = "cocasearch/assets/photos"
QUERY, HITS = "a cat", 3
WIDTH, MARGIN, GAP, PHOTO_HEIGHT = 1200, 36, 24, 250  # pixels
PAPER, INK, FAINT, ACCENT = "#10242b", "#f2f5f5", "#8fa5ab", "#4fd1b5"
COLORS = 200  # of the palette, which keeps the file small


def main() -> None:
    """Ask, draw and write the file."""
    with tempfile.TemporaryDirectory() as index:
        _cocasearch("index", PHOTOS, "--index", index)
        hits = json.loads(_cocasearch("query", QUERY, "--index", index, "--top", str(HITS), "--json"))
    picture = draw(hits).quantize(COLORS, dither=Image.Dither.FLOYDSTEINBERG)
    picture.save(Path(__file__).with_name("search.png"), optimize=True)


def draw(hits: list[dict]) -> Image.Image:
    """The command line above a card for each hit: photo, score, file name and caption."""
    picture = Image.new("RGB", (WIDTH, 500), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN, 30), "$", FAINT, _font(30))
    pen.text((MARGIN + 32, 30), f'cocasearch query "{QUERY}" --index demo --top {HITS}', INK, _font(30))
    card = (WIDTH - 2 * MARGIN - (HITS - 1) * GAP) // HITS
    for place, hit in enumerate(hits):
        left = MARGIN + place * (card + GAP)
        with Image.open(hit["path"]) as photo:
            picture.paste(_cover(photo, card, PHOTO_HEIGHT), (left, 95))
        pen.text((left, 360), f"{hit['score']:.3f}", ACCENT, _font(30))
        pen.text((left + 95, 366), Path(hit["path"]).name, FAINT, _font(22))
        unsure = "" if hit["caption_is_sure"] else "unsure: "
        pen.multiline_text((left, 408), textwrap.fill(unsure + hit["caption"], 32), INK, _font(23), spacing=10)
    return picture


def _cover(photo: Image.Image, width: int, height: int) -> Image.Image:
    """The middle of a photo that fills so many pixels."""
    scale = max(width / photo.width, height / photo.height)
    photo = photo.convert("RGB").resize((round(photo.width * scale), round(photo.height * scale)))
    left, top = (photo.width - width) // 2, (photo.height - height) // 2
    return photo.crop((left, top, left + width, top + height))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)  # Pillow brings it, so that the picture is the same everywhere


def _cocasearch(*words: str) -> str:
    command = [sys.executable, "-m", "cocasearch", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
