from pathlib import Path

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.search.query_terms import Query, QueryTerm, parse_terms


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, with a few files in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("photo.jpg", "my photo.JPG", "dog", "sub/scan"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("term", "kind"),
    [
        ("a dog on a beach", "text"),
        ("dog", "text"),  # though a file has that name
        ("sub", "text"),
        ("black/white cat", "text"),
        ("no. 5", "text"),
        ("photo.jpg", "image"),
        ("my photo.JPG", "image"),
        ("./dog", "image"),
        ("sub/scan", "image"),
    ],
)
def test_words_are_told_from_files(term, kind):
    assert parse_terms([term]) == Query((QueryTerm(kind, str(Path(term)) if kind == "image" else term),))


@pytest.mark.parametrize("term", ["nope.jpg", "sub/nope.webp", "./nope", "../nope", "/nope/at all", "~/nope-nope"])
def test_what_looks_like_a_file_and_is_none_is_an_error(term):
    with pytest.raises(CocaSearchError, match="no such file") as caught:
        parse_terms([term])
    assert "cocasearch query --text" in caught.value.hint
    assert f"cocasearch query --where \"path like '%/{Path(term).name}'\"" in caught.value.hint


@pytest.mark.parametrize("term", ["./sub", "sub/", "sub/inner"])
def test_a_folder_is_no_words_and_told_with_the_search_in_it(folder, term):
    (folder / "sub" / "inner").mkdir()
    with pytest.raises(CocaSearchError, match="is a folder; a query takes one photo") as caught:
        parse_terms([term])
    assert caught.value.hint.endswith(f"--in {term}")


def test_the_home_of_nobody_is_named():
    with pytest.raises(CocaSearchError, match="no home folder is known for ~nobody-here"):
        parse_terms(["~nobody-here/photo.jpg"])


def test_a_name_too_long_for_the_system_is_words_or_refused_in_one_sentence():
    assert parse_terms(["black/" + 300 * "w"]).kind == "text"
    with pytest.raises(CocaSearchError, match=r"cannot look at w+…w+\.jpg: file name too long"):
        parse_terms([300 * "w" + ".jpg"])


def test_words_are_one_sentence_however_they_are_quoted():
    query = parse_terms(["a red", "photo.jpg", "car"], texts=["at night"])
    assert (query.texts, query.images) == (["a red car", "at night"], [Path("photo.jpg")])


def test_explicit_kinds_are_obeyed():
    query = parse_terms(["a"], texts=["photo.jpg"], images=["dog"])
    assert (query.texts, query.images, query.kind) == (["a", "photo.jpg"], [Path("dog")], "mixed")


@pytest.mark.parametrize("image", ["gone", "sub"])
def test_an_explicit_image_must_be_a_file(image):
    with pytest.raises(CocaSearchError, match=r"no such file: gone|sub is a folder"):
        parse_terms(images=[image])


@pytest.mark.parametrize("terms", [[], [""], ["  "]])
def test_nothing_to_look_for_is_an_error(terms):
    with pytest.raises(CocaSearchError):
        parse_terms(terms)
