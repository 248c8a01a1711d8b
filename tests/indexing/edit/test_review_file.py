"""Files of captions as a person and their spreadsheet hand them back."""

import csv
import json

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.edit.review_file import Correction, PhotoKey, Reviewed, read_corrections, write_review

DOG = PhotoKey.of("0123456789012345", "1" * 32, 'a "red" dog, café\u2028')
CAT = PhotoKey.of("abcdef0123456789", "2" * 32, "a cat")
ROWS = [
    Reviewed("/photos/dog.jpg", 'a "red" dog, café\u2028', 0.0625, DOG),
    Reviewed("/photos/=cat;.jpg", "a cat", 0.49, CAT),
]


@pytest.fixture(params=[".csv", ".tsv", ".jsonl"])
def file(request, tmp_path):
    file = tmp_path / f"review{request.param}"
    write_review(ROWS, file)
    return file


def edit(file, change):
    """Let a person change the rows."""
    if file.suffix == ".jsonl":
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
        change(rows)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return
    separator = "," if file.suffix == ".csv" else "\t"
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = list(csv.DictReader(text, delimiter=separator))
    change(rows)
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)


def test_what_nobody_has_touched_comes_back_as_unchanged(file):
    corrections = read_corrections(file)
    assert [correction.photo for correction in corrections] == [DOG, CAT]
    assert not any(correction.is_changed or correction.is_right for correction in corrections)
    edit(file, lambda rows: None)
    assert read_corrections(file) == corrections


def test_corrected_emptied_and_confirmed_captions_are_told(file):
    def change(rows):
        rows[0]["caption"] = "  a brown   dog "
        rows[1]["right"] = "Yes"

    edit(file, change)
    dog, cat = read_corrections(file)
    assert (dog, dog.is_changed) == (Correction(DOG, "a brown dog", False), True)
    assert (cat, cat.is_changed) == (Correction(CAT, "a cat", True), False)
    edit(file, lambda rows: rows[0].update(caption=" "))
    assert read_corrections(file)[0].caption is None and read_corrections(file)[0].is_changed


def test_a_spreadsheet_may_use_semicolons_add_columns_and_empty_rows_and_sort(tmp_path):
    file = tmp_path / "review.csv"
    write_review(ROWS, file)
    assert file.read_bytes().startswith(b"\xef\xbb\xbfpath,caption,caption_confidence,right,photo\n")
    text = f"photo;note;caption;right\r\n{CAT};;a cat;x\r\n;;;\r\n{DOG};mine;a dog, brown;no\r\n"
    file.write_bytes(text.encode("utf-8-sig"))
    assert read_corrections(file) == [Correction(CAT, "a cat", True), Correction(DOG, "a dog, brown", False)]


def test_no_cell_that_tells_a_photo_is_a_number_or_a_formula(file):
    for key in (DOG, CAT):
        assert str(key).startswith("photo-") and str(key) in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"path,caption\n", "has no column 'photo'"),
        (b"caption,photo\n", "holds no captions"),
        (b"caption,photo\na dog,photo-12\n", "names no photo in line 2"),
        (b"caption,photo\na dog\n", "names no photo in line 2"),
        (f"caption,right,photo\na dog,maybe,{DOG}\n".encode(), "has 'maybe' in the column 'right' of line 2"),
        (f"caption,photo\na dog, brown,{DOG}\n".encode(), "has more cells than columns in line 2"),
        (f"caption,photo\na,{DOG}\nb,{DOG}\n".encode(), "two different rows for one photo, the second in line 3"),
        (f"caption,photo\ncaf\xe9,{DOG}\n".encode("latin-1"), "is not in UTF-8"),
        (b'caption,photo\n"a dog', "is no table that can be read .unexpected end of data.; nothing"),
        (b"\x00" * 40, "has no column 'caption'"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_refused_in_one_sentence(tmp_path, content, why):
    file = tmp_path / "review.csv"
    file.write_bytes(content)
    with pytest.raises(CocaSearchError, match=why) as refused:
        read_corrections(file)
    assert "nothing was changed" in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "has no JSON in line 2"),
        ("[]", "has no JSON object in line 2"),
        (json.dumps({"caption": 3, "photo": str(CAT)}), "has a caption that is no text in line 2"),
        (json.dumps({"caption": "\ud800", "photo": str(CAT)}), "has a caption that is no text in line 2"),
        (json.dumps({"caption": "a cat"}), "has no column 'photo'"),
    ],
)
def test_lines_that_are_no_corrections_are_refused(tmp_path, line, why):
    file = tmp_path / "review.jsonl"
    file.write_text(json.dumps({"caption": "a dog", "photo": str(DOG), "right": True}) + f"\n{line}\n")
    with pytest.raises(CocaSearchError, match=why):
        read_corrections(file)


@pytest.mark.parametrize("name", ["none.csv", "review.xlsx", "."])
def test_a_file_that_is_not_there_or_of_another_kind_is_refused(tmp_path, name):
    with pytest.raises(CocaSearchError):
        read_corrections(tmp_path / name)


def test_a_workbook_is_refused_with_a_way_to_make_a_table_of_it(tmp_path):
    file = tmp_path / "review.xlsx"
    with pytest.raises(CocaSearchError, match=r"that end with .csv, .tsv, .jsonl, and .*xlsx does not") as refused:
        read_corrections(file)
    assert refused.value.hint is None
    file.touch()
    with pytest.raises(CocaSearchError) as refused:
        read_corrections(file)
    assert "saved as 'CSV UTF-8'" in refused.value.hint


def test_corrections_name_their_photos_where_the_file_does(file):
    assert [correction.path for correction in read_corrections(file)] == ["/photos/dog.jpg", "/photos/=cat;.jpg"]
    edit(file, lambda rows: [row.pop("path") for row in rows])
    assert [correction.path for correction in read_corrections(file)] == ["", ""]
