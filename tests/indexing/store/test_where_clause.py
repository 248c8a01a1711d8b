import time
from pathlib import Path

import pytest

from cocasearch.indexing.store.record_rows import record_schema
from cocasearch.indexing.store.where_clause import EXAMPLE, refusal
from cocasearch.indexing.store.where_parser import KINDS, read_condition
from cocasearch.indexing.store.where_values import is_camera


def test_the_columns_named_to_users_are_there():
    schema = record_schema(8)
    prefixes = {"text": ("string",), "time": ("timestamp",), "whole": ("int",), "number": ("float", "double")}
    assert {"path", "taken_at", "width", "latitude", "caption_confidence", "remark"} < KINDS.keys()
    assert all(str(schema.field(name).type).startswith(prefixes[kind]) for name, kind in KINDS.items())


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("taken_at >= '2024-06-01'", "taken_at >= timestamp '2024-06-01 00:00:00'"),
        ("TAKEN_AT<'2024-06-01 18:30'", "taken_at < timestamp '2024-06-01 18:30:00'"),
        ("taken_at = '2024-06-01T18:30:05'", "taken_at = timestamp '2024-06-01 18:30:05'"),
        ("'2024-06-01' <= taken_at", "timestamp '2024-06-01 00:00:00' <= taken_at"),
        (
            "taken_at between '2024-06-01' and '2024-07-01'",
            "taken_at between timestamp '2024-06-01 00:00:00' and timestamp '2024-07-01 00:00:00'",
        ),
        ("taken_at is null or caption = '2024-06-01'", "taken_at is null or caption = '2024-06-01'"),
        ("taken_at > timestamp '2024-06-01'", "taken_at > timestamp '2024-06-01'"),
        ("caption like 'it''s taken_at >'", "(caption like 'it''s taken_at >')"),
        ("taken_at > '2024'", "taken_at > '2024'"),
        ("(\"taken_at\") <> '2024-06-01'", "(taken_at) <> timestamp '2024-06-01 00:00:00'"),
        (
            "taken_at not in ('2024-06-01', '2024-06-02')",
            "not (taken_at in (timestamp '2024-06-01 00:00:00', timestamp '2024-06-02 00:00:00'))",
        ),
        ("date_trunc('day', taken_at) = '2024-06-01'", "date_trunc('day', taken_at) = timestamp '2024-06-01 00:00:00'"),
        ("size > 1.5e6", "size > cast(1.5e6 as double)"),
        (
            "24.5 < Width and height in (1, -.5, 2.)",
            "cast(24.5 as double) < width and (height in (1, cast(- .5 as double), cast(2. as double)))",
        ),
        ("width not between 10.5 and 1e3", "width not between cast(10.5 as double) and cast(1e3 as double)"),
        *(
            (text, text)
            for text in (
                "width > 3",
                "timestamp '2024-06-01' < taken_at and date '2024-06-01' < taken_at",
                "size > 1500 and latitude > 40.5 and caption_score >= .3",
                "width * 1.5 > 7 and power(latitude, 1.5) < 5",
                "caption = 'size > 1.5'",
                "cast(taken_at as string) = '2024-06-01'",
                "'2024-06-01' = cast(taken_at as string)",
                "cast(taken_at as date) = '2024-06-01'",
                "not (width = 1 or height = 2 and size = 3)",
            )
        ),
    ],
)
def test_times_and_fractions_are_marked_as_such_and_nothing_else(written, understood):
    assert read_condition(written).sql == understood


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("repeat('a', 1000000000) = path", "there is no function 'repeat'"),
        ("array_repeat('a', 100000000000)[1] = path", "there is no function 'array_repeat'"),
        ("lpad(path, 2147483647, 'x') = 'x'", "there is no function 'lpad'"),
        ("caption in (" + ",".join(["'x'"] * 100_000) + ")", "characters"),
        ("case when " * 500 + "true" + " end" * 500, "there is no column case"),
        ("(" * 5_000 + "true" + ")" * 4_000, "brackets"),
        ("not " * 2_000 + "true", "brackets"),
        (" or ".join(["width=1"] * 800), "comparisons"),
        ("+".join("1" * 4_000) + " = width", "comparisons"),
        ("caption like '" + "%a" * 4_000 + "'", "wildcards"),
        ("caption like caption", "LIKE takes a text"),
        ("width = " + "9" * 5_000, "digits"),
        ("width in (select 1)", "there is no column select"),
        ("now(1) = taken_at", "now does not take 1"),
    ],
)
def test_what_could_end_or_hang_the_process_is_refused_before_it_is_tried_in_a_short_sentence(condition, reason):
    started = time.monotonic()
    with pytest.raises(ValueError, match=reason) as caught:
        read_condition(condition)
    assert time.monotonic() - started < 1
    error = refusal(condition, str(caught.value))
    assert len(str(error)) <= 300 and reason in str(error)


def test_paths_are_compared_as_they_are_printed_or_seen_from_an_indexed_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    roots = {"1": tmp_path / "photos", "2": Path("/it's")}
    equal = read_condition("path in ('photos/a.jpg', '/it''s/b.jpg', '~/c.jpg')", roots).sql
    assert "root = '1' and path in ('a.jpg')" in equal and "root = '2' and path in ('b.jpg')" in equal
    one = {"1": tmp_path / "photos"}
    whole = f"concat('{tmp_path}/photos/', path)"
    assert read_condition("path like '%2019%'", one).sql == f"({whole} like '%2019%')"
    assert read_condition("path not like './p%'", one).sql == (
        f"not ({whole} like '{str(tmp_path).replace('_', chr(92) + '_')}/p%' or path like 'p%')"
    )


@pytest.mark.parametrize(
    ("camera", "name", "same"),
    [
        ("Apple iPhone 13 Pro", "iPhone 13 Pro", True),
        ("Apple iPhone 13 Pro", "apple", True),
        ("Apple iPhone 13 Pro", "APPLE  IPHONE 13 PRO", True),
        ("Apple iPhone 13 Pro", "iPhone 13", False),
        ("Apple iPhone 13 Pro", "iPhone", False),
        ("OLYMPUS IMAGING CORP. E-M10", "Olympus E-M10", True),
        ("NIKON D50", "NIKON CORPORATION NIKON D50", True),
        ("Canon EOS 80D", "Canon EOS 5D", False),
        ("Canon EOS 80D", "", False),
    ],
)
def test_a_camera_is_known_by_maker_model_or_both(camera, name, same):
    assert is_camera(camera, name) is same


@pytest.mark.parametrize("name", ["jpg", ".JPG", "jpeg", "JPEG"])
def test_a_format_is_known_by_its_name_or_an_ending(name):
    assert read_condition(f"format = '{name}'").sql == "(upper(format) in ('JPEG', 'MPO'))"
    assert read_condition(f"format <> '{name}'").sql == "not (upper(format) in ('JPEG', 'MPO'))"


def test_a_reason_is_whole_though_the_columns_find_no_room_beside_it():
    reason = 'Received literal Int64(2020) and could not convert to literal of type Timestamp("us")'
    assert str(refusal("taken_at > 2020", reason)) == (
        'the condition "taken_at > 2020" cannot be understood: 2020 does not fit the column that it is compared with'
    )


def test_a_refusal_is_one_sentence_with_the_columns_and_an_example():
    error = refusal("widht > 3", "Schema error: No field named widht. Valid fields are `id`, `path`")
    assert str(error).startswith(
        'the condition "widht > 3" cannot be understood: there is no column widht; the columns'
    )
    assert all(name in str(error) for name in KINDS)
    assert "\n" not in str(error) and EXAMPLE in error.hint
