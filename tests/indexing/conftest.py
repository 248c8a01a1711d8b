"""A tiny model that counts what it encodes, photos of noise, and a look at all rows of an index."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest
from PIL import Image

from cocasearch.checkpoints.model_folder import save_model_folder
from cocasearch.images.transforms import PreprocessConfig
from cocasearch.indexing.builder import BuildReport, IndexBuilder
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.store.records import ImageRecord, record_id
from cocasearch.indexing.store.table import IndexTable
from cocasearch.inference.loaded_model import LoadedModel, load_model
from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig
from cocasearch.text.tokenizer import Tokenizer

DIMENSION = 8


class CountedImages:
    """How many images the model's image encoder has seen."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.total = 0
        loaded.model.image_encoder.register_forward_hook(self._count)

    def _count(self, module: Any, inputs: Any, output: Any) -> None:
        self.total += len(inputs[0])

    def since_last_look(self) -> int:
        seen, self.total = self.total, 0
        return seen


@pytest.fixture
def loaded(tiny_model_folder: Path) -> LoadedModel:
    return load_model(tiny_model_folder, device="cpu", dtype="float32")


@pytest.fixture
def other_model(tmp_path: Path, tiny_config: CoCaConfig, tiny_tokenizer: Tokenizer) -> LoadedModel:
    """Another model of the same shape."""
    folder = tmp_path / "models" / "other"
    save_model_folder(
        folder,
        CoCa(tiny_config).state_dict(),
        config=tiny_config,
        preprocess=PreprocessConfig(image_size=32),
        tokenizer=tiny_tokenizer,
        provenance={},
    )
    return load_model(folder, device="cpu", dtype="float32")


@pytest.fixture
def encoded(loaded: LoadedModel) -> CountedImages:
    return CountedImages(loaded)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "indexes" / "holiday"


@pytest.fixture
def build(index: Path, loaded: LoadedModel) -> Callable[..., BuildReport]:
    """Builds the index from paths, in small batches that are committed at once."""

    def run(*paths: Path, **options: Any) -> BuildReport:
        return IndexBuilder(index, loaded, batch_size=3, commit_seconds=0).build(paths, **options)

    return run


@pytest.fixture
def stopped_rebuild(index: Path) -> Callable[..., IndexBuilder]:
    """Begins a rebuild with a model and stops it after some photos; its builder, to go on with."""

    def begin(model: LoadedModel, paths: Sequence[Path], *, after: int) -> IndexBuilder:
        builder = IndexBuilder(index, model, batch_size=3, commit_seconds=0)

        def stop(done: int, total: int) -> None:
            if done >= after:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            builder.build(paths, rebuild=True, progress=stop)
        return builder

    return begin


@pytest.fixture
def draw() -> Callable[[Path, int], Path]:
    """Draws a picture that no other seed gives."""

    def run(file: Path, seed: int) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        blocks = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((80, 64), Image.Resampling.NEAREST).save(file)
        return file

    return run


@pytest.fixture
def photos(tmp_path: Path, draw: Callable[[Path, int], Path]) -> Path:
    """Ten photos, p0.png to p9.png."""
    for seed in range(10):
        draw(tmp_path / "photos" / f"p{seed}.png", seed)
    return tmp_path / "photos"


@pytest.fixture
def rows() -> Callable[[Path], list[dict[str, Any]]]:
    """All rows of an index, by root and path."""

    def run(index: Path) -> list[dict[str, Any]]:
        table = IndexTable(index, read_manifest(index).table)
        names = list(ImageRecord.__dataclass_fields__)
        found = [row for batch in table.batches(names) for row in batch.to_pylist()]
        return sorted(found, key=lambda row: (row["root"], row["path"]))

    return run


@pytest.fixture
def set_in_table() -> Callable[..., None]:
    """Gives rows of an index's table, those that meet an SQL condition, other values."""

    def run(index: Path, where: str, **values: Any) -> None:
        lancedb.connect(index).open_table(read_manifest(index).table).update(where=where, values=values)

    return run


@pytest.fixture
def record() -> Callable[..., ImageRecord]:
    """A made-up record with a random unit vector."""

    def run(path: str, seed: int = 0, **fields: Any) -> ImageRecord:
        vector = np.random.default_rng(seed).normal(size=DIMENSION)
        known: dict[str, Any] = dict.fromkeys(ImageRecord.__dataclass_fields__)
        known |= {"id": record_id("1", path), "root": "1", "path": path, "part": "", "content_hash": "0" * 32}
        known |= {"format": "PNG", "size": 1, "mtime_ns": 2, "width": 3, "height": 4, "model_fingerprint": "f"}
        known |= {"embedding": (vector / np.linalg.norm(vector)).astype(np.float32), "caption": f"caption of {path}"}
        return ImageRecord(**known | fields)

    return run


@pytest.fixture
def table(tmp_path: Path, record: Callable[..., ImageRecord]) -> IndexTable:
    """Fifty made-up records, written in two commits."""
    table = IndexTable.create(tmp_path, "images-1", DIMENSION)
    table.add([record(f"{seed}.png", seed) for seed in range(30)])
    table.add([record(f"{seed}.png", seed) for seed in range(30, 50)])
    return table
