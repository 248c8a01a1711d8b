import os
from datetime import UTC, datetime
from operator import itemgetter

import lancedb
import numpy as np
import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.snapshot.snapshot_files import open_snapshot
from cocasearch.indexing.store.records import ImageRecord
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.versions import UnreadableTable

DIMENSION = 8


@pytest.fixture
def table(tmp_path, record):
    table = IndexTable.create(tmp_path, "images-1", DIMENSION)
    table.add([record(f"{seed}.png", seed) for seed in range(5)])
    return table


def column(table, name):
    return [value for batch in table.batches([name]) for value in batch.column(0).to_pylist()]


def test_rows_come_back_as_they_went_in(tmp_path, table, record):
    table.add([record("x.png", 9, latitude=48.1, camera="Pixel 8", caption=None, caption_score=0.25)])
    again = IndexTable(tmp_path, "images-1")
    assert (len(again), again.dimension) == (6, DIMENSION)
    assert column(again, "camera") == [None] * 5 + ["Pixel 8"]
    assert column(again, "latitude")[-1] == 48.1
    assert column(again, "caption")[-1] is None
    np.testing.assert_array_equal(column(again, "embedding")[-1], record("x.png", 9).embedding)


def test_replacing_changes_rows_of_the_same_id_and_no_others(table, record):
    table.replace([record("2.png", 2, caption="another"), record("3.png", 3, caption="a third")])
    captions = dict(zip(column(table, "path"), column(table, "caption"), strict=True))
    assert len(table) == 5
    assert (captions["2.png"], captions["3.png"], captions["4.png"]) == ("another", "a third", "caption of 4.png")


def test_removing_takes_out_what_is_there(table, record):
    table.remove([record("2.png").id, record("never.png").id])
    assert column(table, "path") == ["0.png", "1.png", "3.png", "4.png"]


def test_a_reader_keeps_its_version_while_a_writer_goes_on(tmp_path, table, record):
    reader = IndexTable(tmp_path, "images-1")
    table.remove([record("2.png").id])
    assert (len(reader), len(table)) == (5, 4)


def test_compaction_keeps_every_row(table, record):
    for seed in range(10, 40):
        table.add([record(f"{seed}.png", seed)])
    table.compact()
    assert len(table) == len(set(column(table, "id"))) == 35


def test_a_lost_table_is_named(tmp_path):
    with pytest.raises(CocaSearchError, match="has lost its table images-3"):
        IndexTable(tmp_path, "images-3")


def test_a_missing_file_hides_its_row_until_it_is_found(table, record):
    gone, since = record("2.png"), datetime(2026, 5, 4, 3, 2, 1, 999, tzinfo=UTC)
    before = [row for batch in table.batches(list(ImageRecord.__dataclass_fields__)) for row in batch.to_pylist()]
    table.mark_missing([gone.id], since)
    assert (len(table), table.count_missing()) == (4, 1)
    assert "2.png" not in column(table, "path")
    (row,) = (
        row
        for batch in table.batches(["path", "missing_since"], with_missing=True)
        for row in batch.to_pylist()
        if row["missing_since"]
    )
    assert row == {"path": "2.png", "missing_since": since.replace(microsecond=0)}
    table.mark_found([gone.id])
    assert (len(table), table.count_missing()) == (5, 0)
    after = [row for batch in table.batches(list(ImageRecord.__dataclass_fields__)) for row in batch.to_pylist()]
    assert sorted(after, key=itemgetter("id")) == sorted(before, key=itemgetter("id"))


@pytest.fixture
def flushed(monkeypatch):
    """The files that the disk has been told to take, by their inodes."""
    fsync, inodes = os.fsync, set()

    def note(descriptor):
        fsync(descriptor)
        inodes.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", note)
    return inodes


def test_every_file_of_a_table_is_flushed_and_older_versions_go_only_then(tmp_path, flushed, record, monkeypatch):
    def unflushed():
        files = (tmp_path / "images-1.lance").rglob("*")
        return [file for file in files if file.suffix != ".json" and file.stat().st_ino not in flushed]

    table = IndexTable.create(tmp_path, "images-1", DIMENSION)
    for seed in range(20):
        table.add([record(f"{seed}.png", seed)])
        assert not unflushed()
    optimize = lancedb.table.LanceTable.optimize

    def look_first(inner, *, cleanup_older_than):
        assert not unflushed()
        optimize(inner, cleanup_older_than=cleanup_older_than)

    monkeypatch.setattr(lancedb.table.LanceTable, "optimize", look_first)
    table.compact()
    assert not unflushed()
    (file,) = (tmp_path / "images-1.lance" / "_versions").glob("*.manifest")
    assert file.stat().st_ino in flushed
    assert len(table) == 20


@pytest.mark.parametrize("folder", ["_versions", "data"])
def test_a_table_that_a_power_cut_has_damaged_is_an_error_of_one_sentence(tmp_path, table, record, folder):
    newest = max((tmp_path / "images-1.lance" / folder).glob("*.[lm]a*"), key=lambda file: file.stat().st_ctime_ns)
    newest.write_bytes(b"")
    with pytest.raises(UnreadableTable, match=r"the table images-1 of the index at .* cannot be read: .*") as caught:
        IndexTable(tmp_path, "images-1").rows([record("4.png", 4).id])
    assert caught.value.hint == f"cocasearch verify --index {tmp_path}"
    with pytest.raises(UnreadableTable):
        open_snapshot(tmp_path, "images-1")
