"""The columns that are meant are taken, and where that is not clear the user is asked which."""

import pytest

from cocasearch.captioned_data.columns import WantedColumns
from cocasearch.errors import CocaSearchError


@pytest.mark.parametrize(
    ("wanted", "header", "chosen"),
    [
        (WantedColumns(), ["id", "FilePath", "Title"], ("FilePath", "Title")),
        (WantedColumns(), ["text", "title", "path", "image"], ("image", "title")),  # the first of the usual names
        (WantedColumns(), ["image", "label"], ("image", "label")),
        (WantedColumns("a", "b"), ["image", "title", "a", "b"], ("a", "b")),
        (WantedColumns("a", "b", or_usual=True), ["image", "title"], ("image", "title")),
    ],
)
def test_columns_are_chosen(wanted: WantedColumns, header: list[str], chosen: tuple[str, str]) -> None:
    assert wanted.choose("data.csv", header) == chosen


@pytest.mark.parametrize(
    ("wanted", "header", "message", "hint"),
    [
        (WantedColumns(), [], "data.csv is empty", None),
        (WantedColumns(), ["image", "Image", "title"], "2 image columns: image, Image", "--image-key COLUMN"),
        (WantedColumns(), ["image", "image", "title"], "2 image columns: image, image", "give all but one of them"),
        (WantedColumns("a", "a"), ["a"], "photos and its captions from one column: a", "name two"),
        (WantedColumns(caption_key="B"), ["image", "b"], "no column 'B'; its columns are: image, b", "--caption-key"),
        (WantedColumns(), ["a.jpg", "a dog"], "no image column", "filepath,title"),
        (WantedColumns("a", or_usual=True), ["x", "title"], "no column 'a'", "call it a or filepath"),
    ],
)
def test_an_unclear_choice_is_refused(wanted: WantedColumns, header: list[str], message: str, hint: str | None) -> None:
    with pytest.raises(CocaSearchError, match=message) as caught:
        wanted.choose("data.csv", header)
    assert (hint or "") in (caught.value.hint or "")


def test_a_label_is_put_into_its_template() -> None:
    read = WantedColumns(label_template="a photo of a {name}").reader("label")
    assert read("dog, hound") == ["a photo of a dog"]
    assert read(" , ") == []


def test_a_template_is_for_labels_and_the_column_that_is_named() -> None:
    template = WantedColumns(caption_key="kind", label_template="a {name}")
    assert template.reader("kind")("dog") == ["a dog"]
    assert template.reader("title")("a cat, asleep") == ["a cat, asleep"]


def test_a_template_without_a_place_is_refused() -> None:
    with pytest.raises(CocaSearchError, match=r"has no place for the \{name\}"):
        WantedColumns(label_template="a photo")


def test_a_key_for_data_without_columns_is_refused() -> None:
    with pytest.raises(CocaSearchError, match=r"coco\.json has no column 'x': it has annotations") as caught:
        WantedColumns(caption_key="x").refuse_keys("coco.json", "annotations")
    assert caught.value.hint == "the same command without --caption-key"
    WantedColumns(caption_key="x", or_usual=True).refuse_keys("coco.json", "annotations")
