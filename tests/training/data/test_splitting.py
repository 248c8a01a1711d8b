"""What is measured on is not learned from, under whatever name it comes."""

import io
from pathlib import Path

import pytest
from PIL import Image

from cocasearch.captioned_data import CaptionedImage
from cocasearch.errors import CocaSearchError
from cocasearch.paths import sample_photos_folder
from cocasearch.training.data.splitting import Excluded, find_alike, hold_out, keep_apart

PHOTOS = sorted(sample_photos_folder().glob("*.jpg"))


def named(name: str, image: Path | bytes) -> CaptionedImage:
    return CaptionedImage(image, name, ("words",))


def plain(count: int) -> list[CaptionedImage]:
    return [named(str(number), bytes([number])) for number in range(count)]


def smaller(file: Path) -> bytes:
    content = io.BytesIO()
    with Image.open(file) as picture:
        picture.convert("RGB").resize((picture.width // 2, picture.height // 2)).save(content, "JPEG", quality=70)
    return content.getvalue()


def apart(
    sources: list[list[CaptionedImage]], held_out: list[CaptionedImage], *, near: bool = True, most_alike: float = 1.0
) -> tuple[list[list[CaptionedImage]], Excluded]:
    found = find_alike([image for source in sources for image in source], held_out, near=near)
    return keep_apart(sources, held_out, found, most_alike=most_alike)


def test_held_out_pictures_are_whole_pictures_chosen_by_the_seed() -> None:
    images = plain(20)
    training, held_out = hold_out(images, 4, seed=0)
    assert len(held_out) == 4
    assert sorted(image.key for image in training + held_out) == sorted(image.key for image in images)
    assert hold_out(images, 4, seed=0) == (training, held_out)
    assert hold_out(images, 4, seed=1)[1] != held_out
    assert len(hold_out(images, 500, seed=0)[1]) == 4  # a fifth at most
    assert hold_out(images[:4], 500, seed=0) == (images[:4], [])


def test_what_is_measured_on_is_left_out_of_every_source_and_named() -> None:
    held_out = [named("held 1", PHOTOS[1]), named("held 2", PHOTOS[2])]
    first = [named("a", PHOTOS[0]), named("b", PHOTOS[1].read_bytes()), named("torn", b"torn")]
    second = [named("c", smaller(PHOTOS[2])), named("d", PHOTOS[3])]
    kept, left_out = apart([first, second], held_out)
    assert [[image.key for image in source] for source in kept] == [["a"], ["d"]]
    assert left_out.same == [("b", "held 1")]
    assert left_out.nearly_same == [("c", "held 2")]
    assert left_out.unreadable == [("torn", "not an image that can be read")]


def test_what_is_nearly_the_same_is_kept_where_wanted() -> None:
    held_out = [named("held 1", PHOTOS[1]), named("held 2", PHOTOS[2])]
    source = [named("b", PHOTOS[1].read_bytes()), named("c", smaller(PHOTOS[2])), named("torn", b"torn")]
    (kept,), left_out = apart([source], held_out, near=False)
    assert [image.key for image in kept] == ["c", "torn"]
    assert left_out == Excluded(same=[("b", "held 1")], nearly_same=[], unreadable=[])


def test_a_source_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(CocaSearchError, match="nothing is left to train on: all of it is also"):
        apart([[named("a", PHOTOS[0]), named("b", b"torn")]], [named("x", PHOTOS[0])])


def test_of_a_kind_that_looks_alike_only_copies_and_unreadable_pictures_are_left_out() -> None:
    held_out = [named(f"held {number}", PHOTOS[number]) for number in range(3)]
    source = [
        named("same", PHOTOS[0].read_bytes()),
        named("a", smaller(PHOTOS[1])),
        named("b", smaller(PHOTOS[2])),
        named("torn", b"torn"),
    ]
    (kept,), left_out = apart([source], held_out, most_alike=0.4)
    assert [image.key for image in kept] == ["a", "b"]
    assert left_out.alike == 2
    assert left_out.nearly_same == []
    assert (left_out.same, [key for key, _ in left_out.unreadable]) == ([("same", "held 0")], ["torn"])
    with pytest.raises(CocaSearchError, match="nothing is left to train on"):  # one below the limit is none of a kind
        apart([source], held_out, most_alike=0.5)
