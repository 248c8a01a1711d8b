"""How fast it is on this machine: `make bench` prints the figures, with the bundled model and sample photos."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cocasearch import CaptionOptions, IndexBuilder, Searcher, load_model
from cocasearch.indexing.snapshot.snapshot_files import find_snapshot, write_snapshot
from cocasearch.indexing.store.record_rows import SNAPSHOT_SCHEMA
from cocasearch.paths import sample_photos_folder

pytestmark = pytest.mark.benchmark

COPIES = 20
ROWS, DIMENSION = 200_000, 256


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for photo in sorted(sample_photos_folder().glob("*.jpg")):
        for number in range(COPIES):
            shutil.copy(photo, folder / f"{number}-{photo.name}")
    return folder


def report(what: str, figure: str) -> None:
    sys.stdout.write(f"\n{what:<45} {figure}")


@pytest.mark.parametrize(("options", "slowest"), [(None, 5.0), (CaptionOptions(), 1.0)], ids=["vectors", "captions"])
def test_photos_indexed_per_second(photos, tmp_path, options, slowest):
    builder = IndexBuilder(tmp_path / "index", load_model(), caption_options=options)
    result = builder.build([photos])
    report(f"index, {'with' if options else 'without'} captions", f"{result.images_per_second:7.1f} photos/s")
    assert result.images_per_second > slowest


def test_milliseconds_of_a_query_in_a_running_process(photos, tmp_path):
    loaded = load_model()
    IndexBuilder(tmp_path / "index", loaded, caption_options=None).build([photos])
    searcher = Searcher(tmp_path / "index", loaded)
    searcher.search("warm up")
    started = time.perf_counter()
    for number in range(20):
        searcher.search(f"a photo of {number} dogs")
    milliseconds = (time.perf_counter() - started) / 20 * 1e3
    report(f"text query, {len(searcher)} photos", f"{milliseconds:7.1f} ms")
    assert milliseconds < 500


def test_milliseconds_of_searching_many_vectors(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((ROWS, DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = pa.array([str(row) for row in range(ROWS)])
    columns = {"id": names, "root": names, "path": names, "caption": names}
    columns["caption_score"] = pa.array(np.zeros(ROWS, dtype=np.float32))
    columns["caption_confidence"] = pa.array(np.ones(ROWS, dtype=np.float32))
    columns["taken_at"] = pa.nulls(ROWS, pa.timestamp("s"))
    columns |= {
        name: pa.nulls(ROWS, SNAPSHOT_SCHEMA.field(name).type) for name in SNAPSHOT_SCHEMA.names if name not in columns
    }
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSION)
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    write_snapshot(tmp_path, "images-1", 1, DIMENSION, [batch])
    snapshot = find_snapshot(tmp_path, "images-1", 1)
    assert snapshot is not None
    assert set(SNAPSHOT_SCHEMA.names) < set(columns)
    assert snapshot.nearest(vectors[7], 1)[0] == [7]
    started = time.perf_counter()
    for query in vectors[:20]:
        snapshot.rows_at(snapshot.nearest(query, 10)[0])
    milliseconds = (time.perf_counter() - started) / 20 * 1e3
    report(f"exact search, {ROWS:,} x {DIMENSION}", f"{milliseconds:7.1f} ms")
    assert milliseconds < 1_000


@pytest.mark.parametrize(("args", "slowest"), [(["--help"], 2.0), (["query", "a dog"], 20.0)], ids=["help", "query"])
def test_seconds_of_a_process(tmp_path, args, slowest):
    IndexBuilder(tmp_path / "indexes" / "default", load_model(), caption_options=None).build([sample_photos_folder()])
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "cocasearch", *args], cwd=tmp_path, check=True, capture_output=True)
    seconds = time.perf_counter() - started
    report(f"cocasearch {' '.join(args)}, from start to end", f"{seconds:7.2f} s")
    assert seconds < slowest
