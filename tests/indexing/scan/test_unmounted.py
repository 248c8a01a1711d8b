"""A folder that holds nothing at all may be a drive that is not mounted, and what it held is not gone."""

from pathlib import Path

import pytest

from cocasearch.images.excludes import NO_EXCLUDES, Excludes
from cocasearch.indexing.scan.unmounted import UnmountedFolders, is_empty_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "drive").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / ".hidden").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("drive", ("1", "drive")),
        ("drive/2019/summer", ("1", "drive")),
        ("full", None),
        ("full/2019", None),
        ("gone/2019", None),
        ("", None),
    ],
)
def test_the_empty_folder_around_a_place_is_found(root: Path, folder: str, found: tuple[str, str] | None) -> None:
    assert UnmountedFolders({"1": root}, NO_EXCLUDES).around("1", folder) == found


def test_nothing_is_said_of_what_is_left_out(root: Path) -> None:
    assert UnmountedFolders({"1": root}, Excludes(["drive"])).around("1", "drive/2019") is None


def test_each_folder_is_looked_at_once(root: Path) -> None:
    unmounted = UnmountedFolders({"1": root}, NO_EXCLUDES)
    unmounted.around("1", "drive")
    (root / "drive" / "a.jpg").touch()
    assert unmounted.around("1", "drive/2019") == ("1", "drive")


def test_a_file_and_what_is_not_there_are_no_empty_folders(root: Path) -> None:
    folders = (root / "drive", root / "full", root / "full" / ".hidden", root / "gone")
    assert list(map(is_empty_folder, folders)) == [True, False, False, False]
