"""A pattern leaves out what it says, however its user has written it."""

from pathlib import Path

import pytest

from cocasearch.images.excludes import NO_EXCLUDES, Excludes, as_meant, as_shown, as_written


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.gif", "/photos/a.GIF", True),
        ("thumbs", "/photos/Thumbs", True),
        ("thumbs", "/photos/thumbs2", False),
        ("2019/raw", "/photos/2019/raw", True),
        ("2019/raw", "/photos/raw", False),
        ("2019/*", "/photos/2019/raw/a.jpg", False),  # a star stays within one name
        ("./raw/", "/photos/raw", True),
        ("/photos/raw", "/photos/raw", True),
        ("/photos/raw", "/photos/RAW", False),
        ("/raw", "/photos/raw", False),
        ("img_[0-4]?.jpg", "/photos/img_37.jpg", True),
        ("", "/photos", False),
        (".", "/photos", False),
    ],
)
def test_a_pattern_matches(pattern: str, path: str, fits: bool) -> None:
    assert Excludes([pattern]).match(path) is fits


def test_what_lies_below_a_match_is_within_it() -> None:
    excludes = Excludes(["raw"])
    assert excludes.match_within("/photos/raw/2019/a.jpg")
    assert not excludes.match("/photos/raw/2019/a.jpg")
    assert not NO_EXCLUDES.match_within("/photos/raw")


def test_patterns_that_have_matched_nothing_are_known() -> None:
    excludes = Excludes(["./raw/", "*.gif", "/"])
    assert excludes.unfitting == ["raw", "*.gif"]
    excludes.match("/photos/a.gif")
    assert excludes.unfitting == ["raw"]


def test_a_pattern_means_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a[1]").mkdir()
    monkeypatch.chdir(tmp_path / "a[1]")
    assert as_written("../raw/./x/") == f"{tmp_path.as_posix()}/raw/x"
    assert as_written("raw/../*.gif") == "*.gif"
    assert as_written("~/raw") == f"{Path.home()}/raw"


def test_brackets_are_a_pattern_unless_a_file_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert as_meant("img[1].jpg", [tmp_path]) == "img[1].jpg"
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "img[1].jpg").touch()
    meant = as_meant("img[1].jpg", [tmp_path])
    assert Excludes([meant]).match("/photos/img[1].jpg")
    assert not Excludes([meant]).match("/photos/img1.jpg")
    assert (as_shown(meant), as_shown("img[12].jpg")) == ("img[1].jpg", "img[12].jpg")
