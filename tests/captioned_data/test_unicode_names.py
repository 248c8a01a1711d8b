"""A file is found under its name in either form of Unicode."""

from pathlib import Path

from cocasearch.captioned_data.unicode_names import FilesByName, composed

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def test_names_that_look_the_same_are_the_same() -> None:
    assert composed(DECOMPOSED) == composed(COMPOSED) == COMPOSED


def test_files_and_folders_are_found_as_the_disk_spells_them(tmp_path: Path) -> None:
    file = tmp_path / DECOMPOSED / f"{DECOMPOSED}.jpg"
    file.parent.mkdir()
    file.touch()
    assert FilesByName().find(tmp_path / COMPOSED / f"{COMPOSED}.jpg") == file
    assert FilesByName().find(file) == file


def test_a_file_that_is_not_there_keeps_its_name(tmp_path: Path) -> None:
    missing = tmp_path / COMPOSED / "a.jpg"
    assert FilesByName().find(missing) == missing
