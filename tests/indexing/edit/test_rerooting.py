import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.indexing.edit.removal import remove_paths
from cocasearch.indexing.edit.rerooting import reroot
from cocasearch.indexing.repair.verification import verify_index
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.store.records import record_id
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.unreadable_files import UnreadableFiles
from cocasearch.search.searcher import Searcher


def vectors(rows):
    return {row["content_hash"]: (row["embedding"], row["caption"], row["taken_at"]) for row in rows}


def found_at(index, loaded):
    return sorted(hit.path for hit in Searcher(index, loaded).search("red", 100))


@pytest.fixture
def nested(photos, draw):
    for seed, name in enumerate(("sub/a.png", "sub/deep/b.png", "sub2/c.png")):
        draw(photos / name, 100 + seed)
    return photos


def test_a_moved_root_keeps_its_rows(build, index, nested, tmp_path, rows, loaded, encoded):
    build(nested)
    before, version = rows(index), IndexTable(index, read_manifest(index).table).version
    nested.rename(tmp_path / "elsewhere")
    assert reroot(index, nested, tmp_path / "elsewhere") == 13
    assert rows(index) == before
    assert IndexTable(index, read_manifest(index).table).version == version
    encoded.since_last_look()
    assert found_at(index, loaded) == sorted(map(str, (tmp_path / "elsewhere").rglob("*.png")))
    assert (build().unchanged, encoded.since_last_look()) == (13, 0)


def test_a_missing_row_of_an_unknown_root_stays_where_others_move(build, index, photos, set_in_table, tmp_path):
    build(photos)
    set_in_table(index, "path = 'p1.png'", root="7", missing_since=datetime.now(UTC))
    photos.rename(tmp_path / "elsewhere")
    assert reroot(index, photos, tmp_path / "elsewhere") == 9
    assert IndexTable(index, read_manifest(index).table).count_missing() == 1


def test_a_moved_part_of_a_root_takes_its_rows_to_a_new_root(build, index, nested, tmp_path, rows, loaded, encoded):
    (nested / "sub" / "bad.png").write_bytes(b"no picture")
    build(nested)
    before = vectors(rows(index))
    (nested / "sub").rename(tmp_path / "drive")
    assert reroot(index, nested / "sub", tmp_path / "drive") == 2
    assert vectors(rows(index)) == before
    expected = [*(nested).rglob("*.png"), tmp_path / "drive" / "a.png", tmp_path / "drive" / "deep" / "b.png"]
    encoded.since_last_look()
    assert found_at(index, loaded) == sorted(map(str, expected))
    assert all(row["id"] == record_id(row["root"], row["path"]) for row in rows(index))
    assert [(entry.root, entry.path) for entry in UnreadableFiles(index)] == [("2", "bad.png")]
    report = build()
    assert (report.unchanged, report.known_bad, encoded.since_last_look()) == (13, 1, 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [("sub", "2020/sub"), ("sub", "sub2"), ("sub/deep", "deep"), ("sub", "sub/inner"), ("sub/deep", "sub")],
)
def test_what_moves_within_a_root_stays_in_it(build, index, nested, rows, loaded, encoded, old, new, tmp_path):
    build(nested)
    before = vectors(rows(index))
    (nested / old).rename(tmp_path / "away")
    (nested / new).mkdir(parents=True, exist_ok=True)
    shutil.copytree(tmp_path / "away", nested / new, dirs_exist_ok=True)
    reroot(index, nested / old, nested / new)
    assert vectors(rows(index)) == before
    assert len(read_manifest(index).roots) == 1
    assert found_at(index, loaded) == sorted(map(str, nested.rglob("*.png")))


def test_a_root_moved_onto_another_becomes_part_of_it(build, index, photos, tmp_path, draw, rows, loaded):
    more = draw(tmp_path / "more" / "m.png", 60).parent
    build(photos)
    build(more)
    (more / "m.png").rename(photos / "m.png")
    assert reroot(index, more, photos) == 1
    assert list(read_manifest(index).locate_roots(index).values()) == [photos]
    assert found_at(index, loaded) == sorted(map(str, photos.rglob("*.png")))
    assert build(photos).unchanged == 11


def test_all_roots_of_a_drive_follow_it(build, index, tmp_path, draw, loaded):
    drive = tmp_path / "media" / "old"
    build(draw(drive / "a" / "a.png", 1).parent, draw(drive / "b" / "b.png", 2).parent)
    remove_me = draw(drive / "a" / "private" / "c.png", 3)
    build(drive / "a")
    remove_paths(index, [remove_me.parent])
    drive.rename(tmp_path / "media" / "new")
    assert reroot(index, drive, tmp_path / "media" / "new") == 2
    assert found_at(index, loaded) == [str(tmp_path / "media" / "new" / name) for name in ("a/a.png", "b/b.png")]
    assert read_manifest(index).excludes == (str(tmp_path / "media" / "new" / "a" / "private"),)


def test_photos_that_were_missing_are_found_in_their_new_place(build, index, photos, tmp_path, loaded):
    build(photos)
    table = IndexTable(index, read_manifest(index).table)
    table.mark_missing([record_id("1", f"p{number}.png") for number in range(4)], datetime.now(UTC))
    photos.rename(tmp_path / "new")
    (tmp_path / "new" / "p1.png").unlink()
    (tmp_path / "new" / "p2.png").write_bytes(b"another file")
    assert reroot(index, photos, tmp_path / "new") == 10
    assert len(found_at(index, loaded)) == 8


def test_a_wrong_folder_changes_nothing(build, index, photos, tmp_path, rows):
    build(photos)
    before = read_manifest(index).roots, rows(index)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CocaSearchError, match=r"none of the photos below .* is below .*empty: there is no .*p\d.png"):
        reroot(index, photos, tmp_path / "empty")
    with pytest.raises(CocaSearchError, match="there is no folder"):
        reroot(index, photos, tmp_path / "no such")
    with pytest.raises(NothingFound, match="holds nothing below"):
        reroot(index, tmp_path / "other", tmp_path / "empty")
    assert (read_manifest(index).roots, rows(index)) == before


def test_a_folder_that_stays_where_it_is_is_no_move(build, index, photos):
    build(photos)
    with pytest.raises(NothingFound, match=r"photos is where index '.*' looks for its photos already"):
        reroot(index, photos, photos)


def test_a_folder_that_cannot_be_looked_at_is_told(build, index, photos):
    build(photos)
    with pytest.raises(CocaSearchError, match="file name too long"):
        reroot(index, photos, Path("x" * 300))


def test_a_pending_rebuild_follows(build, index, nested, tmp_path, stopped_rebuild, other_model, rows, encoded):
    build(nested)
    rebuilder = stopped_rebuild(other_model, (), after=12)
    (nested / "sub").rename(tmp_path / "drive")
    reroot(index, nested / "sub", tmp_path / "drive")
    assert verify_index(index).problems == ()
    assert rebuilder.build((), rebuild=True).added == 1
    assert len(rows(index)) == 13


def test_an_index_that_has_moved_itself_is_rerooted_where_it_is(build, index, photos, tmp_path, loaded):
    build(photos)
    (tmp_path / "far").mkdir()
    shutil.move(index, tmp_path / "far" / "index")
    shutil.move(photos, tmp_path / "far" / "pictures")
    (tmp_path / "link").symlink_to(tmp_path / "far")
    assert reroot(tmp_path / "link" / "index", photos, tmp_path / "link" / "pictures") == 10
    assert found_at(tmp_path / "far" / "index", loaded)[0] == str(tmp_path / "far" / "pictures" / "p0.png")
