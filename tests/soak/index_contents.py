"""What is in an index, to compare it with its photos and with another index."""

from pathlib import Path
from typing import Any

import numpy as np

from cocasearch.indexing.manifest import read_manifest
from cocasearch.indexing.records import ImageRecord, hash_file
from cocasearch.indexing.summary import summarise_index
from cocasearch.indexing.table import IndexTable

VECTORS_AGREE = 1e-5


def all_rows(index: Path) -> list[dict[str, Any]]:
    """The rows of an index's table, sorted by root and path."""
    table = IndexTable(index, read_manifest(index).table)
    found = [row for batch in table.batches(list(ImageRecord.__dataclass_fields__)) for row in batch.to_pylist()]
    assert len(found) == len({row["id"] for row in found}), "two rows of one id"
    return sorted(found, key=lambda row: (row["root"], row["path"]))


def stored_photos(index: Path, photos: Path) -> set[tuple[str, str, int]]:
    """Path, content hash and time of change of each photo that is stored as it is now."""
    stored = {(row["path"], row["content_hash"], row["mtime_ns"]) for row in all_rows(index)}
    return stored & {
        (path, hash_file(photos / path), (photos / path).stat().st_mtime_ns)
        for path, _, _ in stored
        if (photos / path).exists()
    }


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
