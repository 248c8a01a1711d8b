import csv
import io
import json
import shlex
import shutil
from pathlib import Path

import pytest

from cocasearch.cli import console


def test_a_stored_photo_finds_itself(indexed):
    result = indexed("query", "photos/red-square.jpg", "--format", "json")
    hits = json.loads(result.stdout)
    assert hits[0]["path"] == str(indexed.folder / "photos" / "red-square.jpg")
    assert abs(hits[0]["score"] - 1) < 1e-3
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4]
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert result.stderr == ""


def test_table_shows_score_short_path_and_caption(indexed):
    header, first, *others = indexed("query", "photos/red-square.jpg", "--top", "3").stdout.splitlines()
    assert header.split() == ["score", "path", "caption"]
    assert first.split()[:2] == ["1.000", "photos/red-square.jpg"]
    assert len(others) == 2


def test_every_layout_holds_the_same_hits(indexed):
    def printed(*options):
        return indexed("query", "a red square", *options).stdout

    expected = [hit["path"] for hit in json.loads(printed("--format", "json"))]
    assert len(expected) == 4
    assert [json.loads(line)["path"] for line in printed("-f", "jsonl").splitlines()] == expected
    assert [row["path"] for row in csv.DictReader(io.StringIO(printed("-f", "csv")))] == expected
    assert printed("-f", "paths").splitlines() == expected
    assert printed("-0").split("\0") == [*expected, ""]


def test_text_that_looks_like_a_file_is_text_when_said_so(indexed):
    assert indexed("query", "--text", "nope.jpg").exit_code == 0


def test_words_and_example_can_be_asked_together(indexed):
    result = indexed("query", "a red square", "--image", "photos/turned.jpg", "-f", "paths", "-t", "1")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1


def test_an_index_in_any_folder(prompt):
    assert prompt("index", "photos", "--model", "tiny", "--index", "./elsewhere/mine").exit_code == 0
    assert prompt("query", "sea", "--index", "elsewhere/mine").exit_code == 0
    assert not any((prompt.folder / "indexes").iterdir())


def test_a_sentence_needs_no_quotes(indexed):
    quoted = indexed("query", "a red square", "-f", "json").stdout
    assert indexed("query", "a", "red", "square", "-f", "json").stdout == quoted
    assert indexed("query", "a red", "square", "-f", "json").stdout == quoted
    assert indexed("query", "--text", "a red", "--text", "square", "-f", "json").stdout != quoted


def test_where_chooses_what_competes_and_lists_alone(indexed):
    def paths(*options):
        return indexed("query", *options, "-f", "paths").stdout.splitlines()

    everything = paths("a red square")
    for condition in ("path like '%/photos/s%'", "path like 'photos/s%'", "path like 's%'"):
        assert paths("a red square", "--where", condition) == [path for path in everything if "/photos/s" in path]
    assert sorted(paths("--where", "width > 0", "--top", "9")) == sorted(everything)
    assert indexed("query", "--where", "width > 0").stdout.splitlines()[0].split() == ["taken", "at", "path", "caption"]
    assert indexed("query", "a red square", "--where", "width < 0").exit_code == 3


def test_a_condition_that_is_none_is_one_sentence_with_the_columns(indexed):
    result = indexed("query", "dog", "--where", "widht > 3")
    assert result.exit_code == 1 and result.stdout == ""
    assert "there is no column widht" in result.stderr and "taken_at (time)" in result.stderr
    assert "--where \"taken_at >= '2024-06-01'" in result.stderr


def test_captions_are_searched_alone_or_with_the_photos(indexed):
    (best,) = json.loads(indexed("query", "a red square", "-f", "json", "-t", "1").stdout)
    word = max(best["caption"].split(), key=len)  # of a model with random weights
    (hit, *_) = json.loads(indexed("query", word, "--text-only", "-f", "json").stdout)
    assert hit["text_score"] > 0 and hit["score"] is None and hit["vector_rank"] is None
    hits = json.loads(indexed("query", word, "--hybrid", "-f", "json").stdout)
    assert {hit["vector_rank"] for hit in hits} == {1, 2, 3, 4}
    assert [hit["fused_score"] for hit in hits] == sorted((hit["fused_score"] for hit in hits), reverse=True)
    header = indexed("query", word, "--hybrid").stdout.splitlines()[0]
    assert header.split() == ["score", "text", "score", "vector", "rank", "text", "rank", "path", "caption"]
    nothing = indexed("query", "nosuchword", "--text-only")
    assert nothing.exit_code == 3 and "no caption has any of these words\n" in nothing.stderr


def test_an_index_without_captions_says_so(prompt):
    assert prompt("index", "photos", "--model", "tiny", "--no-captions", "-i", "bare").exit_code == 0
    for mode in ("--text-only", "--hybrid"):
        result = prompt("query", "dog", mode, "-i", "bare")
        assert result.exit_code == 1
        assert "index 'bare' has no captions to search in" in result.stderr
        assert "cocasearch caption --index bare" in result.stderr


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("dog", "--text-only", "--hybrid"), 2),
        (("--text-only",), 2),
        (("dog", "--min-score", "2"), 2),
        (("photos/turned.jpg", "--text-only"), 1),
        (("photos/turned.jpg", "--hybrid"), 1),
        (("dog", "--text-only", "--min-score", "0.1"), 2),
        (("--where", "true", "--min-score", "0.1"), 2),
        (("--where", "true", "--hybrid"), 2),
        (("dog", "--min-score", "1"), 3),
    ],
)
def test_options_that_do_not_go_together_are_refused(indexed, options, code):
    assert indexed("query", *options).exit_code == code


def test_a_smallest_score_leaves_out_what_is_below(indexed):
    scores = [hit["score"] for hit in json.loads(indexed("query", "photos/turned.jpg", "-f", "json").stdout)]
    nothing = indexed("query", "dog", "--min-score", "1")
    best = json.loads(indexed("query", "dog", "--json").stdout)[0]["score"]
    assert f"in this index, the best score is {best:.3f}\n" in nothing.stderr
    asked = indexed("query", "photos/turned.jpg", "--min-score", str(scores[1] - 1e-6), "-f", "json")
    assert [hit["score"] for hit in json.loads(asked.stdout)] == scores[:2]


def hits(result):
    return {Path(hit["path"]).name: hit for hit in json.loads(result.stdout)}


def test_unsure_captions_are_marked_for_people_and_told_to_programs(indexed, judge):
    judge(circle=("a zebra", 0.25), square=("a zebra", 0.5), triangle=("a zebra", None))
    lines = {line.split()[1].split("/")[-1]: line for line in indexed("query", "zebra").stdout.splitlines()[1:]}
    assert lines["blue-circle.png"].endswith("  unsure: a zebra")
    assert lines["red-square.jpg"].endswith(".jpg           a zebra") and "unsure" not in lines["yellow-triangle.jpg"]
    told = hits(indexed("query", "zebra", "-f", "json"))
    names = ("caption", "caption_confidence", "caption_is_sure")
    assert [told["blue-circle.png"][name] for name in names] == ["a zebra", 0.25, False]
    assert [told["red-square.jpg"][name] for name in names] == ["a zebra", 0.5, True]
    assert [told["yellow-triangle.jpg"][name] for name in names] == ["a zebra", None, True]


def test_unsure_captions_are_hidden_when_asked_and_their_photos_stay(indexed, judge):
    judge(circle=("a zebra", 0.25), square=("a zebra", 0.5))
    shown = indexed("query", "zebra", "--sure")
    (circle,) = (line for line in shown.stdout.splitlines() if "circle" in line)
    assert circle.split()[2:] == ["-"] and "unsure" not in shown.stdout
    assert shown.stdout.count("a zebra") == 1
    told = hits(indexed("query", "zebra", "--sure", "-f", "json"))
    assert (told["blue-circle.png"]["caption"], told["blue-circle.png"]["caption_is_sure"]) == (None, False)
    assert told["red-square.jpg"]["caption"] == "a zebra"


def test_words_are_not_looked_for_in_unsure_captions_unless_asked(indexed, judge):
    judge(circle=("a zebra", 0.25), square=("a zebra", 0.5), triangle=("a giraffe", 0.1))
    assert list(hits(indexed("query", "zebra", "--text-only", "-f", "json"))) == ["red-square.jpg"]
    everything = hits(indexed("query", "zebra", "--text-only", "--all-captions", "-f", "json"))
    assert everything.keys() == {"red-square.jpg", "blue-circle.png"}
    fused = hits(indexed("query", "zebra", "--hybrid", "-f", "json"))
    assert [fused[name]["text_rank"] for name in ("blue-circle.png", "red-square.jpg")] == [None, 1]
    assert len(fused) == 4
    where = ("--where", "caption_confidence < 0.3")
    nothing = indexed("query", "giraffe", "--text-only", *where)
    assert nothing.exit_code == 3 and "1 unsure caption was left out: add --all-captions" in nothing.stderr
    assert "left out" not in indexed("query", "rhinoceros", "--text-only").stderr
    assert list(hits(indexed("query", "giraffe", "--text-only", "--all-captions", *where, "-f", "json"))) == [
        "yellow-triangle.jpg"
    ]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--all-captions",), "--all-captions needs --text-only or --hybrid"),
        (("--all-captions", "--text-only", "--sure"), "--sure hides the captions that --all-captions searches in"),
        (
            ("--text-only", "--min-score", "0.5"),
            "which --text-only does not compute",
        ),
    ],
)
def test_options_that_do_not_fit_words_are_refused_as_wrong_usage(indexed, options, why):
    result = indexed("query", "zebra", *options)
    assert result.exit_code == 2 and why in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--text-only",), "--text-only searches for words: give some"),
        (("--hybrid",), "--hybrid searches for words: give some"),
        (("--min-score", "0.5"), "which --where alone does not compute"),
    ],
)
def test_options_that_do_not_fit_a_condition_alone_are_refused_as_wrong_usage(indexed, options, why):
    result = indexed("query", "--where", "width > 0", *options)
    assert result.exit_code == 2 and why in " ".join(result.stderr.replace("│", " ").split())


def test_sure_says_where_it_does_nothing(indexed, judge):
    told = "warning: no caption here has a confidence, so all count as sure"
    assert told in indexed("query", "zebra", "--sure").stderr
    assert told in indexed("export", "all.parquet", "--sure").stderr
    assert told in indexed("caption", "photos", "--model", "tiny", "--sure").stderr
    judge(circle=("a zebra", 0.25))
    assert told not in indexed("query", "zebra", "--sure").stderr + indexed("query", "zebra").stderr
    assert indexed("export", "sure.parquet", "--sure").stderr.endswith("sure.parquet, 1 unsure and left out\n")


@pytest.mark.parametrize("layout", ["parquet", "clip-retrieval"])
def test_an_export_of_sure_captions_where_all_are_unsure_says_so(indexed, judge, layout):
    assert indexed("remove", "photos/sub", "photos/turned.jpg").exit_code == 0
    judge(circle=("a zebra", 0.25), square=("a horse", 0.25))
    result = indexed("export", "out.parquet", "--sure", "--layout", layout)
    assert result.exit_code == 3 and "no photo of index 'default' has a sure caption" in result.stderr


def test_status_counts_unsure_captions(indexed, judge):
    assert "  captions 4 of 4\n" in indexed("status").stdout
    judge(circle=("a zebra", 0.25), square=("a zebra", 0.5))
    assert "  captions 4 of 4, 1 unsure, 2 without a confidence\n" in indexed("status").stdout
    (told,) = json.loads(indexed("status", "--json").stdout)
    assert (told["unsure"], told["by_people"]) == (1, 0)


def test_a_table_of_hits_fits_a_narrow_terminal_with_its_marks(indexed, judge, monkeypatch):
    judge(circle=("a zebra", 0.25))
    monkeypatch.setattr(console, "_PIPE_WIDTH", 80)
    lines = indexed("query", "zebra").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.endswith("  unsure: a zebra") for line in lines)


def test_copies_of_an_example_take_no_places_and_are_named(indexed):
    photos = indexed.folder / "photos"
    for name in ("a.jpg", "sub/z.jpg"):
        shutil.copy(photos / "red-square.jpg", photos / name)
    assert indexed("index").exit_code == 0
    result = indexed("query", "photos/red-square.jpg", "--json")
    first, *others = json.loads(result.stdout)
    assert (first["path"], first["rank"]) == (str(photos / "red-square.jpg"), 1)
    assert first["copies"] == [str(photos / "a.jpg"), str(photos / "sub" / "z.jpg")]
    assert [hit["copies"] for hit in others] == [[], [], []]
    named = "exact copies of photos/red-square.jpg are not listed: photos/a.jpg, photos/sub/z.jpg\n"
    assert result.stderr == named
    shutil.copy(photos / "red-square.jpg", indexed.folder / "elsewhere.jpg")
    elsewhere = json.loads(indexed("query", "elsewhere.jpg", "--where", "path like '%sub/%'", "--json").stdout)
    assert [(Path(hit["path"]).name, hit["copies"]) for hit in elsewhere[:1]] == [("z.jpg", [])]
    assert len(json.loads(indexed("query", "a red square", "--json").stdout)) == 6  # words find each of them


def test_programs_get_rounded_figures_and_all_of_a_photo(indexed):
    (hit,) = json.loads(indexed("query", "a red square", "--json", "-n", "1", "--where", "format = 'PNG'").stdout)
    assert (hit["width"], hit["height"], hit["format"]) == (96, 64, "PNG")
    assert hit["size"] == (indexed.folder / "photos" / "blue-circle.png").stat().st_size
    assert {"camera", "latitude", "longitude"} < hit.keys()
    assert all(len(str(value).split(".")[1]) <= 7 for value in hit.values() if isinstance(value, float))
    assert indexed("query", "sea", "--json", "--format", "csv").exit_code == 2


def test_other_tables_give_json_too(prompt):
    (caption,) = json.loads(prompt("caption", "photos/turned.jpg", "--model", "tiny", "--json").stdout)
    assert caption["path"] == str(prompt.folder / "photos" / "turned.jpg")


def test_a_query_is_limited_to_a_folder(indexed):
    def paths(*options):
        return [Path(path).name for path in indexed("query", *options, "-f", "paths").stdout.splitlines()]

    assert paths("a red square", "--in", "photos/sub") == paths("--in", "photos/sub/") == ["yellow-triangle.jpg"]
    assert paths("--in", "photos", "--where", "format = 'png' or width < 0") == ["blue-circle.png"]
    refused = indexed("query", "--in", "photos", "--where", "true) or (true")
    assert refused.exit_code == 1 and "a bracket closes nothing" in refused.stderr
    nothing = indexed("query", "--in", "elsewhere")
    assert "the index has no photo below elsewhere\n" in nothing.stderr
    inside = indexed("query", "--in", "photos/sub", "--where", "width < 0")
    assert "no photo answers this query" in inside.stderr
    assert nothing.exit_code == 3 and f"path begins with {indexed.folder / 'photos'}" in nothing.stderr


def test_a_folder_is_no_question(indexed):
    result = indexed("query", "photos/sub", "-i", "./indexes/default")
    assert result.exit_code == 1 and result.stdout == ""
    assert "photos/sub is a folder" in result.stderr and "--index ./indexes/default" in result.stderr
    assert "these are words; to search in the folder of that name: --in photos" in indexed("query", "photos").stderr


def test_a_name_is_found_by_the_condition_that_is_told(indexed):
    result = indexed("query", "yellow-triangle.jpg")
    assert result.exit_code == 1
    told = shlex.split(result.stderr.split("that name: cocasearch ")[1].split("; if")[0])
    assert indexed(*told, "-f", "paths").stdout.splitlines() == [str(indexed.folder / "photos/sub/yellow-triangle.jpg")]


def test_a_condition_that_nothing_meets_is_told_with_what_there_is(indexed):
    result = indexed("query", "a red square", "--where", "format = 'gif' and width < 3")
    assert result.exit_code == 3
    assert "in this index, format is 'PNG' or 'JPEG'; width is 96" in result.stderr.replace("\n", " ")


def test_photos_that_have_moved_are_marked_and_the_way_to_follow_is_told(indexed):
    (indexed.folder / "photos").rename(indexed.folder / "moved")
    result = indexed("query", "a red square")
    assert result.stdout.count(" (not there)") == 4
    follow = f"cocasearch reroot {indexed.folder / 'photos'} NEW"
    assert "4 photos are not where they were indexed" in result.stderr and follow in result.stderr
    assert {hit["is_there"] for hit in json.loads(indexed("query", "sea", "-f", "json").stdout)} == {False}
    for command in ("index", "verify"):
        assert follow in indexed(command).stderr
    assert indexed(*follow.replace("NEW", "moved").split()[1:]).exit_code == 0
    assert "not there" not in indexed("query", "a red square").stdout
