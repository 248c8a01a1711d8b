"""Changes of the table that the disk does not take at first, or not whole, and what is left of them."""

import errno
import os
from pathlib import Path

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.repair.verification import verify_index
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.table_files import TableFiles

on_linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="asks the system what is flushed")


@pytest.fixture
def cut_short(monkeypatch):
    """Cuts new files of an ending short, as LanceDB does without noticing when the last write to one fails."""

    def run(ending, *, times, by=100):
        settle, left = TableFiles.settle, [times]

        def settle_less(files, before):
            for file in files.there() - before:
                if str(file).endswith(ending) and left[0]:
                    os.truncate(file, file.stat().st_size - by)
                    left[0] -= 1
            return settle(files, before)

        monkeypatch.setattr(TableFiles, "settle", settle_less)

    return run


@pytest.fixture
def failing_fsync(monkeypatch):
    """The system says of so many files of the table's rows, the one number in this list, that the disk has failed."""
    fsync, left = os.fsync, [0]

    def fail(descriptor):
        if "/data/" in str(Path(f"/proc/self/fd/{descriptor}").readlink()) and left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    return left


def ids(table):
    return sorted(id for batch in table.batches(["id"]) for id in batch["id"].to_pylist())


@pytest.mark.parametrize("ending", [".lance", ".manifest"])
@pytest.mark.parametrize("by", [1, 100])
def test_a_file_cut_short_is_noticed_and_written_again(table, record, cut_short, tmp_path, ending, by):
    cut_short(ending, times=1, by=by)
    table.add([record("new.png", 99)])
    assert len(table) == len(set(ids(table))) == 51
    assert len(IndexTable(tmp_path, "images-1")) == 51


@pytest.mark.parametrize("by", [1, 100])
def test_so_is_what_tells_which_rows_are_deleted(table, record, cut_short, tmp_path, by):
    cut_short(".arrow", times=1, by=by)
    table.remove([record("7.png").id])
    assert len(IndexTable(tmp_path, "images-1")) == len(ids(table)) == 49


def test_so_is_what_tells_which_of_many_rows_are_deleted(table, record, cut_short, tmp_path):
    table.add([record(f"{'more' if number else 'few'}/{number}.png", number) for number in range(6_000)])
    cut_short(".bin", times=1)
    table.remove_below("1", "more")
    assert len(IndexTable(tmp_path, "images-1")) == len(ids(table)) == 51


@on_linux
def test_rows_are_stored_once_though_the_disk_takes_them_only_at_the_second_try(table, record, failing_fsync, tmp_path):
    failing_fsync[0] = 1
    table.add([record("new.png", 99)])
    assert len(IndexTable(tmp_path, "images-1")) == len(set(ids(table))) == 51


def test_a_change_that_cannot_be_made_is_told_and_leaves_what_was_stored(table, record, cut_short, tmp_path):
    before = ids(table)
    cut_short(".lance", times=2)
    with pytest.raises(CocaSearchError, match=r"cannot write to the index at .*: a file was written only in part$"):
        table.add([record("new.png", 99)])
    assert ids(table) == ids(IndexTable(tmp_path, "images-1")) == before
    table.add([record("new.png", 99)])
    assert len(IndexTable(tmp_path, "images-1")) == len(before) + 1


@on_linux
@pytest.mark.parametrize("failures", [1, 2, 7])
def test_a_run_stores_no_photo_twice_when_commits_fail(build, index, photos, rows, failing_fsync, failures):
    failing_fsync[0] = failures
    if failures == 1:
        build(photos)
    else:
        with pytest.raises(CocaSearchError, match="cannot write to the index"):
            build(photos)
        failing_fsync[0] = 0
        build(photos)
    assert [row["path"] for row in rows(index)] == [f"p{number}.png" for number in range(10)]
    assert verify_index(index).problems == ()


@on_linux
def test_a_limit_on_the_size_of_files_is_told_and_costs_nothing(build, index, photos, rows):
    import resource  # Windows has none

    build(photos / "p0.png", photos / "p1.png")
    before, limits = rows(index), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, limits[1]))
    try:
        with pytest.raises(CocaSearchError, match=r"file too large|written only in part"):
            build(photos)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [row["id"] for row in rows(index)] == [row["id"] for row in before]
    assert build(photos).total == 10 and verify_index(index).problems == ()


@on_linux
def test_what_another_has_written_is_flushed_once(tmp_path, monkeypatch):
    fsync, flushed = os.fsync, []

    def note(descriptor):
        fsync(descriptor)
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())

    monkeypatch.setattr(os, "fsync", note)
    folder = TableFiles(tmp_path / "a")
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/one", "a/b/two"):
        (tmp_path / name).touch()
        folder.settle(set())
        new = [tmp_path / name, *(tmp_path / name).parents]
        assert set(flushed) == {path for path in new if path.is_relative_to(tmp_path)}
        flushed.clear()
    folder.settle(set())
    assert flushed == []
