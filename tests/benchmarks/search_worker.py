"""Exact search over an index in three ways: ours, FAISS over the same vectors in half precision, and LanceDB's scan."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
from worker import Json, Run, serve

from cocasearch import Searcher
from cocasearch.indexing.snapshot.snapshot_files import open_snapshot, remove_snapshots
from cocasearch.indexing.store.manifest import read_manifest

TOP = 10


def cocasearch_search(index: Path) -> Callable[[np.ndarray], list[str]]:
    searcher = Searcher(index)
    return lambda query: [hit.relative_path for hit in searcher.search_vector(query, TOP)]


def faiss_search(index: Path) -> Callable[[np.ndarray], list[str]]:
    from cocasearch.indexing.store.table import IndexTable

    manifest, paths = read_manifest(index), []
    vectors = faiss.IndexScalarQuantizer(manifest.dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    for batch in IndexTable(index, manifest.table).batches(["path", "embedding"]):
        vectors.add(batch.column("embedding").flatten().to_numpy().reshape(-1, manifest.dimension))
        paths += batch.column("path").to_pylist()
    return lambda query: [paths[at] for at in vectors.search(query[None], TOP)[1][0]]


def lancedb_search(index: Path) -> Callable[[np.ndarray], list[str]]:
    for name in ("LANCE_DEFAULT_BATCH_SIZE", "LANCE_DEFAULT_IO_BUFFER_SIZE", "LANCE_DEFAULT_FRAGMENT_READAHEAD"):
        os.environ.pop(name, None)  # set by us, for merging: LanceDB is measured as it comes
    import lancedb

    table = lancedb.connect(index).open_table(read_manifest(index).table)

    def search(query: np.ndarray) -> list[str]:
        scan = table.search(query, vector_column_name="embedding").distance_type("dot").bypass_vector_index()
        found = scan.limit(TOP).select(["path", "caption", "_distance"]).to_arrow()
        return found.column("path").to_pylist()

    return search


def prepare(request: Json) -> Run:
    index = Path(request["index"])
    faiss.omp_set_num_threads(request["threads"])
    if request["way"] == "derive":
        return lambda: derive(index)
    search = {"ours": cocasearch_search, "FAISS": faiss_search, "LanceDB": lancedb_search}[request["way"]](index)
    rng = np.random.default_rng(1)
    queries = rng.standard_normal((request["queries"], read_manifest(index).dimension), dtype=np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)

    def run() -> Json:
        times, found = [], []
        for query in queries:
            started = time.perf_counter()
            found.append(search(query))
            times.append(time.perf_counter() - started)
        return {"median": float(np.median(times)), "found": found}

    return run


def derive(index: Path) -> Json:
    """The snapshot, anew."""
    table = read_manifest(index).table
    remove_snapshots(index, table)
    started = time.perf_counter()
    return {"items": len(open_snapshot(index, table)), "median": time.perf_counter() - started}


if __name__ == "__main__":
    serve(prepare)
