"""What an index holds is told while it is written to."""

import shutil
from datetime import timedelta

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.summary import summarise_index


def merge(index):
    """What a writer does now and then: all fragments into one, and their files away."""
    table = IndexTable(index, read_manifest(index).table)
    table._table.optimize(cleanup_older_than=timedelta(milliseconds=1))


def test_fragments_are_merged_while_rows_are_counted(build, index, photos, monkeypatch):
    build(photos)
    expected, waiting, count = summarise_index(index), [merge], IndexTable.count_without_caption

    def count_late(table):
        if waiting:
            waiting.pop()(index)
        return count(table)

    monkeypatch.setattr(IndexTable, "count_without_caption", count_late)
    told = summarise_index(index)
    assert not waiting
    assert (told.photos, told.captions) == (expected.photos, expected.captions) == (10, 10)


def test_table_without_its_data_is_told_in_one_sentence(build, index, photos):
    build(photos)
    shutil.rmtree(index / f"{read_manifest(index).table}.lance" / "data")
    with pytest.raises(CocaSearchError, match="cannot be counted: it keeps changing, or it is damaged"):
        summarise_index(index)
