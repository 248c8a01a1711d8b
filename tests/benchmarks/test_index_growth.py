"""How an index of 10,000, 100,000 and 1,000,000 photos behaves: what must grow with it, and what must not."""

import contextlib
import datetime
import os
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from benchmarks.photo_library import library_index, photo_tree, small_model, stand_in_model
from benchmarks.processes import DATA, HERE, ROUNDS, THREADS, Json, Report, Worker, cocasearch, processor

pytestmark = pytest.mark.benchmark

ROWS = int(os.environ.get("COCASEARCH_BENCHMARK_ROWS", "1000000"))
SIZES = [size for size in (10_000, 100_000, 1_000_000) if size <= ROWS]
FEW, MANY = 1_000, 50_000
COLUMNS = ["photos", "query command", "its memory", "query in a process", "its memory", "snapshot", "index again"]
COLUMNS += ["its memory", "bytes per photo"]


@pytest.fixture(scope="module")
def report() -> Iterator[Report]:
    report = Report([])
    report.add(f"{datetime.date.today()}, {processor()}; {THREADS} threads, medians of {ROUNDS} runs,")
    report.add(f"load average at the start: {os.getloadavg()[0]:.1f}", "")
    report.add(f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}")
    yield report
    report.add("", f"load average at the end: {os.getloadavg()[0]:.1f}", "")
    (DATA / "index-growth.md").write_text("\n".join(report.lines), encoding="utf-8")


def worker_runs(index: Path, way: str) -> Json:
    """Median seconds and peak memory of one way of search_worker.py."""
    request = {"index": str(index), "way": way, "queries": 20, "threads": THREADS}
    with contextlib.closing(Worker([sys.executable, str(HERE / "search_worker.py")], request)) as worker:
        return middle([worker.run() | {"seconds": 0.0} for _ in range(ROUNDS)], "median")


def middle(runs: list[Json], seconds: str = "seconds") -> Json:
    return {
        "seconds": statistics.median(run[seconds] for run in runs),
        "MB": f"{max(run['peak_bytes'] for run in runs) / 1e6:,.0f} MB",
    }


@pytest.mark.parametrize("photos", SIZES)
def test_growth(photos: int, report: Report) -> None:
    index, tree = library_index(photos), photo_tree(photos)
    derived = worker_runs(index, "derive")
    command = middle([cocasearch("query", "a dog", "--index", index) for _ in range(ROUNDS)])
    inside = worker_runs(index, "ours")
    cocasearch("index", tree, "--index", index)  # notes what it knows of files, as every run that has stored something
    again = [cocasearch("index", tree, "--index", index) for _ in range(ROUNDS)]
    assert all(f"{photos} unchanged" in run["told"].replace(",", "") for run in again)
    looked = middle(again)
    size = sum(file.stat().st_size for file in index.rglob("*") if file.is_file()) / photos
    cells = [f"{photos:,}", f"{command['seconds']:.2f} s", command["MB"], f"{inside['seconds'] * 1e3:.1f} ms"]
    cells += [inside["MB"], f"{derived['seconds']:.2f} s", f"{looked['seconds']:.2f} s", looked["MB"], f"{size:,.0f}"]
    report.add(f"| {' | '.join(cells)} |")


@pytest.mark.parametrize("model", [small_model, stand_in_model])
def test_memory_of_indexing(model: Callable[[], Path], report: Report) -> None:
    """Photos hardly larger than nothing, without captions, so that what is kept of each shows."""
    peaks = {}
    for photos in (FEW, MANY):
        index = DATA / "libraries" / f"made-of-{photos}"
        shutil.rmtree(index, ignore_errors=True)
        options = ["--no-captions", "--model", model(), "--index", index]
        peaks[photos] = cocasearch("index", photo_tree(photos), *options)["peak_bytes"]
        shutil.rmtree(index)
    few, many = peaks[FEW] / 1e6, peaks[MANY] / 1e6
    with_model = f"with the model '{model().name}'"
    report.add("", f"peak memory of indexing {with_model} {FEW:,} photos {few:,.0f} MB, {MANY:,} photos {many:,.0f} MB")
