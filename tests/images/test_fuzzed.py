"""Files broken at random: each is read or refused with a reason, and none holds a run up. `make soak` tries 5,000."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from images.fuzzed import fuzzed_files

from cocasearch.errors import UnreadableImage
from cocasearch.images.decoding import read_image

pytestmark = pytest.mark.filterwarnings("ignore::Warning:PIL")

LONGEST = 10.0  # seconds
MOST_MEMORY = 6_000_000_000  # bytes; 256 megapixels take up to 16 bytes each in a decoder


def longest_read(files: int, seed: int, folder: Path, max_megapixels: float) -> float:
    """Reads so many broken files; seconds that the slowest took."""
    longest = 0.0
    for name, content in fuzzed_files(files, seed=seed):
        file = folder / name.replace("\n", " ")
        file.write_bytes(content)
        started = time.perf_counter()
        try:
            image, metadata = read_image(file, min_side=64, max_megapixels=max_megapixels)
        except UnreadableImage as error:
            assert error.reason
        else:
            assert image.mode == "RGB"
            assert metadata.width > 0
        longest = max(longest, time.perf_counter() - started)
        file.unlink()
    return longest


def test_broken_files_are_read_or_refused_at_once(tmp_path: Path) -> None:
    assert longest_read(800, seed=1, folder=tmp_path, max_megapixels=16) < LONGEST


@pytest.mark.soak
def test_five_thousand_broken_files_crash_nothing_and_take_seconds_at_most(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "images.test_fuzzed", "5000", "2", str(tmp_path)]
    run = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    longest, memory = map(float, run.stdout.split()[-2:])
    told = f"the slowest of 5,000 took {longest:.2f} s, all of them at most {memory / 1e9:.2f} GB"
    print(told)  # noqa: T201
    assert longest < LONGEST
    assert memory < MOST_MEMORY


if __name__ == "__main__":
    slowest = longest_read(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), max_megapixels=256)
    print(slowest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)  # noqa: T201
