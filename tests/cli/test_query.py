import csv
import io
import json

import pytest


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
    assert not (prompt.folder / "indexes").exists()


def test_a_sentence_needs_no_quotes(indexed):
    quoted = indexed("query", "a red square", "-f", "json").stdout
    assert indexed("query", "a", "red", "square", "-f", "json").stdout == quoted
    assert indexed("query", "a red", "square", "-f", "json").stdout == quoted
    assert indexed("query", "--text", "a red", "--text", "square", "-f", "json").stdout != quoted


def test_where_chooses_what_competes_and_lists_alone(indexed):
    def paths(*options):
        return indexed("query", *options, "-f", "paths").stdout.splitlines()

    everything = paths("a red square")
    assert paths("a red square", "--where", "path like '%s%'") == [
        path for path in everything if "s" in path.split("photos/")[-1]
    ]
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
    assert indexed("query", "nosuchword", "--text-only").exit_code == 3


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
        (("dog", "--text-only", "--min-score", "0.1"), 1),
        (("--where", "true", "--min-score", "0.1"), 1),
        (("--where", "true", "--hybrid"), 1),
        (("dog", "--min-score", "1"), 3),
    ],
)
def test_options_that_do_not_go_together_are_refused(indexed, options, code):
    assert indexed("query", *options).exit_code == code


def test_a_smallest_score_leaves_out_what_is_below(indexed):
    scores = [hit["score"] for hit in json.loads(indexed("query", "photos/turned.jpg", "-f", "json").stdout)]
    asked = indexed("query", "photos/turned.jpg", "--min-score", str(scores[1] - 1e-6), "-f", "json")
    assert [hit["score"] for hit in json.loads(asked.stdout)] == scores[:2]
