"""What the contests against OpenCLIP need: its Python, one set of weights for both sides, photos and captions.

Large files are made once, in `build/benchmarks`.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from benchmarks.processes import DATA
from benchmarks.seeded_models import ARCHITECTURE, import_weights, make_weights
from PIL import Image, ImageOps

from cocasearch.paths import sample_photos_folder

HOW_TO = "set COCASEARCH_OPENCLIP_PYTHON to the Python of a venv with open_clip, as tests/benchmarks/README.md says"

PHOTOS, TWELVE_MEGAPIXELS = 24, (4000, 3000)
GRAIN = 5.0  # gray levels; enlarged photos are smooth, with this they fill 3 MB each, as a camera's do
CAPTIONS, MEAN_WORDS, WORDS_SD = 256, 11.8, 3.9  # words as Flickr8k has them
VOCABULARY = (
    "a the in on of with and is are to at by two man woman dog boy girl people children young little black white "
    "brown red blue green yellow large small shirt hat ball water grass snow beach street field rock wall bike "
    "running jumping standing sitting playing walking holding wearing looking through front over while air"
)


@pytest.fixture(scope="session")
def openclip_python() -> str:
    """The interpreter in whose environment `open_clip` is installed."""
    python = os.environ.get("COCASEARCH_OPENCLIP_PYTHON")
    if not python:
        pytest.skip(HOW_TO)
    find = "import importlib.metadata as m; m.version('open_clip_torch')"
    try:
        subprocess.run([python, "-c", find], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"{python} does not run or has no open_clip; {HOW_TO}")
    return python


@pytest.fixture(scope="session")
def weights(openclip_python: str) -> Path:
    """Seeded weights in OpenCLIP's layout."""
    return make_weights(openclip_python, ARCHITECTURE)


@pytest.fixture(scope="session")
def model_folder(weights: Path) -> Path:
    """The same weights as a model of ours, in float32."""
    return import_weights(weights, ARCHITECTURE)


@pytest.fixture(scope="session")
def photos() -> list[str]:
    """JPEG files of 12 megapixels: the sample photos and their mirror images, enlarged."""
    folder = DATA / "photos"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:02}.jpg" for number in range(PHOTOS)]
    samples = sorted(sample_photos_folder().glob("*.jpg"))
    for number, file in enumerate(files):
        if not file.exists():
            partial = file.with_suffix(".partial")
            mirrored, sample = divmod(number, len(samples))
            enlarge(samples[sample], mirrored=bool(mirrored), seed=number).save(partial, "JPEG", quality=90)
            partial.rename(file)
    return [str(file) for file in files]


def enlarge(sample: Path, *, mirrored: bool, seed: int) -> Image.Image:
    image = Image.open(sample).convert("RGB")
    image = ImageOps.fit(ImageOps.mirror(image) if mirrored else image, TWELVE_MEGAPIXELS, Image.Resampling.BICUBIC)
    width, height = image.size
    grain = GRAIN * np.random.default_rng(seed).standard_normal((height, width, 1), dtype=np.float32)
    return Image.fromarray((np.asarray(image, dtype=np.float32) + grain).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def captions() -> list[str]:
    """Lines of the file that COCASEARCH_BENCHMARK_CAPTIONS names (the last column of a table), or made-up captions."""
    if file := os.environ.get("COCASEARCH_BENCHMARK_CAPTIONS"):
        lines = Path(file).read_text(encoding="utf-8").splitlines()
        return [line.rpartition("\t")[2] for line in lines if not line.startswith("filepath\t")][:CAPTIONS]
    rng = np.random.default_rng(0)
    lengths = rng.normal(MEAN_WORDS, WORDS_SD, CAPTIONS).round().clip(3, 40).astype(int)
    return [" ".join(rng.choice(VOCABULARY.split(), length)) + " ." for length in lengths]
