from datetime import UTC, datetime

import pytest

from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.indexing.builder import IndexBuilder
from cocasearch.indexing.edit.removal import remove_paths
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.store.records import record_id
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.unreadable_files import UnreadableFiles
from cocasearch.lock import writer_lock
from cocasearch.search.searcher import Searcher


def names(rows):
    return [row["path"] for row in rows]


@pytest.fixture
def nested(photos, draw):
    """Photos with subfolders whose names are made of each other and of what SQL and patterns read."""
    for seed, name in enumerate(("sub/a.png", "sub/deep/b.png", "sub2/c.png", "it's 100%_[1]/d.png")):
        draw(photos / name, 100 + seed)
    return photos


def test_a_removed_photo_is_in_no_answer(build, index, photos, loaded):
    build(photos)
    report = remove_paths(index, [photos / "p3.png"])
    assert (report.removed, report.total, report.roots) == (1, 9, ())
    assert report.excluded == (str(photos / "p3.png"),)
    assert "p3.png" not in {hit.relative_path for hit in Searcher(index, loaded).search(photos / "p3.png", 20)}
    assert (photos / "p3.png").exists()


@pytest.mark.parametrize(
    ("folder", "gone"),
    [
        ("sub", {"sub/a.png", "sub/deep/b.png"}),
        ("it's 100%_[1]", {"it's 100%_[1]/d.png"}),
        ("sub/deep", {"sub/deep/b.png"}),
    ],
)
def test_a_removed_folder_takes_all_below_it_and_nothing_else(build, index, nested, rows, folder, gone):
    build(nested)
    before = set(names(rows(index)))
    assert remove_paths(index, [nested / folder]).removed == len(gone)
    assert before - set(names(rows(index))) == gone


def test_a_removed_root_is_not_walked_again(build, index, photos, tmp_path, draw, rows):
    more = draw(tmp_path / "more" / "m.png", 60).parent
    (more / "bad.png").write_bytes(b"no picture")
    build(photos, more)
    report = remove_paths(index, [more])
    assert (report.removed, report.forgotten, report.roots, report.excluded) == (1, 1, (str(more),), ())
    assert read_manifest(index).locate_roots(index) == dict.fromkeys(read_manifest(index).locate_roots(index), photos)
    assert build().unchanged == 10
    assert build(more).added == 1
    assert len(rows(index)) == 11


def test_what_is_removed_from_a_root_stays_out_until_it_is_named(build, index, nested, rows, encoded):
    build(nested)
    remove_paths(index, [nested / "sub", nested / "it's 100%_[1]", nested / "p3.png"])
    for paths in ((), (nested,)):
        report = build(*paths)
        assert (report.added, report.unchanged, report.gone) == (0, 10, 0)
    assert build(nested / "sub").added == 2
    assert build(nested / "p3.png").added == 1
    assert len(read_manifest(index).excludes) == 1
    assert (build().unchanged, build(nested).unchanged) == (13, 13)


def test_what_is_removed_stays_out_when_index_and_photos_move_together(build, index, nested, tmp_path, loaded):
    build(nested)
    remove_paths(index, [nested / "sub"])
    (tmp_path / "far").mkdir()
    (tmp_path / "indexes").rename(tmp_path / "far" / "indexes")
    nested.rename(tmp_path / "far" / "photos")
    moved = IndexBuilder(tmp_path / "far" / "indexes" / "holiday", loaded)
    assert moved.build().added == 0
    assert moved.build([tmp_path / "far" / "photos" / "sub"]).added == 2


def test_a_folder_around_roots_takes_them_all(build, index, photos, tmp_path, draw, loaded):
    build(photos, draw(tmp_path / "more" / "m.png", 60).parent)
    assert remove_paths(index, [tmp_path]).removed == 11
    assert read_manifest(index).roots == ()
    with pytest.raises(NothingFound, match="holds no photos"):
        Searcher(index, loaded).search("red")
    assert build(photos).added == 10


def test_files_that_are_gone_unreadable_or_missing_can_be_removed(build, index, photos):
    (photos / "bad.png").write_bytes(b"no picture")
    build(photos)
    table = IndexTable(index, read_manifest(index).table)
    table.mark_missing([record_id("1", "p1.png")], datetime.now(UTC))
    (photos / "p2.png").unlink()
    report = remove_paths(index, [photos / name for name in ("bad.png", "p1.png", "p2.png")])
    assert (report.removed, report.forgotten) == (2, 1)
    assert len(UnreadableFiles(index)) == 0


def test_nothing_is_removed_when_one_path_holds_nothing(build, index, photos, rows):
    build(photos)
    before = read_manifest(index)
    with pytest.raises(NothingFound, match=r"holds nothing at .*/q.png") as caught:
        remove_paths(index, [photos / "p1.png", photos / "q.png"])
    assert caught.value.exit_code == 3
    assert len(rows(index)) == 10 and read_manifest(index).excludes == before.excludes


def test_links_lead_to_what_is_removed(build, index, photos, tmp_path, monkeypatch):
    build(photos)
    (tmp_path / "link").symlink_to(photos)
    (tmp_path / "here").symlink_to(index)
    assert remove_paths(tmp_path / "here", [tmp_path / "link" / "p1.png"]).removed == 1
    monkeypatch.chdir(tmp_path)
    assert remove_paths(index, [(tmp_path / "link").relative_to(tmp_path) / "p2.png"]).total == 8


def test_what_is_removed_is_removed_from_a_pending_rebuild_too(build, index, photos, tmp_path, draw, other_model, rows):
    more = draw(tmp_path / "more" / "m.png", 60).parent
    build(photos, more)
    rebuilder = IndexBuilder(index, other_model, batch_size=3, commit_seconds=0)

    def stop(done, total):
        if done >= total - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuilder.build((), rebuild=True, progress=stop)
    remove_paths(index, [more])
    rebuilder.build((), rebuild=True)
    assert names(rows(index)) == [f"p{number}.png" for number in range(10)]


def test_another_writer_keeps_what_it_is_writing(build, index, photos):
    build(photos)
    with writer_lock(index), pytest.raises(CocaSearchError, match="is being written by"):
        remove_paths(index, [photos / "p1.png"])
