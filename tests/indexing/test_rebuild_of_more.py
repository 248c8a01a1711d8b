"""A stopped rebuild that was to cover more folders than the index does."""

import shutil

import pytest

from cocasearch.indexing.edit.removal import remove_paths
from cocasearch.indexing.edit.rerooting import reroot
from cocasearch.indexing.repair.verification import verify_index
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.search.searcher import Searcher


@pytest.fixture
def more(tmp_path, draw):
    for seed in range(20, 26):
        draw(tmp_path / "more" / f"m{seed}.png", seed)
    return tmp_path / "more"


@pytest.fixture
def rebuilder(build, stopped_rebuild, photos, more, other_model):
    """Has been stopped after six of the photos of `more`, in which it began, and knows those ten of the index."""
    build(photos)
    return stopped_rebuild(other_model, [more], after=6)


def found(index, model):
    return sorted(hit.path for hit in Searcher(index, model).search(where="true", top_k=100))


def test_it_is_continued_without_naming_them_again(rebuilder, index, photos, more, other_model):
    report = rebuilder.build(rebuild=True)
    assert (report.added, report.unchanged, report.total) == (10, 6, 16)
    assert found(index, other_model) == sorted(map(str, [*photos.iterdir(), *more.iterdir()]))
    assert verify_index(index).problems == ()


def test_folders_that_the_index_has_got_meanwhile_are_others(
    rebuilder, build, index, more, tmp_path, draw, other_model
):
    draw(tmp_path / "third" / "t.png", 40)
    build(tmp_path / "third")
    report = rebuilder.build(rebuild=True)
    assert (report.added, report.unchanged, report.gone) == (11, 6, 0)
    assert {root.folder for root in read_manifest(index).roots} >= {str(more), str(tmp_path / "third")}
    assert len(found(index, other_model)) == 17 and verify_index(index).problems == ()


@pytest.mark.parametrize("part", ["", "m23.png"])
def test_what_it_alone_was_to_cover_can_be_removed(rebuilder, index, photos, more, part):
    report = remove_paths(index, [more / part])
    assert (report.removed, report.total, len(report.roots), len(report.excluded)) == (0, 10, not part, bool(part))
    assert verify_index(index).problems == ()
    assert rebuilder.build(rebuild=True).total == (15 if part else 10)
    assert len(read_manifest(index).roots) == (2 if part else 1)


def test_folders_moved_and_removed_meanwhile_are_so_there_too(rebuilder, build, index, photos, more, other_model):
    (photos / "sub").mkdir()
    (photos / "p9.png").rename(photos / "sub" / "p9.png")
    build()
    shutil.move(photos / "sub", photos.parent / "drive")
    reroot(index, photos / "sub", photos.parent / "drive")
    assert verify_index(index).problems == ()
    remove_paths(index, [photos])
    assert verify_index(index).problems == ()
    assert rebuilder.build(rebuild=True).total == 7
    assert found(index, other_model) == sorted(map(str, [photos.parent / "drive" / "p9.png", *more.iterdir()]))
