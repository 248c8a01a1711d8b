"""Many small photos, and indexes of them with made-up rows, written by the code that writes real ones.

Made once, in `build/benchmarks/libraries`: a photo is a JPEG file of 32 x 32 pixels that holds its own number, or,
after the first 100,000, another name of one of those. A row has a random unit vector, a caption and all metadata.
"""

import io
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from benchmarks.processes import DATA
from PIL import Image

from cocasearch.checkpoints.model_folder import read_model_folder, save_model_folder
from cocasearch.images.discovery import ImageFile, discover_images
from cocasearch.images.transforms import PreprocessConfig
from cocasearch.indexing.store.location import MANIFEST_FILE
from cocasearch.indexing.store.manifest import SCHEMA_VERSION, Manifest, Root, write_manifest
from cocasearch.indexing.store.records import ImageRecord, hash_file, record_id
from cocasearch.indexing.store.table import IndexTable
from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig, MultimodalConfig, PoolerConfig, TextConfig, VisionTransformerConfig
from cocasearch.paths import bundled_model_folder

DIMENSION = 512
PER_FOLDER, DISTINCT, ROWS_PER_COMMIT = 1_000, 100_000, 20_000
LIBRARIES = DATA / "libraries"
WORDS = "a the on in with man woman dog boy girl white black red blue green field beach street water grass snow"
CAMERAS = ("Pixel 8", "iPhone 15 Pro", "Canon EOS R6", "NIKON Z 6", None)
FIRST_DAY = datetime(2005, 1, 1)


def photo_tree(count: int) -> Path:
    """A folder of `count` photos, a thousand to a subfolder."""
    tree = LIBRARIES / f"photos-{count}"
    if not tree.exists():
        distinct = photo_tree(DISTINCT) if count > DISTINCT else None
        partial = tree.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        for start in range(0, count, PER_FOLDER):
            _fill(partial / f"{start // PER_FOLDER:04}", start, min(start + PER_FOLDER, count), distinct)
        partial.rename(tree)
    return tree


def _fill(folder: Path, start: int, end: int, distinct: Path | None) -> None:
    folder.mkdir(parents=True)
    for number in range(start, end):
        name = f"IMG_{number % PER_FOLDER:04}.jpg"
        if distinct:
            (folder / name).hardlink_to(distinct / f"{number % DISTINCT // PER_FOLDER:04}" / name)
        else:
            (folder / name).write_bytes(_numbered_jpeg(number))


def _numbered_jpeg(number: int) -> bytes:
    """A picture of a few hundred bytes with its number in a comment, so that no two files are the same."""
    colours = np.random.default_rng(number % 64).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    jpeg = io.BytesIO()
    Image.fromarray(colours).resize((32, 32)).save(jpeg, "JPEG")
    start, rest = jpeg.getvalue()[:2], jpeg.getvalue()[2:]
    comment = f"{number:012}".encode()
    return start + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + rest


def stand_in_model() -> Path:
    """A model as large and slow as coca-mini with vectors of 512 numbers and random weights."""
    bundled = read_model_folder(bundled_model_folder())
    return _saved("stand-in", replace(bundled.config, embed_dim=DIMENSION), bundled.preprocess)


def small_model() -> Path:
    """A model of hardly any cost, for runs over many photos, with the same vectors."""
    tokens = read_model_folder(bundled_model_folder()).tokenizer.vocab_size
    config = CoCaConfig(
        embed_dim=DIMENSION,
        image=VisionTransformerConfig(image_size=32, patch_size=16, layers=1, width=32, head_width=16),
        pooler=PoolerConfig(kind="single", queries=4, heads=2),
        text=TextConfig(context_length=20, vocab_size=tokens, width=32, heads=2, layers=1),
        multimodal=MultimodalConfig(layers=1, heads=2),
    )
    return _saved("small", config, PreprocessConfig(image_size=32))


def _saved(name: str, config: CoCaConfig, preprocess: PreprocessConfig) -> Path:
    folder = DATA / "models" / name
    if not folder.exists():
        tokenizer = read_model_folder(bundled_model_folder()).tokenizer
        state = CoCa(config).state_dict()
        provenance = {"made_by": "tests/benchmarks"}
        save_model_folder(
            folder, state, config=config, preprocess=preprocess, tokenizer=tokenizer, provenance=provenance
        )
    return folder


def library_index(count: int) -> Path:
    """The index of `photo_tree(count)`, as made by `stand_in_model()`, compacted."""
    index = LIBRARIES / f"index-{count}-schema-{SCHEMA_VERSION}"
    if not (index / MANIFEST_FILE).exists():
        tree, model = photo_tree(count), read_model_folder(stand_in_model())
        shutil.rmtree(index, ignore_errors=True)
        index.mkdir(parents=True)
        table, rng = IndexTable.create(index, "images-1", DIMENSION), np.random.default_rng(count)
        files = list(discover_images(tree))
        for start in range(0, count, ROWS_PER_COMMIT):
            table.add(_records(files[start : start + ROWS_PER_COMMIT], model.fingerprint, rng))
        table.compact()
        roots = (Root.at("1", tree, index),)
        write_manifest(
            Manifest("images-1", str(model.folder), model.fingerprint, DIMENSION, roots), index / MANIFEST_FILE
        )
    return index


def _records(files: list[ImageFile], fingerprint: str, rng: np.random.Generator) -> list[ImageRecord]:
    vectors = rng.standard_normal((len(files), DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [_record(file, fingerprint, vector, rng) for file, vector in zip(files, vectors, strict=True)]


def _record(file: ImageFile, fingerprint: str, vector: np.ndarray, rng: np.random.Generator) -> ImageRecord:
    known = dict.fromkeys(ImageRecord.__dataclass_fields__)
    day = FIRST_DAY + timedelta(seconds=int(rng.integers(0, 600_000_000)))
    words = rng.choice(WORDS.split(), 11)
    known |= {"id": record_id("1", file.path), "root": "1", "path": file.path, "size": file.size}
    known |= {"content_hash": hash_file(file.absolute), "mtime_ns": file.mtime_ns, "width": 32, "height": 32}
    known |= {"format": "JPEG", "taken_at": day, "latitude": rng.uniform(-90, 90), "longitude": rng.uniform(-180, 180)}
    known |= {"camera": CAMERAS[int(rng.integers(len(CAMERAS)))], "caption": " ".join(words) + " ."}
    known |= {"caption_score": 0.3, "caption_logprob": -1.0, "model_fingerprint": fingerprint, "embedding": vector}
    return ImageRecord(**known)
