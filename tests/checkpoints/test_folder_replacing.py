"""A folder that takes the place of another, killed before each of its renames."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cocasearch.checkpoints.folder_replacing import put_in_place, replace_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from cocasearch.checkpoints.folder_replacing import replace_folder

rename, left = Path.rename, [int(sys.argv[3])]
def rename_or_die(path, target):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, target)
Path.rename = rename_or_die
replace_folder(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.fixture
def folders(tmp_path):
    """A new folder and one to be replaced, each with a file that says which it is."""
    found = tmp_path / ".m.x1y2z3w4", tmp_path / "m"
    for folder, which in zip(found, ("new", "old"), strict=True):
        folder.mkdir()
        (folder / "which").write_text(which)
    return found


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize(("renames", "left"), [(1, "old"), (2, "old"), (3, "new"), (4, "new")])
def test_a_replacement_killed_at_any_moment_leaves_one_of_both(folders, renames, left):
    new, folder = folders
    subprocess.run([sys.executable, "-c", KILLED, new, folder, str(renames)])
    assert folder.exists() == (renames != 3)
    put_in_place(folder.parent, "another")
    assert folder.exists() == (renames != 3)
    put_in_place(folder.parent)
    assert (folder / "which").read_text() == left


def test_a_replacement_that_fails_leaves_the_old_folder(folders, monkeypatch):
    new, folder = folders
    rename = Path.rename

    def fail(path, target):
        if path.name == "new":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output error"):
        replace_folder(new, folder)
    assert (folder / "which").read_text() == "old"
