"""An index of twelve photos, made once by a tiny model with random weights."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cocasearch.indexing.builder import IndexBuilder
from cocasearch.inference.loaded_model import LoadedModel, load_model


@pytest.fixture(scope="session")
def loaded(tiny_model_folder: Path) -> LoadedModel:
    return load_model(tiny_model_folder, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """p0.png to p11.png in `home/photos`."""
    folder = tmp_path_factory.mktemp("search") / "home" / "photos"
    folder.mkdir(parents=True)
    for seed in range(12):
        blocks = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((80, 64), Image.Resampling.NEAREST).save(folder / f"p{seed}.png")
    return folder


@pytest.fixture(scope="session")
def index(photos: Path, loaded: LoadedModel) -> Path:
    """The index of `photos`, in `home/index`."""
    folder = photos.parent / "index"
    IndexBuilder(folder, loaded, batch_size=5).build([photos])
    return folder
