"""Ours against rclip 3.3.0 (looking through photos again, size on disk), and against FAISS and LanceDB (exact search).

README.md beside this file says how to install rclip for it. Goals stand in the table as "wanted"; what is asserted is
that all sides do the same work.
"""

import contextlib
import datetime
import os
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from benchmarks.photo_library import library_index, photo_tree
from benchmarks.processes import DATA, HERE, ROUNDS, THREADS, Json, Report, Worker, cocasearch, measure, processor

from cocasearch.paths import PACKAGE

pytestmark = pytest.mark.benchmark

PHOTOS = 100_000
ROWS = int(os.environ.get("COCASEARCH_BENCHMARK_ROWS", "1000000"))
QUERIES = {"ours": 20, "FAISS": 20, "LanceDB": 2}  # a round
HOW_TO = "set COCASEARCH_RCLIP_PYTHON to the Python of a venv with rclip 3.3.0, as tests/benchmarks/README.md says"
VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"

Rclip = Callable[..., Json]


@pytest.fixture(scope="module")
def report() -> Iterator[Report]:
    report = Report([])
    report.add(f"{datetime.date.today()}, {processor()}; {THREADS} threads, {ROUNDS} paired rounds, medians,")
    report.add(f"load average at the start: {os.getloadavg()[0]:.1f}", "")
    report.add("| what | ours | theirs | ours / theirs | wanted |", "| --- | --- | --- | --- | --- |")
    yield report
    report.add("", f"load average at the end: {os.getloadavg()[0]:.1f}", "")
    (DATA / "index-against-peers.md").write_text("\n".join(report.lines), encoding="utf-8")


@pytest.fixture(scope="module")
def rclip_data() -> Path:
    """rclip's folder: its database, and stand-ins for its model."""
    return DATA / "rclip"


@pytest.fixture(scope="module")
def rclip(rclip_data: Path) -> Rclip:
    """Runs rclip's own command, as it is installed, in the folder of photos."""
    python = os.environ.get("COCASEARCH_RCLIP_PYTHON")
    if not python:
        pytest.skip(HOW_TO)
    vocabulary = rclip_data / "tokenizer" / VOCABULARY
    if not vocabulary.exists():
        subprocess.run([python, HERE / "rclip_stand_ins.py", rclip_data], check=True)
        vocabulary.parent.mkdir()
        vocabulary.write_bytes((PACKAGE / "text" / VOCABULARY).read_bytes())
    tree = photo_tree(PHOTOS)
    offline = {"RCLIP_DATADIR": str(rclip_data), "HF_HUB_OFFLINE": "1"}

    def run(*options: str) -> Json:
        return measure(python, "-m", "rclip", *options, "a dog", cwd=tree, environment=offline)

    run()  # the first one indexes them all
    return run


def rclip_rows(rclip_data: Path) -> int:
    with contextlib.closing(sqlite3.connect(rclip_data / "db.sqlite3")) as database:
        return int(database.execute("SELECT count(*) FROM images WHERE deleted IS NULL").fetchone()[0])


def test_looking_through_unchanged_photos_again(rclip: Rclip, rclip_data: Path, report: Report) -> None:
    """Their run less their run without indexing, so that start and search do not count; of ours everything counts."""
    index, tree = library_index(PHOTOS), photo_tree(PHOTOS)
    rounds = []
    for _ in range(ROUNDS + 1):
        ours = cocasearch("index", tree, "--index", index)
        whole, search = rclip(), rclip("--no-indexing")
        assert f"{PHOTOS} unchanged" in ours["told"].replace(",", "")
        rounds.append((ours["seconds"], whole["seconds"] - search["seconds"], ours["peak_bytes"], whole["peak_bytes"]))
    assert rclip_rows(rclip_data) == PHOTOS
    seconds, their_seconds, peak, their_peak = (statistics.median(values) for values in zip(*rounds[1:], strict=True))
    ratio = statistics.median(round[0] / round[1] for round in rounds[1:])
    report.add(
        f"| index {PHOTOS:,} unchanged photos, against rclip's part for indexing | {seconds:.2f} s"
        f" | {their_seconds:.2f} s | {ratio:.2f} | 0.33 |",
        f"| peak memory of it | {peak / 1e6:,.0f} MB | {their_peak / 1e6:,.0f} MB | {peak / their_peak:.2f} | |",
    )


def test_bytes_on_disk(rclip: Rclip, rclip_data: Path, report: Report) -> None:
    """With caption, all metadata and snapshot, after compaction; rclip's rows have neither caption nor metadata."""
    index = library_index(PHOTOS)
    cocasearch("query", "a dog", "--index", index)
    ours = sum(file.stat().st_size for file in index.rglob("*") if file.is_file()) / PHOTOS
    theirs = (rclip_data / "db.sqlite3").stat().st_size / rclip_rows(rclip_data)
    report.add(
        f"| bytes on disk per photo, 512 dimensions | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.2f} | 1.00 |"
    )


def test_exact_search(report: Report) -> None:
    index = library_index(ROWS)
    with contextlib.ExitStack() as stack:
        workers = {
            way: stack.enter_context(contextlib.closing(search_worker(index, way, queries)))
            for way, queries in QUERIES.items()
        }
        answers = [{way: worker.run() for way, worker in workers.items()} for _ in range(ROUNDS + 1)][1:]
    for way, wanted in (("FAISS", "1.20"), ("LanceDB", "0.05")):
        for answer in answers:
            assert all(map(same_photos, answer["ours"]["found"], answer[way]["found"]))
        ratio = statistics.median(answer["ours"]["median"] / answer[way]["median"] for answer in answers)
        ours, theirs = (statistics.median(answer[name]["median"] for answer in answers) for name in ("ours", way))
        report.add(
            f"| exact search, {ROWS:,} x 512, {way} | {ours * 1e3:.1f} ms | {theirs * 1e3:.1f} ms"
            f" | {ratio:.3f} | {wanted} |"
        )


def search_worker(index: Path, way: str, queries: int) -> Worker:
    request = {"index": str(index), "way": way, "queries": queries, "threads": THREADS}
    return Worker([sys.executable, str(HERE / "search_worker.py")], request)


def same_photos(found: list[str], expected: list[str]) -> bool:
    """Half precision may change the order of neighbours."""
    return len(found) == len(expected) and len(set(found) & set(expected)) >= len(expected) - 1
