"""Paths, folders and cameras are written in conditions as people call them."""

from pathlib import Path

import pytest

from cocasearch.indexing.store.where_values import any_of, at_home, ended, have_paths, is_camera, whole_path


def test_texts_are_quoted_and_named_once() -> None:
    assert any_of("format", ["JPEG", "it's", "JPEG"]) == "format in ('JPEG', 'it''s')"


def test_the_whole_path_begins_with_the_folder_of_its_root() -> None:
    assert whole_path({}) == "path"
    assert whole_path({"1": Path("/it's")}) == "concat('/it''s/', path)"
    both = whole_path({"1": Path("/a"), "2": Path("/b")})
    assert both.startswith("concat(nvl2(nullif(root, '1'), NULL, '/a/'), nvl2(nullif(root, '2'), NULL, '/b/')")


def test_paths_may_be_absolute_or_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = list(have_paths(["a.jpg", "/b/c.jpg"], {"1": tmp_path, "2": Path("/b"), "3": Path("/other")}))
    assert found == [
        "path in ('a.jpg', '/b/c.jpg')",
        "root = '1' and path in ('a.jpg')",
        "root = '2' and path in ('c.jpg')",
    ]


def test_a_folder_that_only_begins_alike_holds_nothing() -> None:
    assert list(have_paths(["/photos2/a.jpg"], {"1": Path("/photos")})) == ["path in ('/photos2/a.jpg')"]


@pytest.mark.parametrize(
    ("camera", "name", "is_called_so"),
    [
        ("Canon EOS 5D", "canon", True),
        ("Canon EOS 5D", "EOS 5D", True),
        ("NIKON CORPORATION NIKON D90", "nikon d90", True),
        ("Canon EOS 5D", "EOS", False),
        ("Canon EOS 5D", "can", False),
        ("iPhone 6", "Apple iPhone 6", True),
        ("Canon EOS 5D", " ", False),
    ],
)
def test_a_camera_is_called_by_maker_model_or_both(camera: str, name: str, is_called_so: bool) -> None:
    assert is_camera(camera, name) is is_called_so


def test_a_root_of_all_has_one_slash_and_home_is_put_in_full() -> None:
    assert (ended(Path("/")), ended(Path("/a"))) == ("/", "/a/")
    assert (at_home("~/a"), at_home("~a")) == (f"{Path.home()}/a", "~a")
