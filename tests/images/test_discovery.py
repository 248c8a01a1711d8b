import os
from pathlib import Path

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.images.discovery import discover_images, walk_folders
from cocasearch.images.excludes import Excludes


def touch(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def found(path: Path) -> list[str]:
    return [image.path for image in discover_images(path)]


def test_images_come_sorted_with_size_and_time(tmp_path: Path) -> None:
    touch(tmp_path / "b.JPG", b"12345")
    touch(tmp_path / "a" / "z.png")
    touch(tmp_path / "a" / "deep" / "c.webp")
    touch(tmp_path / "notes.txt")
    assert found(tmp_path) == ["b.JPG", "a/z.png", "a/deep/c.webp"]
    first = next(discover_images(tmp_path))
    assert (first.root, first.absolute, first.size) == (tmp_path, tmp_path / "b.JPG", 5)
    assert first.mtime_ns == (tmp_path / "b.JPG").stat().st_mtime_ns


@pytest.mark.parametrize("name", [".hidden.jpg", ".git/a.jpg", "@eaDir/a.jpg", "node_modules/x/a.png", "._a.jpg"])
def test_what_nobody_photographed_is_left_out(tmp_path: Path, name: str) -> None:
    touch(tmp_path / name)
    touch(tmp_path / "real.jpg")
    assert found(tmp_path) == ["real.jpg"]


def test_a_single_file_has_its_folder_as_root(tmp_path: Path) -> None:
    file = touch(tmp_path / "a" / "photo")
    (image,) = discover_images(file)
    assert (image.root, image.path) == (tmp_path / "a", "photo")


def test_relative_and_roundabout_paths_give_the_same_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a" / "x.jpg")
    monkeypatch.chdir(tmp_path / "a")
    expected = list(discover_images(tmp_path / "a"))
    assert list(discover_images(Path())) == expected
    assert list(discover_images(Path("../a/x.jpg"))) == expected


def test_a_missing_path_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(CocaSearchError, match=r"no such file or folder: .*gone"):
        discover_images(tmp_path / "gone")


def test_links_to_folders_and_to_nothing_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "dead.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "linked.jpg").symlink_to(tmp_path / "a.jpg")
    assert found(tmp_path) == ["a.jpg", "linked.jpg"]


@pytest.mark.skipif(os.name != "posix", reason="other systems have only Unicode names")
def test_a_name_that_is_not_unicode_is_skipped_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path / "a.jpg")
    try:
        touch(tmp_path / os.fsdecode(b"caf\xe9.jpg"))
    except OSError:
        pytest.skip("this file system refuses such names")
    assert found(tmp_path) == ["a.jpg"]
    assert "caf" in caplog.text


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="file names are Unicode there")
def test_a_name_that_no_index_can_store_is_left_out_or_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = touch(tmp_path / os.fsdecode(b"odd\xff.jpg"))
    touch(tmp_path / "plain.jpg")
    assert found(tmp_path) == ["plain.jpg"]
    assert "its name is not UTF-8; rename it" in caplog.text
    with pytest.raises(CocaSearchError, match="is not UTF-8"):
        discover_images(odd)


@pytest.mark.skipif(os.name == "nt", reason="says it otherwise")
@pytest.mark.parametrize(("name", "reason"), [(300 * "w", "file name too long"), ("loop", "too many levels")])
def test_a_path_that_the_system_refuses_is_an_error_in_its_words(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(CocaSearchError, match=f"cannot look at .*: {reason}"):
        discover_images(tmp_path / name)


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("*.gif", ["raw/a.jpg", "raw/deep/b.jpg", "x/raw.jpg"]),
        ("raw", ["x/c.GIF", "x/raw.jpg"]),
        ("RAW/", ["x/c.GIF", "x/raw.jpg"]),
        ("raw/deep", ["raw/a.jpg", "x/c.GIF", "x/raw.jpg"]),
        ("raw/*.jpg", ["raw/deep/b.jpg", "x/c.GIF", "x/raw.jpg"]),
        ("deep/raw", ["raw/a.jpg", "raw/deep/b.jpg", "x/c.GIF", "x/raw.jpg"]),
        ("{}/x", ["raw/a.jpg", "raw/deep/b.jpg"]),
        ("/x", ["raw/a.jpg", "raw/deep/b.jpg", "x/c.GIF", "x/raw.jpg"]),
        ("", ["raw/a.jpg", "raw/deep/b.jpg", "x/c.GIF", "x/raw.jpg"]),
    ],
)
def test_patterns_leave_out_files_and_folders(tmp_path: Path, pattern: str, left: list[str]) -> None:
    for name in ("raw/a.jpg", "raw/deep/b.jpg", "x/c.GIF", "x/raw.jpg"):
        touch(tmp_path / name)
    excludes = Excludes([pattern.format(tmp_path.as_posix())])
    listed = walk_folders(tmp_path, excludes=excludes)
    assert [f"{folder}/{name}" for folder, files in listed for name, _, _ in files] == left


def test_a_whole_path_leaves_out_no_other_that_differs_in_case() -> None:
    excludes = Excludes(["/photos/Sum", "Raw"])
    assert excludes.match("/photos/Sum")
    assert not excludes.match("/photos/sum")
    assert excludes.match("/photos/raw")


@pytest.mark.parametrize("pattern", ["./raw", "raw/", ".//raw/.", "x/../raw", "../photos/raw", "~/photos/raw", "raw"])
def test_an_exclude_may_be_written_as_shells_complete_it(
    tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "photos")
    excludes = Excludes([pattern])
    assert excludes.match(f"{tmp_path}/photos/raw")
    assert not excludes.match(f"{tmp_path}/photos/raw2") and not excludes.match(f"{tmp_path}/photos")


@pytest.mark.parametrize("pattern", ["", ".", "./", "/"])
def test_an_exclude_that_names_nothing_leaves_nothing_out(pattern: str) -> None:
    assert not Excludes([pattern])
