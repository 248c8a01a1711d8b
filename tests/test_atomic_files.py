import os

import pytest

from cocasearch.atomic_files import remove_partial_files, replacing, write_text


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "f", "old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "f") as partial:
        partial.write_text("half")
        1 / 0  # noqa: B018
    assert [file.name for file in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_text() == "old"


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    for name in (".f.1a2b3c4d.partial", ".f.3c4d5e6f.partial", ".f.partial", ".hidden", "f"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".f.3c4d5e6f.partial").touch()  # being written
    remove_partial_files(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".f.3c4d5e6f.partial", ".f.partial", ".hidden", "f"]
