"""What makers of datasets put into one cell: captions in any spelling of a list, images in any spelling of bytes."""

import base64
import io

import pytest
from PIL import Image

from cocasearch.captioned_data.cells import UnreadCell, image_in, words


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((16, 16), 60).save(buffer, kind)
    return buffer.getvalue()


IMAGE = encoded("PNG")
BASE64 = base64.b64encode(IMAGE).decode()


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        (None, []),
        (float("nan"), []),
        (" null ", []),
        ("<NA>", []),
        ("", []),
        ("[]", []),
        (["a", None, "", [" b "]], ["a", "b"]),
        ('["a \\"b\\"", "caf\\u00e9", null]', ['a "b"', "café"]),
        ("['a, b', \"it's\", None, nan]", ["a, b", "it's"]),
        ("('a',)", ["a"]),
        ("['one dog'\n 'a dog']", ["one dog", "a dog"]),  # as numpy prints an array
        ({"raw": "a", "tokens": ["x"]}, ["a"]),
        ([{"caption": "a"}, {"caption": "b"}], ["a", "b"]),
        ("caf\u00e9".encode(), ["café"]),
        ("[2019] a house", ["[2019] a house"]),
        ("(a dog)", ["(a dog)"]),
        ('"Stop" says a sign', ['"Stop" says a sign']),
    ],
)
def test_captions_are_found_in_a_cell(cell: object, texts: list[str]) -> None:
    assert words(cell) == texts


@pytest.mark.parametrize("cell", [3, {"tokens": []}, "['a, 'b']", '[{"raw": "a"}]', b"\xe9", ["a", 1]])
def test_a_cell_that_holds_no_captions_is_told(cell: object) -> None:
    with pytest.raises(UnreadCell, match=r" is not (words|UTF-8|a list of words)"):
        words(cell)


@pytest.mark.parametrize(
    "cell",
    [
        IMAGE,
        BASE64,
        BASE64.encode(),
        BASE64.rstrip("=").replace("+", "-").replace("/", "_"),
        "\n".join(BASE64[at : at + 76] for at in range(0, len(BASE64), 76)),
        f"data:image/png;base64,{BASE64}",
        list(IMAGE),
        [IMAGE],
        [None, {"bytes": IMAGE, "path": None}],
        {"bytes": BASE64},
        {"path": None, "bytes": list(IMAGE)},
    ],
)
def test_an_image_is_found_in_a_cell(cell: object) -> None:
    assert image_in(cell) == ("", IMAGE)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF"])
def test_an_image_of_any_format_is_found_in_base64(kind: str) -> None:
    content = encoded(kind)
    assert image_in(base64.b64encode(content).decode()) == ("", content)


@pytest.mark.parametrize(
    ("cell", "path"),
    [
        (" a.jpg ", "a.jpg"),
        (b"a.jpg", "a.jpg"),
        (["a.jpg"], "a.jpg"),
        ({"path": "a.jpg", "bytes": None}, "a.jpg"),
        ("file:///photos/a%20b.jpg", "/photos/a b.jpg"),
        ("9" * 64, "9" * 64),  # a hash, though it could be base64
        (None, ""),
        ([], ""),
        ({"bytes": None, "path": None}, ""),
    ],
)
def test_a_path_is_found_in_a_cell(cell: object, path: str) -> None:
    assert image_in(cell) == (path, b"")


@pytest.mark.parametrize(
    ("cell", "words_of_it"),
    [
        (7, "not a path"),
        ("no such name. " * 9_999, "not a path"),
        (repr(IMAGE * 9), "not a path"),
        ("data:image/svg+xml;utf8," + "<svg>" * 9_999, "not an image in base64"),
        ("data:image/png;base64,!!!" + BASE64, "not an image in base64"),
        ([1, 2, 300] * 9_999, "not an image's bytes"),
        ({"array": [[[0.5]]] * 9_999}, "not an image"),
        ([IMAGE, IMAGE], "2 images are in one cell"),
    ],
)
def test_what_is_no_image_is_told_in_few_words(cell: object, words_of_it: str) -> None:
    with pytest.raises(UnreadCell, match=words_of_it) as caught:
        image_in(cell)
    assert len(str(caught.value)) < 120
