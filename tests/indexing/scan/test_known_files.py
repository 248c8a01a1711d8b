from datetime import UTC, datetime

import pytest

from cocasearch.indexing.scan.known_files import Counts, keep_known_files, open_known_files
from cocasearch.indexing.store.records import record_id
from cocasearch.indexing.store.table import IndexTable


@pytest.fixture
def table(tmp_path, record):
    table = IndexTable.create(tmp_path, "images-1", 8)
    names = ("a.png", 'b/odd "\t\n{}, ü.png', "b/c/d.png", "b/gone.png")
    table.add([record(name, size=7, mtime_ns=10**18 + at) for at, name in enumerate(names)])
    table.add([record("a.png", id="0" * 16, root="2", size=9, caption=None)])
    table.mark_missing([record_id("1", "b/gone.png")], datetime.now(UTC))
    return table


def test_stamps_are_by_folder_and_tell_missing_files(tmp_path, table):
    known = open_known_files(tmp_path, "images-1")
    assert known.as_dict() == {
        ("1", ""): {"a.png": [7, 10**18]},
        ("1", "b"): {'odd "\t\n{}, ü.png': [7, 10**18 + 1], "gone.png": [7, 10**18 + 3, 1]},
        ("1", "b/c"): {"d.png": [7, 10**18 + 2]},
        ("2", ""): {"a.png": [9, 2]},
    }
    assert known.counts == Counts(present=4, captionless=1, missing=1)
    assert known.file_stats("3", "nowhere") == {}
    assert list(known.paths_in("2")) == ["a.png"]
    assert known.sizes_among({7, 8, 9}) == {7, 9}


def test_what_was_kept_is_read_without_the_table(tmp_path, table, monkeypatch):
    first = open_known_files(tmp_path, "images-1")
    monkeypatch.setattr(IndexTable, "batches", None)
    again = open_known_files(tmp_path, "images-1")
    assert (again.as_dict(), again.counts) == (first.as_dict(), first.counts)


def test_what_was_kept_of_another_version_is_replaced(tmp_path, table):
    open_known_files(tmp_path, "images-1")
    table.remove([record_id("1", "a.png")])
    assert ("1", "") not in open_known_files(tmp_path, "images-1").as_dict()
    assert len(list((tmp_path / "snapshot").iterdir())) == 1


@pytest.mark.parametrize("text", ["", "{}\n[1]\n", "no JSON\n", '{"present": 1, "colour": 2}\n'])
def test_a_damaged_file_is_made_anew(tmp_path, table, text):
    first = keep_known_files(tmp_path, "images-1", table).as_dict()
    (file,) = (tmp_path / "snapshot").iterdir()
    file.write_text(text)
    assert open_known_files(tmp_path, "images-1").as_dict() == first


@pytest.mark.parametrize("end", [-1, -20, None])
def test_a_file_that_is_not_whole_is_made_anew(tmp_path, table, end):
    first = keep_known_files(tmp_path, "images-1", table).as_dict()
    (file,) = (tmp_path / "snapshot").iterdir()
    text = file.read_text()
    file.write_text(text[:end] if end else text[: text.rindex("\n", 0, -1) + 1])  # else without its last line
    assert open_known_files(tmp_path, "images-1").as_dict() == first


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path, table):
    (tmp_path / "snapshot").touch()
    assert len(open_known_files(tmp_path, "images-1").as_dict()) == 4
