import numpy as np
import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.table import IndexTable

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


def test_known_files_are_by_root_and_path(table, record):
    table.add([record("a.png", id="other", root="2", size=7, mtime_ns=8)])
    known = table.known_files()
    assert known["1", "3.png"] == (1, 2)
    assert known["2", "a.png"] == (7, 8)


def test_a_lost_table_is_named(tmp_path):
    with pytest.raises(CocaSearchError, match="has lost its table images-3"):
        IndexTable(tmp_path, "images-3")
