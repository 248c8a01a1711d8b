import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.ledger import LEDGER_FILE, Ledger, UnreadableFile


def test_entries_outlive_the_process(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add(UnreadableFile("1", "ä.jpg", "truncated", 10, 20))
    ledger.add(UnreadableFile("1", "b.jpg", "empty file", 0, 20))
    ledger.discard("1", "b.jpg")
    ledger.save()
    again = Ledger(tmp_path)
    assert list(again) == [UnreadableFile("1", "ä.jpg", "truncated", 10, 20)]
    assert [entry.stamp for entry in again] == [(10, 20)]
    assert UnreadableFile("1", "c.jpg", "permission denied", 10, 20, lasting=False).stamp is None


def test_nothing_new_writes_nothing(tmp_path):
    Ledger(tmp_path).save()
    assert not (tmp_path / LEDGER_FILE).exists()


def test_a_damaged_ledger_is_named(tmp_path):
    (tmp_path / LEDGER_FILE).write_text('[{"path": 1}]')
    with pytest.raises(CocaSearchError, match=r"unreadable\.json is damaged"):
        Ledger(tmp_path)
