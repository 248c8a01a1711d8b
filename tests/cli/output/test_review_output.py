"""Unsure captions go out to a person and come back corrected."""

import csv
import json

import pytest

CONFIDENCES = {"circle": ("a zebra", 0.25), "square": ("a horse", 0.125), "triangle": ("a cow", 0.75)}


def read(file):
    with file.open(encoding="utf-8-sig", newline="") as text:
        return list(csv.DictReader(text))


def told(result):
    return " ".join(result.stderr.replace("│", " ").split())


@pytest.fixture
def reviewed(indexed, judge):
    judge(**CONFIDENCES)
    result = indexed("caption", "--review", "review.csv")
    assert result.exit_code == 0 and result.stdout == ""
    assert "2 unsure captions of index 'default' written to review.csv" in result.stderr
    assert "cocasearch caption --apply review.csv\n" in result.stderr
    return indexed


def test_captions_that_a_person_corrects_are_sure_and_kept(reviewed):
    file = reviewed.folder / "review.csv"
    rows = read(file)
    assert [row["caption"] for row in rows] == ["a horse", "a zebra"]
    rows[0]["caption"], rows[1]["right"] = "a red square", "yes"
    write(file, rows)
    result = reviewed("caption", "--apply", "review.csv", "--index", "default")
    assert result.exit_code == 0 and result.stderr == "1 changed, 1 confirmed; index 'default'\n"
    assert "captions 4 of 4, 2 by people, 1 without a confidence\n" in reviewed("status").stdout
    hits = json.loads(reviewed("query", "a red square", "--text-only", "-f", "json").stdout)
    assert hits[0]["caption"] == "a red square" and hits[0]["caption_confidence"] is None
    assert "unsure" not in reviewed("query", "zebra").stdout
    assert reviewed("index").exit_code == 0
    human = json.loads(reviewed("query", "--where", "caption_by = 'human'", "-f", "json").stdout)
    assert sorted(hit["caption"] for hit in human) == ["a red square", "a zebra"]
    assert reviewed("caption", "--review", "more.csv").exit_code == 3


def test_a_reviewed_file_is_captioned_data_to_train_on(reviewed):
    from cocasearch.captioned_data import read_captioned_data

    rows = read_captioned_data(str(reviewed.folder / "review.csv"))
    assert [row.captions for row in rows] == [("a horse",), ("a zebra",)]


def test_a_file_of_corrections_is_replaced_only_when_told(reviewed):
    refused = reviewed("caption", "--review", "review.csv")
    assert refused.exit_code == 1 and "review.csv exists already" in refused.stderr
    assert reviewed("caption", "--review", "review.csv", "--overwrite").exit_code == 0


def write(file, rows):
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_an_older_file_that_replaces_a_newer_decision_says_so(reviewed):
    file = reviewed.folder / "review.csv"
    rows = read(file)
    write(file, [rows[0] | {"caption": "a red square"}])
    assert "replaced" not in reviewed("caption", "--apply", "review.csv").stderr
    write(file, [rows[0] | {"caption": "a square"}])
    told_now = "1 changed; index 'default'\n1 earlier decision of yours was replaced\n"
    assert reviewed("caption", "--apply", "review.csv").stderr == told_now
    assert reviewed("caption", "--apply", "review.csv").stderr == "1 unchanged; index 'default'\n"


def test_decisions_about_photos_that_are_not_in_the_index_are_named(reviewed):
    file = reviewed.folder / "review.csv"
    rows = read(file)
    write(file, [rows[0] | {"caption": "a red square"}, rows[1]])
    assert reviewed("remove", rows[0]["path"]).exit_code == 0
    result = reviewed("caption", "--apply", "review.csv")
    assert result.exit_code == 0 and result.stderr.endswith("1 unchanged, 1 not found; index 'default'\n")
    lost = "not stored: photos/red-square.jpg: the photo is not in the index, or has changed since\n"
    assert result.stderr.startswith(lost)
    write(file, [{key: row[key] for key in ("caption", "photo")} for row in read(file)])
    assert reviewed("caption", "--apply", "review.csv").stderr.startswith("not stored: 1 decision\n")
    assert reviewed("remove", rows[1]["path"]).exit_code == 0
    nothing = reviewed("caption", "--apply", "review.csv")
    assert nothing.exit_code == 3 and "holds none of the photos of review.csv; nothing was changed" in nothing.stderr


def test_an_index_without_captions_or_photos_is_not_taken_for_an_uncalibrated_one(prompt):
    assert prompt("index", "photos", "--model", "tiny", "--no-captions").exit_code == 0
    result = prompt("caption", "--review", "review.csv")
    assert result.exit_code == 3 and "index 'default' has no captions to look through" in result.stderr
    assert "hint: write them with: cocasearch caption --index default" in result.stderr
    assert prompt("remove", "photos").exit_code == 0
    result = prompt("caption", "--review", "review.csv")
    assert result.exit_code == 3 and "index 'default' holds no photos yet" in result.stderr


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("--review x.csv photos", "PATH"),
        ("--review x.csv --out y.csv", "--out"),
        ("--review x.csv --num-beams 3", "--num-beams"),
        ("--review x.csv --sure", "--sure"),
        ("--review x.csv --apply y.csv", "--apply"),
        ("--apply x.csv --overwrite", "--overwrite"),
        ("--apply x.csv photos", "PATH"),
        ("--apply x.csv --format json", "--format"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_one_sentence(reviewed, words, given):
    result = reviewed("caption", *words.split())
    assert result.exit_code == 2
    assert f"works on the captions of an index (--index), and cannot be used with {given}" in told(result)


@pytest.mark.parametrize("words", ["--review x.xlsx", "--review none/x.csv", "--apply none.csv", "--apply photos"])
def test_files_that_cannot_be_are_refused_without_a_traceback(reviewed, words):
    result = reviewed("caption", *words.split())
    assert result.exit_code == 1 and result.stderr.startswith("error: ") and "unexpected" not in result.stderr
