"""The unsure captions of an index out, for a person to look through, and what the person has decided back in.

Takes corrections into the table in one step, and into that of a rebuild that has not been completed, which is to take
its place. No model is needed: what a person has written is not compared with the photo.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.indexing.edit.index_editing import editing
from cocasearch.indexing.edit.review_file import (
    Correction,
    PhotoKey,
    Reviewed,
    check_ending,
    read_corrections,
    write_review,
)
from cocasearch.indexing.store.location import AnyIndex, IndexLocation
from cocasearch.indexing.store.manifest import index_command, index_name, read_manifest
from cocasearch.indexing.store.record_rows import unsure_captions
from cocasearch.indexing.store.records import ImageKey, StoredCaption
from cocasearch.indexing.store.row_filters import JUDGED
from cocasearch.indexing.store.table import IndexTable


@dataclass(frozen=True)
class ReviewReport:
    """What became of the rows of a file that was taken back.

    Attributes:
        changed: Photos with another caption now, or with none.
        confirmed: Photos whose caption a person has marked as right.
        unchanged: Photos that are as they were.
        not_found: Photos that the index does not hold, or that have another content now.
        replaced: Of those that are changed or confirmed, photos about which a person had decided otherwise before.
        lost: Those that are not found and about which a person has decided, by their paths in the file.
    """

    changed: int
    confirmed: int
    unchanged: int
    not_found: int
    replaced: int = 0
    lost: tuple[str, ...] = ()


def write_unsure(index: AnyIndex, file: Path, *, overwrite: bool = False) -> int:
    """Write the unsure captions of an index, of photos that are there, into a file, the worst first; their number.

    Args:
        index: The index.
        file: CSV, TSV or JSON lines, by its ending.
        overwrite: Whether a file that is there is replaced: it may hold corrections.

    Raises:
        CocaSearchError: No index there, or the file cannot be written or is there already.
        NothingFound: No caption is unsure, or there are no captions.
    """
    check_ending(file)
    manifest = read_manifest(index)
    if file.exists() and not overwrite:
        apply = index_command(index, "--apply", shlex.quote(str(file)), command="caption")
        hint = f"the same command with --overwrite, but take corrections in it back before: {apply}"
        raise CocaSearchError(f"{file} exists already", hint=hint)
    table, roots = IndexTable(index, manifest.table), manifest.locate_roots(index)
    _refuse_captionless(table, index)
    rows = [
        Reviewed(
            str(ImageKey(row["root"], row["path"]).file(roots)),
            row["caption"],
            row["caption_confidence"],
            PhotoKey.of(row["id"], row["content_hash"], row["caption"]),
        )
        for row in _unsure_rows(table)
    ]
    if not rows:
        told = f"index '{index_name(index)}' has no unsure captions"
        if table.count(JUDGED):
            raise NothingFound(told)
        fill = f"cocasearch caption --index {shlex.quote(index_name(index))}"
        calibrate = f"cocasearch models calibrate {shlex.quote(manifest.model_name)} DATA, and then: {fill}"
        raise NothingFound(f"{told}: none of its captions has a confidence", hint=calibrate)
    write_review(sorted(rows, key=lambda row: (row.caption_confidence, row.path)), file)
    return len(rows)


def apply_corrections(index: AnyIndex, file: Path) -> ReviewReport:
    """Take back what a person has decided about captions: theirs are stored as by a human, and sure.

    Args:
        index: The index.
        file: As `write_unsure` wrote it, corrected.

    Raises:
        CocaSearchError: No index there, the file is not as it must be, another process is writing, or the disk is full.
        NothingFound: The index holds none of the photos.
    """
    index = IndexLocation.of(index)
    read_manifest(index)
    corrections = read_corrections(file)
    reports: list[ReviewReport] = []
    with editing(index) as tables:
        for writable in tables:
            rows = _find(writable.table, corrections)
            if not rows and not reports:
                raise _nothing_of(file, index)
            captions = _decided(corrections, rows)
            if captions:
                writable.table.set_captions(captions)
                writable.table.compact()
            reports.append(_report(corrections, rows, captions))
    return reports[0]


_Rows = Mapping[PhotoKey, Sequence[Mapping[str, Any]]]
"""Rows of the table, with their captions, by the photo that they are of: several after it was copied."""


def _unsure_rows(table: IndexTable) -> list[dict[str, Any]]:
    columns = ["id", "root", "path", "content_hash", "caption", "caption_confidence"]
    return [row for batch in table.batches(columns) for row in batch.filter(unsure_captions(batch)).to_pylist()]


def _find(table: IndexTable, corrections: Sequence[Correction]) -> _Rows:
    """The rows of the photos of corrections: where they were, or else wherever the same content is."""
    rows: dict[PhotoKey, list[Mapping[str, Any]]] = {}
    keys = {correction.photo.id: correction.photo for correction in corrections}
    for row in table.captions_of(list(keys)):
        key = keys[row["id"]]
        if row["content_hash"] == key.content_hash:
            rows[key] = [row]
    taken = {key.id for key in rows}
    moved: dict[str, list[PhotoKey]] = {}
    for key in keys.values():
        if key not in rows:
            moved.setdefault(key.content_hash, []).append(key)
    for row in table.captions_of(list(moved), "content_hash"):
        for key in moved[row["content_hash"]] if row["id"] not in taken else ():
            rows.setdefault(key, []).append(row)
    return rows


def _decided(corrections: Sequence[Correction], by_photo: _Rows) -> dict[str, StoredCaption]:
    """What to store, by the rows' ids; nothing of what is stored like this already."""
    decided: dict[str, StoredCaption] = {}
    for correction in corrections:
        for row in by_photo.get(correction.photo, ()) if correction.is_decided else ():
            if row["caption"] != correction.caption:
                decided[row["id"]] = StoredCaption(correction.caption, caption_by="human")
            elif row["caption_by"] != "human":
                decided[row["id"]] = StoredCaption(
                    row["caption"], row["caption_score"], row["caption_logprob"], caption_by="human"
                )
    return decided


def _report(corrections: Sequence[Correction], by_photo: _Rows, captions: Mapping[str, StoredCaption]) -> ReviewReport:
    changed = confirmed = unchanged = replaced = 0
    lost = []
    for correction in corrections:
        rows = by_photo.get(correction.photo, ())
        stored = [row for row in rows if row["id"] in captions]
        replaced += any(row["caption_by"] == "human" for row in stored)
        if not rows and correction.is_decided:
            lost.append(correction.path)
        elif not stored:
            unchanged += bool(rows)
        elif correction.is_changed:
            changed += 1
        else:
            confirmed += 1
    not_found = len(corrections) - changed - confirmed - unchanged
    return ReviewReport(changed, confirmed, unchanged, not_found, replaced, tuple(lost))


def _nothing_of(file: Path, index: AnyIndex) -> NothingFound:
    told = f"index '{index_name(index)}' holds none of the photos of {file}; nothing was changed"
    apply = f"cocasearch caption --apply {shlex.quote(str(file))} --index NAME"
    return NothingFound(told, hint=f"name the index that the file was written from: {apply}")


def _refuse_captionless(table: IndexTable, index: AnyIndex) -> None:
    """Tell an index without captions, or without photos, from one without unsure captions."""
    if not len(table):
        raise NothingFound(f"index '{index_name(index)}' holds no photos yet", hint=index_command(index, "./photos"))
    if table.count_without_caption() == len(table):
        hint = f"write them with: cocasearch caption --index {shlex.quote(index_name(index))}"
        raise NothingFound(f"index '{index_name(index)}' has no captions to look through", hint=hint)
