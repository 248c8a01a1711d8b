import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.store.location import UNREADABLE_FILE
from cocasearch.indexing.store.unreadable_files import UnreadableFile, UnreadableFiles


def test_entries_outlive_the_process(tmp_path):
    unreadable = UnreadableFiles(tmp_path)
    unreadable.add(UnreadableFile("1", "ä.jpg", "truncated", 10, 20))
    unreadable.add(UnreadableFile("1", "b.jpg", "empty file", 0, 20))
    unreadable.discard("1", "b.jpg")
    unreadable.save()
    again = UnreadableFiles(tmp_path)
    assert list(again) == [UnreadableFile("1", "ä.jpg", "truncated", 10, 20)]
    assert again.file_stats() == {("1", "ä.jpg"): (10, 20)}


def test_a_file_is_tried_again_once_what_stood_in_its_way_may_be_gone(tmp_path, monkeypatch):
    unreadable = UnreadableFiles(tmp_path)
    for cause, extra in (("file", ""), ("time", ""), ("system", ""), ("extra", "heif"), ("extra", "raw")):
        unreadable.add(UnreadableFile("1", f"{cause} {extra}", "some reason", 10, 20, cause, extra))
    unreadable.save()
    monkeypatch.setattr("cocasearch.images.formats.find_spec", lambda module: module if module == "rawpy" else None)
    tried_again = [path for (_, path), stat in UnreadableFiles(tmp_path).file_stats().items() if stat is None]
    assert tried_again == ["extra raw", "system ", "time "]


def test_nothing_new_writes_nothing(tmp_path):
    UnreadableFiles(tmp_path).save()
    assert not (tmp_path / UNREADABLE_FILE).exists()


def test_a_damaged_list_is_named(tmp_path):
    (tmp_path / UNREADABLE_FILE).write_text('[{"path": 1}]')
    with pytest.raises(CocaSearchError, match=r"unreadable\.json is damaged"):
        UnreadableFiles(tmp_path)
