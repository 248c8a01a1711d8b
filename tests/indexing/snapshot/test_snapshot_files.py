import errno
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cocasearch.indexing.repair.verification import verify_index
from cocasearch.indexing.snapshot.snapshot_files import find_snapshot, open_snapshot
from cocasearch.indexing.store.versions import latest_version

DIMENSION = 8


def files(tmp_path):
    return sorted(file.name for file in (tmp_path / "snapshot").iterdir())


def test_a_fresh_snapshot_is_opened_as_it_is(tmp_path, table):
    open_snapshot(tmp_path, "images-1")
    written = {name: (tmp_path / "snapshot" / name).stat().st_mtime_ns for name in files(tmp_path)}
    open_snapshot(tmp_path, "images-1")
    assert {name: (tmp_path / "snapshot" / name).stat().st_mtime_ns for name in files(tmp_path)} == written


@pytest.mark.parametrize(
    "change",
    [
        lambda table, record: table.add([record("new.png", 60)]),
        lambda table, record: table.replace([record("3.png", 60)]),
        lambda table, record: table.remove([record("3.png").id]),
    ],
    ids=["added", "replaced", "removed"],
)
def test_a_stale_snapshot_is_derived_anew_and_the_old_one_removed(tmp_path, table, record, change):
    open_snapshot(tmp_path, "images-1")
    change(table, record)
    assert len(open_snapshot(tmp_path, "images-1")) == len(table)
    stem = f"images-1-v{table.version}"
    assert files(tmp_path) == [f"{stem}.arrow", f"{stem}.faiss", f"{stem}.sq8"]


@pytest.mark.parametrize("suffix", ["faiss", "sq8", "arrow"])
@pytest.mark.parametrize("damage", ["missing", "torn", "empty"])
def test_a_snapshot_that_is_not_whole_is_derived_anew(tmp_path, table, suffix, damage):
    open_snapshot(tmp_path, "images-1")
    (file,) = (tmp_path / "snapshot").glob(f"*.{suffix}")
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[: len(content) // 2] if damage == "torn" else b"")
    assert find_snapshot(tmp_path, "images-1", table.version) is None
    assert len(open_snapshot(tmp_path, "images-1")) == 50
    assert file.read_bytes() == content


def test_an_index_that_cannot_be_written_to_is_searched_in_memory(tmp_path, table, record):
    on_disk = open_snapshot(tmp_path, "images-1").nearest(record("q", 101).embedding, 7)
    shutil.rmtree(tmp_path / "snapshot")
    (tmp_path / "snapshot").touch()  # no folder can be made here
    in_memory = open_snapshot(tmp_path, "images-1").nearest(record("q", 101).embedding, 7)
    np.testing.assert_array_equal(in_memory, on_disk)


def test_an_index_is_searched_in_memory_where_faiss_does_not_read_what_was_written(
    tmp_path, table, record, monkeypatch
):
    on_disk = open_snapshot(tmp_path, "images-1").nearest(record("q", 101).embedding, 7)
    shutil.rmtree(tmp_path / "snapshot")

    def refuse(writer):
        raise RuntimeError("another format")

    monkeypatch.setattr("cocasearch.indexing.snapshot.faiss_file.VectorFileWriter._read_back", refuse)
    in_memory = open_snapshot(tmp_path, "images-1").nearest(record("q", 101).embedding, 7)
    np.testing.assert_array_equal(in_memory, on_disk)
    assert files(tmp_path) == []


def test_the_version_read_from_file_names_is_the_tables(tmp_path, table, record):
    assert latest_version(tmp_path, "images-1") == table.version
    table.remove([record("3.png").id])
    for seed in range(70, 90):
        table.add([record(f"{seed}.png", seed)])
    table.compact()
    assert latest_version(tmp_path, "images-1") == table.version


def test_version_files_named_the_older_way_are_understood(tmp_path):
    versions = tmp_path / "images-1.lance" / "_versions"
    versions.mkdir(parents=True)
    for name in ("1.manifest", "12.manifest", "2.manifest", "d3.manifest", "13.txt"):
        (versions / name).touch()
    assert latest_version(tmp_path, "images-1") == 12


def test_opening_and_searching_import_neither_lancedb_nor_torch(tmp_path, table):
    open_snapshot(tmp_path, "images-1")
    code = f"""
import sys
from pathlib import Path
from pathlib import Path
import numpy as np
from cocasearch.indexing.snapshot.snapshot_files import open_snapshot, find_snapshot
assert len(open_snapshot(Path({str(tmp_path)!r}), "images-1").nearest(np.eye({DIMENSION}, dtype=np.float32)[0], 5)[0])
assert not {{"lancedb", "torch"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_snapshot_whose_files_cannot_all_be_written_leaves_none(build, index, photos, monkeypatch):
    replace, done = Path.replace, []

    def fail_once(file, target):
        done.append(target.name)
        if target.suffix == ".sq8" and sum(name.endswith(".sq8") for name in done) == 1:
            raise OSError(errno.EIO, "Input/output error")
        return replace(file, target)

    monkeypatch.setattr(Path, "replace", fail_once)
    assert build(photos).total == 10
    assert any(name.endswith(".arrow") for name in done)
    assert verify_index(index).problems == () and not list((index / "snapshot").glob("images-1*"))
