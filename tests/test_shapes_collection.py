"""The rendered collection is the same from the same seed, and large enough that knowing it means something."""

import csv
from pathlib import Path

from shapes_collection import render, write_shapes


def test_captions_are_many_and_made_of_few_words() -> None:
    captions = [render(number)[1] for number in range(500)]
    assert len(set(captions)) >= 120
    assert len({word for caption in captions for word in caption.replace(",", "").split()}) < 50
    held_out, others = captions[400:], captions[:400]
    assert len(set(held_out)) >= 50
    assert 10 < len(set(held_out) - set(others)) < len(set(held_out)) - 10  # some are new, some are not


def test_same_seed_gives_the_same_pictures(tmp_path: Path) -> None:
    first, again, other = (
        write_shapes(tmp_path / name, 8, seed=seed).read_bytes() for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again != other
    with (tmp_path / "a" / "shapes.csv").open(encoding="utf-8", newline="") as file:
        names = [row["filepath"] for row in csv.DictReader(file)]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
