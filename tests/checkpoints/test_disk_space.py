"""A disk that is too small, or fails, is told in one sentence with a way out."""

import errno
import shutil
from pathlib import Path

import pytest

from cocasearch.checkpoints.disk_space import gigabytes, refuse_small_disks, writing
from cocasearch.errors import CocaSearchError


def test_needs_on_one_disk_are_added_up(tmp_path: Path) -> None:
    half = shutil.disk_usage(tmp_path).free * 2 // 3
    refuse_small_disks({tmp_path / "not" / "yet": half})
    with pytest.raises(CocaSearchError, match=rf"the disk of {tmp_path} has .* free, and .* are needed"):
        refuse_small_disks({tmp_path / "not" / "yet": half, tmp_path: half})


@pytest.mark.parametrize(("number", "hint"), [(errno.ENOSPC, "free some, or"), (errno.EACCES, "here")])
def test_an_error_of_the_disk_is_told(number: int, hint: str) -> None:
    with (
        pytest.raises(CocaSearchError, match="the model cannot be written: ") as caught,
        writing(Path("the model"), "here"),
    ):
        raise OSError(number, "Some Reason")
    assert str(caught.value).endswith("some reason") and hint in str(caught.value.hint)


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(OSError, match=r"^inner$"), writing(Path("x")):
        raise OSError("inner")


def test_sizes_are_as_people_read_them() -> None:
    assert [gigabytes(size) for size in (2_550_000_000, 19_400_000, 1_230_000)] == ["2.55 GB", "19 MB", "1.2 MB"]
