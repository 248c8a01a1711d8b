import json

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.store.unreadable_files import LEDGER_FILE, Ledger, UnreadableFile


def test_entries_outlive_the_process(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add(UnreadableFile("1", "ä.jpg", "truncated", 10, 20))
    ledger.add(UnreadableFile("1", "b.jpg", "empty file", 0, 20))
    ledger.discard("1", "b.jpg")
    ledger.save()
    again = Ledger(tmp_path)
    assert list(again) == [UnreadableFile("1", "ä.jpg", "truncated", 10, 20)]
    assert again.stamps() == {("1", "ä.jpg"): (10, 20)}


def test_a_file_is_tried_again_once_what_stood_in_its_way_may_be_gone(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path)
    for cause, extra in (("file", ""), ("time", ""), ("system", ""), ("extra", "heif"), ("extra", "raw")):
        ledger.add(UnreadableFile("1", f"{cause} {extra}", "some reason", 10, 20, cause, extra))
    ledger.save()
    monkeypatch.setattr("cocasearch.images.formats.find_spec", lambda module: module if module == "rawpy" else None)
    tried_again = [path for (_, path), stamp in Ledger(tmp_path).stamps().items() if stamp is None]
    assert tried_again == ["extra raw", "system ", "time "]


def test_a_ledger_of_the_second_schema_is_read(tmp_path):
    rows = [
        {"root": "1", "path": path, "reason": "r", "size": 1, "mtime_ns": 2, "lasting": path == "a"} for path in "ab"
    ]
    (tmp_path / LEDGER_FILE).write_text(json.dumps(rows))
    assert [entry.cause for entry in Ledger(tmp_path)] == ["file", "system"]


def test_nothing_new_writes_nothing(tmp_path):
    Ledger(tmp_path).save()
    assert not (tmp_path / LEDGER_FILE).exists()


def test_a_damaged_ledger_is_named(tmp_path):
    (tmp_path / LEDGER_FILE).write_text('[{"path": 1}]')
    with pytest.raises(CocaSearchError, match=r"unreadable\.json is damaged"):
        Ledger(tmp_path)
