"""An index whose table is gone, made anew from what else is known of it."""

import shutil

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.edit.removal import remove_paths
from cocasearch.indexing.edit.rerooting import reroot
from cocasearch.indexing.repair.verification import verify_index
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.store.versions import version_files


def lose_table(index):
    shutil.rmtree(index / f"{read_manifest(index).table}.lance")


def damage_table(index):
    for file in (index / f"{read_manifest(index).table}.lance" / "data").iterdir():
        file.write_bytes(b"")


def paths(rows, index):
    return [row["path"] for row in rows(index)]


def test_files_indexed_one_by_one_are_found_again(build, index, photos, rows):
    build(photos / "p1.png", photos / "p2.png", photos / "p3.png")
    remove_paths(index, [photos / "p2.png"])
    lose_table(index)
    assert build(rebuild=True).added == 2
    assert paths(rows, index) == ["p1.png", "p3.png"]


def test_files_indexed_one_by_one_are_found_again_where_they_were_moved_to(build, index, photos, rows, draw):
    build(draw(photos / "old" / "a.png", 20), draw(photos / "old" / "b.png", 21), photos / "p1.png")
    (photos / "old").rename(photos / "new")
    reroot(index, photos / "old", photos / "new")
    lose_table(index)
    assert build(rebuild=True).added == 3


def test_nothing_of_the_lost_table_stays(build, index, photos):
    build(photos)
    lose_table(index)
    build(rebuild=True)
    table = read_manifest(index).table
    assert all(table in file.name for file in (index / "snapshot").iterdir())
    (index / "snapshot" / "images-1-v3.faiss").touch()
    (problem,) = verify_index(index, repair=True).problems
    assert (problem.what, problem.examples, problem.repaired) == ("tables that nothing refers to", ["images-1"], True)
    assert not (index / "snapshot" / "images-1-v3.faiss").exists()


@pytest.mark.parametrize("lose", [lose_table, damage_table])
def test_a_lost_table_is_made_anew_though_a_drive_is_away(build, index, photos, draw, tmp_path, lose):
    build(photos, draw(tmp_path / "drive" / "a.png", 20).parent)
    lose(index)
    (tmp_path / "drive").rename(tmp_path / "away")
    report = build(rebuild=True)
    assert (report.added, report.empty) == (10, (str(tmp_path / "drive"),))
    (tmp_path / "away").rename(tmp_path / "drive")
    assert build().added == 1


def test_a_table_that_can_be_repaired_loses_no_photos_of_a_drive_that_is_away(build, index, photos, draw, tmp_path):
    build(draw(tmp_path / "drive" / "a.png", 20).parent)
    build(photos)
    files = version_files(index, read_manifest(index).table)
    files[max(files)].write_bytes(b"")
    (tmp_path / "drive").rename(tmp_path / "away")
    with pytest.raises(CocaSearchError, match="a rebuild would lose its photos"):
        build(rebuild=True)
