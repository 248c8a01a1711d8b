"""A run that is paused in the middle (Ctrl-Z, a laptop put to sleep) finds every photo readable: with `make soak`."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from soak.index_contents import stored_photos
from soak.test_killed_runs import SECONDS, start

from cocasearch.images.decode_limits import SECONDS_PER_FILE
from cocasearch.indexing.store.unreadable_files import UnreadableFiles

SIDE = 3_000  # pixels: a photo takes so long to read that most pauses fall in the middle of one


@pytest.mark.soak
@pytest.mark.skipif(os.name == "nt", reason="needs SIGSTOP")
def test_a_pause_costs_no_photo(tiny_model_folder: Path, tmp_path: Path) -> None:
    photos, pauses = tmp_path / "photos", 0
    photos.mkdir()
    noise = np.random.default_rng(5).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    for number in range(12):
        Image.fromarray(np.roll(noise, number, axis=0)).save(photos / f"{number}.png", compress_level=1)
    with start("indexing_run.py", tmp_path / "index", photos, tiny_model_folder) as run:
        assert run.stdout is not None
        run.stdout.readline()
        while run.poll() is None and pauses < 3:
            time.sleep(0.4)
            run.send_signal(signal.SIGSTOP)
            time.sleep(SECONDS_PER_FILE + 1)
            run.send_signal(signal.SIGCONT)
            pauses += 1
        assert run.wait(SECONDS) == 0
    assert pauses > 0
    assert [entry.reason for entry in UnreadableFiles(tmp_path / "index")] == []
    assert len(stored_photos(tmp_path / "index", photos)) == 12
