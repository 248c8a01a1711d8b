import re
import shutil
from datetime import UTC, datetime

import numpy as np
import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.store.records import record_id
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.table_view import TableView
from cocasearch.indexing.store.versions import VersionGone

CAPTIONS = [
    "a dog on a beach",
    "two dogs running",
    "a red car",
    None,
    "the dogs and the red car",
    "it's a cat",
    "é Über",
]


@pytest.fixture
def table(tmp_path, record):
    """A record per caption, 0.png and so on, a day apart in June 2024, with the full-text index made."""
    table = IndexTable.create(tmp_path, "images-1", 8)
    table.add(
        [
            record(f"{at}.png", at, caption=caption, taken_at=datetime(2024, 6, at + 1, 12), camera="Pixel 8", width=at)
            for at, caption in enumerate(CAPTIONS)
        ]
    )
    table.compact()
    return table


@pytest.fixture
def view(tmp_path, table):
    return TableView(tmp_path, "images-1", table.version)


def numbers(ids):
    names = {record_id("1", f"{at}.png"): at for at in range(1_000)}
    return [names[id] for id in ids.to_pylist()]


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("taken_at >= '2024-06-05'", [4, 5, 6]),
        ("taken_at >= '2024-06-05 12:30'", [5, 6]),
        ("taken_at between '2024-06-02' and '2024-06-04'", [1, 2]),
        ("camera like '%Pixel%' and caption like '%dog%'", [0, 1, 4]),
        ("caption ilike '%DOG%' and Width < 4", [0, 1]),
        ("caption is null or path = '2.png'", [2, 3]),
        ("caption = 'it''s a cat'", [5]),
        ("caption = 'é Über'", [6]),
        ("width = 1 or width = 2", [1, 2]),
        ("not (width in (0, 1, 2))", [3, 4, 5, 6]),
        ("width > 1000", []),
        ("caption = ')' or (path = '2.png')", [2]),
        ("cast(taken_at as string) between '2024-06-01' and '2024-06-03'", [0, 1]),
        ("cast(taken_at as string) < '2024-06-02'", [0]),
        ("cast(taken_at as date) = '2024-06-02'", [1]),
        ("date_trunc('day', taken_at) = '2024-06-02'", [1]),
        ("taken_at not in ('2024-06-02 12:00', '2024-06-03 12:00') and width < 4", [0, 3]),
        ("width > 4.5", [5, 6]),
        ("-1.5 < width and width <= 1e0", [0, 1]),
        ("width in (2.0, 3.5, 4) or width between 5.5 and 6.5", [2, 4, 6]),
        ("-(-width) = 3 and -width < - - - 2.5", [3]),
        ("camera = '8' and format = '.png' and width < 2", [0, 1]),
        ("camera = 'Pixel' and format in ('jpg', 'webp')", []),
        ("camera <> 'pixel 8' or format != 'PNG'", []),
        ("path = '1.png' or path like '2%' or starts_with(path, '3')", [1, 2, 3]),
    ],
)
def test_a_condition_chooses_rows(view, condition, met):
    assert sorted(numbers(view.ids_where(condition))) == met


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("widht > 3", "there is no column widht"),
        ('path = "2.png"', "there is no column 2.png"),
        ("width >", "it breaks off"),
        ("(width > 3", "it breaks off"),
        ("", "it breaks off"),
        ("width", "it is no condition"),
        ("width > 'wide'", '"wide" does not fit the column'),
        ("taken_at > 'yesterday'", '"yesterday" does not fit the column'),
        ("taken_at > '2024-13-01'", "'2024-13-01 00:00:00' is no time"),
        ("wide(path)", "there is no function 'wide'"),
        ("width > 3; drop table images", "found: ;"),
        ("width > 3 order by width", "found: order"),
        ("width > 3 && true", "Operator && is not supported"),
        ("width > 3 -- true", "Operator -- is not supported"),
        ("width > 3) or (true", "a bracket closes nothing"),
        ("path = ')' and (width > 3))", "a bracket closes nothing"),
        ("count(*) > 1", "count"),
        ("max(width) > 1", "max"),
        ("regexp_like(caption, '(')", "there is no function 'regexp_like'"),
        ("width / 0 > 1", "Divide by zero"),
        ("taken_at like '2024-06%'", "understood: LIKE is for text alone"),
        ("caption = 'it's'", "understood: Unterminated string literal;"),
        ("camera = ?", "understood: ? means nothing there"),
        ("width > :least", ": means nothing there"),
        ("camera = $1 or camera = N'Pixel'", "$ means nothing there"),
        ("camera = N'Pixel'", "N means nothing there"),
        ("true = get_field()", "there is no function 'get_field'"),
        ("cast(camera as int) = 8", "'Pixel 8' cannot be made Int"),
    ],
)
def test_what_is_no_condition_is_refused_with_the_columns(view, condition, reason):
    for ask in (view.ids_where, lambda where: view.ids_with_words("dog", 5, where)):
        with pytest.raises(CocaSearchError, match=re.escape(reason)) as caught:
            ask(condition)
        told = str(caught.value)
        assert ("taken_at (time)" in told or "fit the column" in told) and ".rs:" not in told


def test_paths_are_those_of_files_in_several_folders(tmp_path, table, record, monkeypatch):
    table.add([record(path, root="2", id=record_id("2", path)) for path in ("100.png", "sub/101.png")])
    roots = {"1": tmp_path / "one_1", "2": tmp_path / "it's"}
    view = TableView(tmp_path, "images-1", table.version, roots)
    monkeypatch.chdir(tmp_path)

    def met(condition):
        return set(view.ids_where(condition).to_pylist())

    outer, inner, first = (record_id(*place) for place in (("2", "100.png"), ("2", "sub/101.png"), ("1", "0.png")))
    assert met("path like '%/it''s/%'") == met("path like 'it''s/%'") == {outer, inner}
    assert met(f"path like '{tmp_path}/it''s/sub%'".replace("_", "\\_")) == met("path = 'it''s/sub/101.png'") == {inner}
    assert met("path = 'one_1/0.png'") == met(f"path in ('{tmp_path}/one_1/0.png')") == {first}
    assert met("path not like '%/one_1/%' and path <> 'sub/101.png'") == {outer}
    assert met("starts_with(path, 'it''s/') and not ends_with(path, '101.png')") == {outer}


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("camera = 'iPhone'", {"camera": "is 'Pixel 8'"}),
        ("format = 'jpg'", {"format": "is 'PNG'"}),
        ("width > 10 and path = 'x'", {"width": "is from 0 to 6"}),
        ("taken_at < '2020-01-01'", {"taken_at": "is from 2024-06-01 12:00:00 to 2024-06-07 12:00:00"}),
        ("latitude > 50", {"latitude": "is not known of any photo"}),
    ],
)
def test_values_near_a_condition_are_told(view, condition, told):
    assert view.values_near(condition) == told


def test_words_are_found_by_their_stems_the_best_caption_first(view):
    ids, scores = view.ids_with_words("dog", 10)
    assert sorted(numbers(ids)) == [0, 1, 4]
    assert list(scores) == sorted(scores, reverse=True) and scores[-1] > 0
    assert numbers(view.ids_with_words("red dogs", 10)[0])[0] == 4
    assert len(view.ids_with_words("dog", 2)[0]) == 2
    assert numbers(view.ids_with_words("uber", 2)[0]) == [6]


@pytest.mark.parametrize("words", ["zebra", "the", "", "?!"])
def test_words_that_no_caption_has_find_nothing(view, words):
    assert not len(view.ids_with_words(words, 5)[0])


@pytest.mark.parametrize(
    "words", ['"dog', "dog AND (", "caption:dog", '"dog"', '"on dog"', '"dog zebra"~2', "+dog -zebra^2", "dog*"]
)
def test_signs_between_words_mean_nothing(tmp_path, table, words):
    table.index_captions(anew=True)
    view = TableView(tmp_path, "images-1", table.version)
    assert sorted(numbers(view.ids_with_words(words, 5)[0])) == [0, 1, 4]


def test_a_condition_leaves_the_scores_of_words_as_they_are(view):
    everything = dict(zip(*(list(column) for column in _found(view, None)), strict=True))
    some = dict(zip(*(list(column) for column in _found(view, "width < 4")), strict=True))
    assert some == {at: score for at, score in everything.items() if at < 4} and len(some) == 2


def _found(view, condition):
    ids, scores = view.ids_with_words("dog", 10, condition)
    return numbers(ids), scores.tolist()


def test_captions_that_came_after_the_full_text_index_are_found(tmp_path, table, record):
    table.add([record("100.png", caption="a dog at night")])
    table.replace([record("2.png", caption="a dog instead of a car")])
    table.remove([record("0.png").id])
    ids, _ = TableView(tmp_path, "images-1", table.version).ids_with_words("dog", 10)
    assert sorted(numbers(ids)) == [1, 2, 4, 100]
    table.compact()
    ids, _ = TableView(tmp_path, "images-1", table.version).ids_with_words("dog", 10)
    assert sorted(numbers(ids)) == [1, 2, 4, 100]


def test_rows_of_missing_files_are_in_no_answer(tmp_path, table, record):
    table.mark_missing([record("0.png").id], datetime(2024, 7, 1, tzinfo=UTC))
    view = TableView(tmp_path, "images-1", table.version)
    assert sorted(numbers(view.ids_where("true"))) == [1, 2, 3, 4, 5, 6]
    assert sorted(numbers(view.ids_with_words("dog", 10)[0])) == [1, 4]
    assert sorted(numbers(view.ids_with_words("dog", 10, "true or true")[0])) == [1, 4]


def test_a_view_stays_on_its_version(tmp_path, table, view, record):
    table.add([record("100.png", caption="a dog at night")])
    assert len(view.ids_where("true")) == 7 and sorted(numbers(view.ids_with_words("dog", 10)[0])) == [0, 1, 4]


def test_a_version_that_a_writer_has_removed_is_told_as_that(tmp_path, table, view):
    with pytest.raises(VersionGone):
        TableView(tmp_path, "images-1", 99)
    shutil.rmtree(tmp_path / "images-1.lance" / "data")
    with pytest.raises(VersionGone):
        view.ids_where("width > 3")
    shutil.rmtree(tmp_path / "images-1.lance")
    with pytest.raises(VersionGone):
        TableView(tmp_path, "images-1", table.version)


def test_scores_are_bm25(view):
    """Of the caption that has the word most densely, and of none without it."""
    ids, scores = view.ids_with_words("cat", 10)
    documents, with_word, mean_length = 6, 1, np.mean([2, 3, 2, 2, 1, 2])
    idf = np.log(1 + (documents - with_word + 0.5) / (with_word + 0.5))
    assert numbers(ids) == [5]
    assert scores[0] == pytest.approx(idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 1 / mean_length)), rel=0.25)
