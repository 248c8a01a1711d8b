"""Index runs killed at any moment lose nothing that they had stored: `make soak`."""

import random
import shutil
import subprocess
import sys
import time

import pytest

from cocasearch import IndexBuilder, Searcher, load_model
from cocasearch.indexing.summary import summarise_index

pytestmark = pytest.mark.soak

KILLS = 12
COPIES = 150
RUN = """
import sys
from pathlib import Path
from cocasearch import IndexBuilder, load_model
index, photos, model = map(Path, sys.argv[1:])
IndexBuilder(index, load_model(model), batch_size=4, commit_seconds=0.2).build([photos])
"""


def test_killed_runs_end_in_the_index_of_one_whole_run(photo_folder, tiny_model_folder, tmp_path):
    for number in range(COPIES):
        shutil.copy(photo_folder / "red-square.jpg", photo_folder / f"copy-{number}.jpg")
    index, chance, held = tmp_path / "killed", random.Random(0), 0
    for _ in range(KILLS):
        command = [sys.executable, "-c", RUN, str(index), str(photo_folder), str(tiny_model_folder)]
        with subprocess.Popen(command) as run:
            while not (index / "manifest.json").exists():
                time.sleep(0.05)
            time.sleep(chance.uniform(0, 4))
            run.kill()
        now = summarise_index(index).photos
        assert now >= held
        held = now
    loaded = load_model(tiny_model_folder)
    IndexBuilder(index, loaded, batch_size=4).build([photo_folder])
    IndexBuilder(tmp_path / "whole", loaded, batch_size=4).build([photo_folder])
    found, expected = (
        {hit.path: (hit.caption, round(hit.score, 3)) for hit in Searcher(folder, loaded).search("red", 1_000)}
        for folder in (index, tmp_path / "whole")
    )
    assert found == expected
    assert len(found) == COPIES + 4
