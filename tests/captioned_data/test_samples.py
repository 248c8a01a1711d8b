"""The captions beside an image are those in its text files, or else those in its JSON, or those that are named."""

import pytest

from cocasearch.captioned_data.cells import UnreadCell
from cocasearch.captioned_data.columns import WantedColumns
from cocasearch.captioned_data.samples import SampleReader
from cocasearch.errors import CocaSearchError


def captions(texts: dict[str, bytes], **wanted: str) -> list[str]:
    return SampleReader("shard.tar", WantedColumns(**wanted)).captions(texts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({}, []),
        ({"caption": b"c", "txt": b"\xef\xbb\xbfa\n\n b \r\n"}, ["a", "b", "c"]),
        ({"txt": b"a", "json": b'{"caption": "b"}'}, ["a"]),
        ({"txt": b"", "json": b'{"caption": "b"}'}, ["b"]),
        ({"json": b'{"caption": "", "texts": ["b", "c"]}'}, ["b", "c"]),
        ({"txt": b"", "json": b'{"width": 3}'}, []),
    ],
)
def test_captions_are_found_beside_an_image(texts: dict[str, bytes], expected: list[str]) -> None:
    assert captions(texts) == expected


def test_a_named_key_is_an_ending_or_one_in_the_json() -> None:
    texts = {"txt": b"a", "long.txt": b"long", "json": b'{"alt": "from the page"}'}
    assert captions(texts, caption_key=".LONG.txt") == ["long"]
    assert captions(texts, caption_key="alt") == ["from the page"]
    assert captions(texts, caption_key="other") == []


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ({"txt": b"\xe9"}, r"its \.txt: "),
        ({"json": b"{"}, r"its \.json: "),
        ({"json": b"[]"}, "not a JSON object"),
        ({"json": b'{"width": 3}'}, "it has no caption; its keys are: width"),
    ],
)
def test_what_holds_no_caption_is_told(texts: dict[str, bytes], reason: str) -> None:
    with pytest.raises(UnreadCell, match=reason):
        captions(texts)


def test_of_several_images_the_named_one_is_meant() -> None:
    images = {"left.jpg": 1, "right.jpg": 2}
    assert SampleReader("s", WantedColumns("right.JPG")).image(images) == 2
    assert SampleReader("s", WantedColumns("other.jpg")).image(images) is None
    with pytest.raises(UnreadCell, match=r"several images: left\.jpg, right\.jpg"):
        SampleReader("s", WantedColumns()).image(images)


def test_a_key_that_no_sample_has_is_refused_at_the_end() -> None:
    reader = SampleReader("shard.tar", WantedColumns(caption_key="alt"))
    reader.captions({"txt": b"a", "json": b'{"title": "b"}'})
    with pytest.raises(CocaSearchError, match=r"shard\.tar has no caption key 'alt'; its keys are: txt, title"):
        reader.refuse_unmet()
    reader.captions({"json": b'{"alt": "b"}'})
    reader.refuse_unmet()
