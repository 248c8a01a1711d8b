"""Two runs that start at the same moment: one indexes, the other is told so, and every photo is there once."""

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from soak.changing_photos import ChangingPhotos
from soak.index_contents import all_rows, assert_same_contents

from cocasearch import IndexBuilder, load_model
from cocasearch.indexing.scan.update_options import UpdateOptions

SECONDS = 300


def start(index: Path, photos: Path, model: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cocasearch", "index", photos, "--index", index, "--model", model]
    return subprocess.Popen([*command, "--batch-size", "1"], stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("days", [1, pytest.param(10, marks=pytest.mark.soak)])
def test_of_two_writers_one_is_refused_and_no_row_is_doubled(days, tiny_model_folder, tmp_path):
    photos, index = ChangingPhotos(tmp_path / "photos", random.Random(days)), tmp_path / "index"
    for _ in range(days):
        photos.change()
        writers = [start(index, photos.folder, tiny_model_folder) for _ in range(2)]
        told = {writer.pid: writer.communicate(timeout=SECONDS)[1] for writer in writers}
        ended = {writer.pid: writer.returncode for writer in writers}
        assert 0 in ended.values()
        for pid, code in ended.items():
            (other,) = ended.keys() - {pid}
            # The other has hardly begun, and may not have said yet who it is.
            refused = (
                rf"being written by (process {other} on .+, for \d+ |another process)|just been changed by another run"
            )
            assert code == 0 or (code == 1 and re.search(refused, told[pid])), told[pid]
        all_rows(index)
    IndexBuilder(tmp_path / "whole", load_model(tiny_model_folder)).build([photos.folder])
    IndexBuilder(index, load_model(tiny_model_folder)).build([photos.folder], options=UpdateOptions(prune=True))
    assert_same_contents(index, tmp_path / "whole")
