"""Captions that people have written, or let stand, stay when their photos are described anew.

That is so by another model, in a rebuild, and after a change of the file that leaves the picture as it looks, as when a
title or a place is written into it. A person's decision that a photo has no caption stays likewise.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.store.location import AnyIndex, IndexLocation
from cocasearch.indexing.store.manifest import find_manifest
from cocasearch.indexing.store.records import ImageRecord
from cocasearch.indexing.store.row_filters import SETTLED_BY_PEOPLE
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.table_swap import WritableTable

_SAME_PICTURE = 0.95  # cosine of one picture before and after its file was saved anew; most different ones have less


class _Decision(NamedTuple):
    """What a person has decided of the caption of a photo: its words, or that there is none."""

    content_hash: str
    caption: str | None


class HumanCaptions:
    """What people have decided about captions of one table.

    Args:
        table: Read at once, but for vectors; None for no decisions.
    """

    def __init__(self, table: IndexTable | None) -> None:
        self._table = table
        self._by_id = dict(_decisions(table)) if table else {}
        self._by_hash = {known.content_hash: known for known in self._by_id.values()}

    def keep(self, record: ImageRecord) -> ImageRecord:
        """A record just made of a photo, with what a person has decided about its caption, if anybody has."""
        known = self._by_id.get(record.id)
        if known and known.content_hash != record.content_hash and self._is_another_picture(record):
            known = None
        known = known or self._by_hash.get(record.content_hash)
        if known is None:
            return record
        by_a_person: dict[str, Any] = dict.fromkeys(("caption_score", "caption_logprob", "caption_confidence"))
        return replace(record, caption=known.caption, caption_by="human", **by_a_person)

    def _is_another_picture(self, record: ImageRecord) -> bool:
        """Whether the file had another picture before, as far as vectors of the same model can tell."""
        rows = self._table.rows([record.id]) if self._table else None
        if not rows or rows["model_fingerprint"][0].as_py() != record.model_fingerprint:
            return False
        return bool(np.asarray(rows["embedding"][0].as_py()) @ record.embedding < _SAME_PICTURE)


def captions_to_keep(index: AnyIndex, writable: WritableTable) -> HumanCaptions:
    """What people have decided in an index: in the table that is written or, in a rebuild, the one to be replaced."""
    present = find_manifest(IndexLocation.of(index).manifest)
    if present is None or present.table == writable.manifest.table:
        return HumanCaptions(writable.table)
    with suppress(CocaSearchError):
        return HumanCaptions(IndexTable(index, present.table))
    return HumanCaptions(None)  # that table is lost, and is made anew for that


def _decisions(table: IndexTable) -> Iterator[tuple[str, _Decision]]:
    """The id of each row that a person has decided about, with the decision."""
    if not table.count(SETTLED_BY_PEOPLE, with_missing=True):  # most indexes have none, and are not read for it
        return
    for batch in table.batches(["id", "content_hash", "caption", "caption_by"], with_missing=True):
        for row in batch.filter(pc.equal(batch.column("caption_by"), "human")).to_pylist():
            yield row["id"], _Decision(row["content_hash"], row["caption"])
