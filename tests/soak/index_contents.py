"""What is in an index, to compare it with its photos and with another index."""

from pathlib import Path
from typing import Any

import numpy as np

from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.store.records import ImageRecord, hash_file
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.summary import summarise_index

VECTORS_AGREE = 1e-5


def all_rows(index: Path) -> list[dict[str, Any]]:
    """The rows of an index's table, those of missing files too, sorted by root and path."""
    table = IndexTable(index, read_manifest(index).table)
    columns = list(ImageRecord.__dataclass_fields__)
    found = [row for batch in table.batches(columns, with_missing=True) for row in batch.to_pylist()]
    assert len(found) == len({row["id"] for row in found}), "two rows of one id"
    return sorted(found, key=lambda row: (row["root"], row["path"]))


def stored_photos(index: Path, photos: Path) -> set[tuple[str, str]]:
    """Path and content hash of each photo that is stored as it is now."""
    places = [(row["path"], row["content_hash"]) for row in all_rows(index)]
    return {place for place in places if (photos / place[0]).exists() and hash_file(photos / place[0]) == place[1]}


def assert_same_contents(index: Path, expected: Path) -> None:
    """Row for row the same photos with the same values, and the same unreadable files."""
    found, wanted = all_rows(index), all_rows(expected)
    assert [row["path"] for row in found] == [row["path"] for row in wanted]
    for one, other in zip(found, wanted, strict=True):
        for name, value in one.items():
            if isinstance(value, float | list):
                np.testing.assert_allclose(value, other[name], atol=VECTORS_AGREE, err_msg=f"{one['path']}: {name}")
            else:
                assert value == other[name], (one["path"], name)
    assert summarise_index(index).unreadable == summarise_index(expected).unreadable
