import os
from pathlib import Path

import pytest

from cocasearch.atomic_files import FlushedFolder, remove_partial_files, replacing, write_text


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


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="asks the system what is flushed")
def test_what_another_has_written_is_flushed_once(tmp_path, monkeypatch):
    fsync, flushed = os.fsync, []

    def note(descriptor):
        fsync(descriptor)
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", note)
    folder = FlushedFolder(tmp_path / "a")
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/one", "a/b/two"):
        (tmp_path / name).touch()
        folder.flush()
        new = [tmp_path / name, *(tmp_path / name).parents]
        assert set(flushed) == {path for path in new if path.is_relative_to(tmp_path)}
        flushed.clear()
    folder.flush()
    assert flushed == []
