import csv
import io
import json


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
