import pytest

from cocasearch.indexing.conditions import COLUMNS, EXAMPLE, refusal, to_lance
from cocasearch.indexing.records import record_schema


def test_the_columns_named_to_users_are_there():
    schema = record_schema(8)
    for kind, prefix in (("text", "string"), ("time", "timestamp")):
        assert all(str(schema.field(name).type).startswith(prefix) for name in COLUMNS[kind])
    assert all(str(schema.field(name).type)[:3] in ("int", "flo", "dou") for name in COLUMNS["number"])


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("taken_at >= '2024-06-01'", "taken_at >= timestamp '2024-06-01 00:00:00'"),
        ("TAKEN_AT<'2024-06-01 18:30'", "TAKEN_AT<timestamp '2024-06-01 18:30:00'"),
        ("taken_at = '2024-06-01T18:30:05'", "taken_at = timestamp '2024-06-01 18:30:05'"),
        ("'2024-06-01' <= taken_at", "timestamp '2024-06-01 00:00:00' <= taken_at"),
        (
            "taken_at between '2024-06-01' and '2024-07-01'",
            "taken_at between timestamp '2024-06-01 00:00:00' and timestamp '2024-07-01 00:00:00'",
        ),
        ("path = '2024-06-01'", "path = '2024-06-01'"),
        ("taken_at is null or path = '2024-06-01'", "taken_at is null or path = '2024-06-01'"),
        ("taken_at > timestamp '2024-06-01'", "taken_at > timestamp '2024-06-01'"),
        (
            "caption like 'it''s taken_at >' or path = '2024-06-01'",
            "caption like 'it''s taken_at >' or path = '2024-06-01'",
        ),
        ("taken_at > '2024'", "taken_at > '2024'"),
        ("width > 3", "width > 3"),
        ("(\"taken_at\") <> '2024-06-01'", "(\"taken_at\") <> timestamp '2024-06-01 00:00:00'"),
        (
            "taken_at not in ('2024-06-01', '2024-06-02')",
            "taken_at not in (timestamp '2024-06-01 00:00:00', timestamp '2024-06-02 00:00:00')",
        ),
        ("date_trunc('day', taken_at) = '2024-06-01'", "date_trunc('day', taken_at) = timestamp '2024-06-01 00:00:00'"),
        ("taken_at >= ('2024-06-01')", "taken_at >= (timestamp '2024-06-01 00:00:00')"),
        ("size > 1.5e6", "size > cast(1.5e6 as double)"),
        (
            "24.5 < Width and height in (1, -.5, 2.)",
            "cast(24.5 as double) < Width and height in (1, -cast(.5 as double), cast(2. as double))",
        ),
        ("width not between 10.5 and 1e3", "width not between cast(10.5 as double) and cast(1e3 as double)"),
        *(
            (text, text)
            for text in (
                "TIMESTAMP '2024-06-01' < taken_at and date '2024-06-01' < taken_at",
                "size > 1500 and latitude > 40.5 and caption_score >= .3",
                "width * 1.5 > 7 and power(latitude, 1.5) < 5",
                "path = 'size > 1.5' and caption like '%width = 2.5%'",
                "cast(taken_at as string) = '2024-06-01'",
                "'2024-06-01' = cast(taken_at as string)",
                "substr(cast(taken_at as string), 1, 10) between '2024-06-01' and '2024-06-02'",
                "taken_at::string > '2024-06-01'",
                "'2024-06-01' < taken_at::string",
                "cast(taken_at as date) = '2024-06-01'",
            )
        ),
    ],
)
def test_times_and_fractions_are_marked_as_such_and_nothing_else(written, understood):
    assert to_lance(written) == understood


def test_a_refusal_is_one_sentence_with_the_columns_and_an_example():
    error = refusal("widht > 3", "Schema error: No field named widht. Valid fields are `id`, `path`")
    assert str(error).startswith(
        'the condition "widht > 3" cannot be understood: there is no column widht; the columns'
    )
    assert all(name in str(error) for names in COLUMNS.values() for name in names)
    assert "\n" not in str(error) and EXAMPLE in error.hint
