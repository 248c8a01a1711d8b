"""Values of every kind, drawn at random for every column: each is stored as it is, or nothing is in its place."""

import math
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import numpy as np
import pytest

from cocasearch.indexing.batch_halving import do_without_faulty
from cocasearch.indexing.store.record_rows import SNAPSHOT_SCHEMA, record_schema, records_to_table
from cocasearch.indexing.store.records import COLUMNS, WHERE_HELP, ImageKey, ImageRecord, record_id
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.where_parser import KINDS

DIMENSION = 8
ODD = {
    "int": (0, -1, 2**31 - 1, 2**31, 2**63 - 1, 2**63, -(2**63), -(2**64), 10**400),
    "float": (0.0, -0.0, 1e-320, 1e38, 1e39, 1.7e308, math.nan, math.inf, -math.inf, 10**30),
    "string": ("", "ä", "\ud83d\ude00", "a\udcff", "\0", "x" * 100_000, "'; --", "two\nlines", b"\xff"),
    "timestamp": (
        datetime.min,
        datetime(1900, 1, 1),
        datetime(2262, 4, 12),
        datetime.max,
        datetime(1, 1, 1, tzinfo=UTC),
    ),
}
NEEDED = {field.name for field in record_schema(DIMENSION) if not field.nullable} - {"embedding", "id"}
OPTIONAL = {field.name for field in record_schema(DIMENSION) if field.nullable}


def odd_value(name, dice):
    kind = str(record_schema(DIMENSION).field(name).type)
    kind = next(known for known in ODD if known in kind.replace("double", "float"))
    return dice.choice((None, *ODD[kind]))


def fits(value):
    if isinstance(value, str):
        return value.isprintable() or "\n" in value or "\0" in value  # a lone surrogate is none of these
    return isinstance(value, float) and abs(value) < 3e38


def test_what_a_column_cannot_hold_becomes_nothing_and_its_neighbours_stay(record, tmp_path):
    dice = Random(2)
    table = IndexTable.create(tmp_path, "images-1", DIMENSION)
    drawn = [{name: odd_value(name, dice) for name in OPTIONAL} for _ in range(60)]
    table.add([record(f"{number}.jpg", number, **fields) for number, fields in enumerate(drawn)])
    stored = {
        row["path"]: row for batch in table.batches(["path", *OPTIONAL], with_missing=True) for row in batch.to_pylist()
    }
    for number, values in enumerate(drawn):
        for name, value in values.items():
            kept = stored[f"{number}.jpg"][name]
            if kept is None:
                assert value is None or not fits(value)
            elif isinstance(value, str):
                assert kept == value
            elif isinstance(value, float):
                assert kept == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_of_a_batch_only_rows_that_lack_what_they_need_are_left_out(record, name):
    dice, schema, stored = Random(3), record_schema(DIMENSION), []
    values = [odd_value(name, dice) if number % 3 else getattr(record("x"), name) for number in range(30)]
    records = [replace(record(f"{number}.jpg"), **{name: value}) for number, value in enumerate(values)]
    faults = do_without_faulty(30, lambda some: stored.append(records_to_table([records[at] for at in some], schema)))
    kept = [value for table in stored for value in table[name].to_pylist()]
    left_out = {at for at, _ in faults}
    assert kept == [value for at, value in enumerate(values) if at not in left_out]
    assert None not in kept and not any(at % 3 == 0 for at in left_out)


def test_a_vector_that_is_none_is_left_out(record):
    records = [record(f"{number}.jpg", number) for number in range(7)]
    records[5] = record("5.jpg", embedding=np.full(DIMENSION, np.nan, np.float32))
    schema = record_schema(DIMENSION)
    faults = do_without_faulty(7, lambda some: records_to_table([records[at] for at in some], schema))
    assert [at for at, _ in faults] == [5]


def test_nothing_to_do_is_done():
    assert do_without_faulty(0, lambda some: 1 / 0) == []


def test_the_part_of_a_file_is_in_its_id_and_a_photo_has_none():
    photo, moment = ImageKey("1", "a/b.jpg"), ImageKey("1", "a/b.jpg", "12.5")
    assert photo.id == record_id("1", "a/b.jpg") == "dbbee5839e938d08"
    assert len({photo.id, moment.id, ImageKey("1", "a/b.jpg12.5").id, ImageKey("2", "a/b.jpg", "12.5").id}) == 4
    assert photo.file({"1": Path("/photos")}) == Path("/photos/a/b.jpg") and photo.file({}) == Path("a/b.jpg")


def test_table_conditions_and_snapshot_have_their_columns_from_the_record():
    names = [field.name for field in fields(ImageRecord)]
    assert record_schema(DIMENSION).names == list(COLUMNS) == names
    assert {"id", "path", "caption", "taken_at"} < set(SNAPSHOT_SCHEMA.names) < set(names)
    assert [name for name in names if f"{name} (" in WHERE_HELP] == list(KINDS)
    assert {
        *("root", "path", "part", "content_hash", "size", "mtime_ns", "width", "height", "format", "model_fingerprint")
    } == NEEDED
