import os

import pytest


def test_a_removed_folder_is_said_and_in_no_answer(indexed):
    result = indexed("remove", "photos/sub")
    assert result.exit_code == 0
    assert "left out from now on: photos/sub;" in result.stderr
    assert "1 removed; index 'default' holds 3 photos" in result.stderr
    assert "yellow" not in indexed("query", "yellow", "--format", "paths").stdout


def test_a_removed_root_takes_its_unreadable_files_along(indexed):
    result = indexed("remove", "photos")
    assert result.stderr == (
        "no longer indexed: photos\n4 removed, 1 unreadable forgotten; index 'default' holds 0 photos\n"
    )
    assert "0 photos" in indexed("status").stdout


def test_what_is_not_indexed_cannot_be_removed(indexed):
    result = indexed("remove", "photos/sub", "photos/typo.jpg")
    assert (result.exit_code, "holds nothing at photos/typo.jpg" in result.stderr) == (3, True)
    assert "4 photos" in indexed("status").stdout
    assert indexed("remove", "photos", "--index", "other").exit_code == 1


def test_a_moved_folder_is_followed(indexed):
    (indexed.folder / "photos").rename(indexed.folder / "pictures")
    result = indexed("reroot", "photos", "pictures")
    assert (result.exit_code, result.stderr) == (0, "4 photos of index 'default' moved to pictures\n")
    assert "pictures/" in indexed("query", "red", "--format", "paths").stdout
    wrong = indexed("reroot", "pictures", "home")
    assert wrong.exit_code == 1 and "none of the photos below" in wrong.stderr


def test_a_name_that_no_index_can_store_is_in_none(indexed):
    result = indexed("remove", os.fsdecode(b"photos/\xff.png"))
    assert (result.exit_code, "holds nothing at" in result.stderr) == (3, True)


def test_an_index_without_folders_says_so(indexed):
    assert indexed("remove", "photos").exit_code == 0
    result = indexed("index")
    assert result.exit_code == 3
    assert "index 'default' covers no folder any more\n  hint: cocasearch index ./photos" in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_excludes_are_shown_on_one_line(indexed):
    (indexed.folder / "photos" / "blue-circle.png").rename(indexed.folder / "photos" / "two\nlines.png")
    indexed("index")
    indexed("remove", "photos/two\nlines.png")
    assert "  excludes photos/two\\nlines.png\n" in indexed("status").stdout
