"""A disk that fills costs nothing but the work since the last commit. It is of 20 MB in memory, so it takes root."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from soak.changing_photos import ChangingPhotos
from soak.index_contents import all_rows, assert_same_contents

from cocasearch import Searcher, load_model
from cocasearch.errors import NothingFound
from cocasearch.indexing.store.location import MANIFEST_FILE

MB = 1_000_000
DAYS = 8  # photos of which take some 25 MB
TAKEN = [
    0,
    4 * MB,
    8 * MB,
    12 * MB,
    16 * MB,
    19 * MB,
    19_700_000,
    19_900_000,
    20 * MB,
]  # by others, before the first run
SECONDS = 300

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount the small disk"
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20000000", "tmpfs", place]
    if (mounted := subprocess.run(mount, capture_output=True, text=True)).returncode:
        pytest.skip(f"no disk of 20 MB can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = ChangingPhotos(tmp_path_factory.mktemp("library") / "photos", random.Random(0))
    for _ in range(DAYS):
        photos.change()
    return photos.folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, photos: Path, long_model_folder: Path) -> Path:
    """The index of a run that had room."""
    index = tmp_path_factory.mktemp("whole") / "index"
    assert run_index(index, photos, long_model_folder).returncode == 0
    return index


def run_index(index: Path, photos: Path, model: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cocasearch", "index", photos, "--index", index, "--model", model, "--no-captions"]
    return subprocess.run([*command, "--batch-size", "4"], capture_output=True, text=True, timeout=SECONDS)


def take(file: Path, size: int) -> None:
    """Fill a disk with a file, as far as there is room."""
    try:
        file.write_bytes(bytes(size))
    except OSError:
        assert file.stat().st_size < size


def count(index: Path, model: Path) -> int:
    """The rows of an index, which a query can find too."""
    if not (index / MANIFEST_FILE).exists():
        return 0
    rows = all_rows(index)
    searcher = Searcher(index, load_model(model))
    try:
        assert len(searcher.search("red", len(rows) + 1)) == len(rows)
    except NothingFound:
        assert not rows
    return len(rows)


@pytest.mark.parametrize("taken", [TAKEN[0], *(pytest.param(taken, marks=pytest.mark.soak) for taken in TAKEN)])
def test_a_disk_that_fills_is_named_and_the_index_stays_whole(taken, disk, photos, whole, long_model_folder):
    index = disk / "index"
    take(disk / "others", taken)
    stored = 0
    for _ in range(2):
        run = run_index(index, photos, long_model_folder)
        assert run.returncode == 1
        assert "cannot" in run.stderr
        assert "unexpected" not in run.stderr
        now = count(index, long_model_folder)
        assert now >= stored
        stored = now
    subprocess.run(["mount", "-o", "remount,size=200000000", disk], check=True)
    assert run_index(index, photos, long_model_folder).returncode == 0
    assert_same_contents(index, whole)
