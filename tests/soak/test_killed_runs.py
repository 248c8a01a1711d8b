"""Runs killed at any moment lose nothing that was stored, and never disturb who reads: 30 kills with `make soak`."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from soak.changing_photos import STEADY, ChangingPhotos
from soak.index_contents import assert_same_contents, stored_photos

from cocasearch import IndexBuilder, Searcher, load_model
from cocasearch.indexing.scan.update_options import UpdateOptions
from cocasearch.indexing.store.location import MANIFEST_FILE

HERE = Path(__file__).parent
OPTIONS = [[], [], ["--prune"], ["--rebuild"]]
SECONDS = 300  # enough for any one process

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")


def start(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, HERE / script, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def seconds_of_a_whole_run(*arguments: str | Path) -> float:
    """From the moment when the model is loaded."""
    with start("indexing_run.py", *arguments) as run:
        run.stdout.readline()
        started = time.monotonic()
        assert run.wait(SECONDS) == 0
    return time.monotonic() - started


def was_killed(after: float, *arguments: str | Path) -> bool:
    """Whether a run could be killed so many seconds after it had its model; else it came to its end before."""
    with start("indexing_run.py", *arguments) as run:
        run.stdout.readline()
        try:
            assert run.wait(after) == 0
        except subprocess.TimeoutExpired:
            run.kill()
            return run.wait() != 0
    return False


@contextmanager
def querying(index: Path, model: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process queries meanwhile."""
    reader = start("querying_run.py", index, model)
    try:
        yield reader
    finally:
        reader.kill()


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.soak)])
def test_killed_runs_end_in_the_index_of_one_whole_run(kills, tiny_model_folder, tmp_path):
    chance, killed, index = random.Random(kills), 0, tmp_path / "killed"
    photos = ChangingPhotos(tmp_path / "photos", chance)
    photos.change()
    longest = seconds_of_a_whole_run(tmp_path / "first", photos.folder, tiny_model_folder)
    loaded = load_model(tiny_model_folder)
    with querying(index, tiny_model_folder) as reader:
        while killed < kills:
            assert reader.poll() is None, "the reader failed, see its error above"
            before = stored_photos(index, photos.folder) if (index / MANIFEST_FILE).exists() else set()
            run = (index, photos.folder, tiny_model_folder, *chance.choice(OPTIONS))
            killed += was_killed(chance.uniform(0, longest), *run)
            if (index / MANIFEST_FILE).exists():
                assert before <= stored_photos(index, photos.folder)
                Searcher(index, loaded)
            photos.change()
        encoded: list[int] = []
        loaded.model.image_encoder.register_forward_hook(lambda module, inputs, output: encoded.append(len(inputs[0])))
        stored = len(stored_photos(index, photos.folder))
        report = IndexBuilder(index, loaded, batch_size=4).build([photos.folder], options=UpdateOptions(prune=True))
        assert sum(encoded) <= report.total - stored
        told = json.loads(reader.communicate(timeout=SECONDS)[0])
    IndexBuilder(tmp_path / "whole", loaded, batch_size=4).build([photos.folder])
    assert_same_contents(index, tmp_path / "whole")
    assert told["queries"] > kills
    assert told["found"] == len(list((photos.folder / STEADY).iterdir()))
