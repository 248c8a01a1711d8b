"""What happens to the rows of files that are moved, copied, touched, gone and back."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from cocasearch.errors import CocaSearchError, UnreadableImage
from cocasearch.images import batching
from cocasearch.indexing.builder import IndexBuilder
from cocasearch.indexing.edit.removal import remove_paths
from cocasearch.indexing.scan import hashing
from cocasearch.indexing.scan.folder_scan import scan_folders
from cocasearch.indexing.scan.plan import make_plan
from cocasearch.indexing.scan.update_options import UpdateOptions
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.store.records import hash_file
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.summary import summarise_index
from cocasearch.search.searcher import Searcher

SAME = ("content_hash", "embedding", "caption", "caption_score", "caption_logprob", "width", "format", "size")


def by_path(rows):
    return {row["path"]: row for row in rows}


def assert_same_picture(one, other):
    for name in SAME:
        assert one[name] == other[name], name


@pytest.fixture
def update(build, photos, encoded):
    """Brings an index of the photos up to date; every file that the model sees is to be expected."""
    build(photos)
    encoded.since_last_look()

    def run(*, encodes=0, **options):
        report = build(photos, options=UpdateOptions(**options))
        assert encoded.since_last_look() == encodes
        return report

    return run


@pytest.mark.parametrize("new_name", ["new/home.png", "P3.PNG", "ä" * 100 + ".png", "x.jpg"])
def test_a_moved_file_keeps_what_is_known_of_it(update, index, photos, rows, new_name):
    before = by_path(rows(index))["p3.png"]
    (photos / new_name).parent.mkdir(exist_ok=True)
    (photos / "p3.png").rename(photos / new_name)
    report = update()
    assert (report.moved, report.unchanged, report.total, report.missing) == (1, 9, 10, 0)
    now = by_path(rows(index))
    assert "p3.png" not in now and len(now) == 10
    assert_same_picture(now[new_name], before)
    assert update().unchanged == 10


def test_moved_rows_equal_those_of_a_fresh_index(update, index, photos, rows, loaded, tmp_path):
    (photos / "sub").mkdir()
    for number in range(5):
        (photos / f"p{number}.png").rename(photos / "sub" / f"p{number}.png")
    assert update().moved == 5
    IndexBuilder(tmp_path / "fresh", loaded).build([photos])
    for ours, theirs in zip(rows(index), rows(tmp_path / "fresh"), strict=True):
        np.testing.assert_allclose(ours.pop("embedding"), theirs.pop("embedding"), atol=1e-5)
        for name, value in ours.items():
            expected = pytest.approx(theirs[name], abs=1e-5) if isinstance(value, float) else theirs[name]
            assert value == expected, name


def test_a_name_in_the_other_unicode_form_is_a_move(update, index, photos, rows):
    composed, decomposed = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
    (photos / "p1.png").rename(photos / composed)
    assert update().moved == 1
    (photos / composed).rename(photos / decomposed)
    assert update().moved == 1
    assert decomposed in by_path(rows(index))


def test_a_copied_a_hard_linked_and_a_linked_file_are_not_encoded(update, index, photos, rows):
    shutil.copy(photos / "p1.png", photos / "copy.png")
    os.link(photos / "p1.png", photos / "hard.png")
    (photos / "soft.png").symlink_to(photos / "p1.png")
    report = update()
    assert (report.copied, report.unchanged, report.total) == (3, 10, 13)
    now = by_path(rows(index))
    for name in ("copy.png", "hard.png", "soft.png"):
        assert_same_picture(now[name], now["p1.png"])
    assert len(Searcher(index)) == 13


def test_a_file_moved_and_copied_at_once_is_known_in_both_places(update, index, photos, rows):
    before = by_path(rows(index))["p1.png"]
    shutil.copy(photos / "p1.png", photos / "a.png")
    (photos / "p1.png").rename(photos / "b.png")
    report = update()
    assert (report.moved, report.copied, report.missing, report.total) == (1, 1, 0, 11)
    for name in ("a.png", "b.png"):
        assert_same_picture(by_path(rows(index))[name], before)


def test_files_that_changed_places_keep_their_vectors(update, index, photos, rows, tmp_path):
    before = by_path(rows(index))
    for source, target in (("p1.png", tmp_path / "aside.png"), ("p2.png", photos / "p1.png")):
        (photos / source).rename(target)
    (tmp_path / "aside.png").rename(photos / "p2.png")
    for name in ("p1.png", "p2.png"):  # a rename keeps the time of change, and sizes may agree
        os.utime(photos / name)
    report = update()
    now = by_path(rows(index))
    assert (report.added, report.total) == (0, 10)
    assert_same_picture(now["p1.png"], before["p2.png"])
    assert_same_picture(now["p2.png"], before["p1.png"])


def test_a_file_changed_after_it_was_copied_gives_its_vector_to_the_copy(update, index, photos, rows, draw):
    before = by_path(rows(index))["p1.png"]
    shutil.copy(photos / "p1.png", photos / "copy.png")
    draw(photos / "p1.png", 99)
    report = update(encodes=1)
    assert (report.copied, report.updated) == (1, 1)
    now = by_path(rows(index))
    assert_same_picture(now["copy.png"], before)
    assert now["p1.png"]["content_hash"] != before["content_hash"]


def test_another_picture_of_the_same_size_is_encoded(update, index, photos, rows):
    content = bytearray((photos / "p1.png").read_bytes())
    (photos / "p1.bmp").write_bytes(content)  # the same content under another name: a copy
    content[-1] ^= 1  # behind the last chunk: a picture still, and another content
    (photos / "other.png").write_bytes(content)
    report = update(encodes=1)
    assert (report.copied, report.added) == (1, 1)


def test_a_touched_file_gets_its_new_time_and_nothing_else(update, index, photos, rows):
    before = by_path(rows(index))["p1.png"]
    os.utime(photos / "p1.png", ns=(10**18, 10**18))
    assert update().touched == 1
    assert by_path(rows(index))["p1.png"] == before | {"mtime_ns": 10**18}
    assert update().unchanged == 10


def test_a_file_that_is_gone_is_hidden_and_back_as_it_was(update, index, photos, rows, tmp_path):
    before = rows(index)
    (photos / "p1.png").rename(tmp_path / "p1.png")
    report = update()
    assert (report.gone, report.total, report.missing) == (1, 9, 1)
    assert len(Searcher(index)) == 9
    version = IndexTable(index, read_manifest(index).table).version
    again = update()
    assert (again.gone, again.missing, again.unchanged) == (0, 1, 9)
    assert IndexTable(index, read_manifest(index).table).version == version
    (tmp_path / "p1.png").rename(photos / "p1.png")
    assert update().back == 1
    assert rows(index) == before
    assert len(Searcher(index)) == 10


def test_pruning_deletes_what_is_gone_now_and_what_was_before(update, index, photos):
    (photos / "p1.png").unlink()
    update()
    (photos / "p2.png").unlink()
    assert update(prune=True).removed == 2
    table = IndexTable(index, read_manifest(index).table)
    assert (len(table), table.count_missing()) == (8, 0)


def test_a_long_missing_file_found_elsewhere_has_been_moved(update, index, photos, tmp_path, rows):
    before = by_path(rows(index))["p1.png"]
    (photos / "p1.png").rename(tmp_path / "p1.png")
    update()
    (photos / "sub").mkdir()
    (tmp_path / "p1.png").rename(photos / "sub" / "late.png")
    report = update()
    assert (report.moved, report.missing, report.total) == (1, 0, 10)
    assert_same_picture(by_path(rows(index))["sub/late.png"], before)


def test_pictures_moved_from_one_root_to_another_keep_their_vectors(
    update, build, index, photos, encoded, tmp_path, draw
):
    draw(tmp_path / "more" / "m.png", 60)
    build(tmp_path / "more")
    encoded.since_last_look()
    (photos / "p1.png").rename(tmp_path / "more" / "p1.png")
    report = build()
    assert (report.moved, report.total, encoded.since_last_look()) == (1, 11, 0)


def test_excluded_files_are_hidden_and_come_back(update, index, photos):
    report = update(excludes=("p[12].png",))
    assert (report.excluded, report.gone, report.missing, report.total) == (2, 0, 0, 8)
    told = summarise_index(index)
    assert (told.excluded, told.missing, told.photos) == (2, 0, 8)
    assert read_manifest(index).excludes == ("p[12].png",)
    assert update().unchanged == 8
    (photos / "p3.png").unlink()
    report = update()
    assert (report.excluded, report.gone, report.missing) == (0, 1, 1)
    assert update(forget_excludes=True).back == 2
    assert read_manifest(index).excludes == ()
    assert update(excludes=("p[12].png",), prune=True).excluded == 2
    assert summarise_index(index).excluded == 0


def test_photos_that_a_rebuild_is_to_leave_out_are_no_lost_ones(build, photos):
    build(photos)
    report = build(rebuild=True, options=UpdateOptions(excludes=("p1.png",)))
    assert (report.excluded, report.left_behind, report.total) == (1, (), 9)


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_whose_photos_have_all_moved_to_another_is_forgotten(build, index, photos, tmp_path, draw, again):
    other = tmp_path / "other"
    draw(other / "x.png", 40)
    build(photos, other)
    for file in photos.iterdir():
        file.rename(other / file.name)
    report = build(other) if again else build()
    assert report.moved == 10
    assert build().empty == ()
    assert list(read_manifest(index).locate_roots(index).values()) == [other]


def test_bad_files_are_tried_again_when_wanted(update, photos):
    (photos / "bad.png").write_bytes(b"no picture")
    assert len(update().failed) == 1
    assert update().known_bad == 1
    assert len(update(retry_bad=True).failed) == 1


def test_an_unchanged_library_changes_no_file_of_the_index(update, index):
    def change_times():
        return {file: file.stat().st_mtime_ns for file in index.rglob("*") if file.is_file()}

    before = change_times()
    assert update().unchanged == 10
    assert change_times() == before


def test_a_plan_is_made_without_changing_anything(update, index, photos, loaded, draw):
    (photos / "p1.png").rename(photos / "q1.png")
    shutil.copy(photos / "p2.png", photos / "q2.png")
    (photos / "p3.png").unlink()
    draw(photos / "p4.png", 99)
    draw(photos / "new.png", 98)
    (photos / "bad.png").write_bytes(b"no picture")
    before = {file: file.read_bytes() for file in index.rglob("*") if file.is_file()}
    plan = IndexBuilder(index, loaded).plan(photos, keep_hashes=False)
    assert {kind: count for kind, count in plan.counts().items() if count} == {
        "new": 2,
        "changed": 1,
        "moved": 1,
        "copied": 1,
        "gone": 1,
        "unchanged": 7,
    }
    assert plan.paths()["moved"] == [str(photos / "q1.png")]
    assert {file: file.read_bytes() for file in index.rglob("*") if file.is_file()} == before


def test_a_plan_that_has_been_overtaken_is_refused(update, build, index, photos, loaded, draw):
    draw(photos / "new.png", 98)
    plan = IndexBuilder(index, loaded).plan(photos)
    build(photos)
    with pytest.raises(CocaSearchError, match="has just been changed by another run"):
        IndexBuilder(index, loaded).carry_out(plan)


@pytest.mark.parametrize("what", ["vanishes", "changes"])
def test_a_file_that_vanishes_or_changes_while_it_is_read(update, build, index, photos, rows, draw, monkeypatch, what):
    draw(photos / "new.png", 98)
    decode = batching.decode_batches

    def meddling(files, open_file, *args, **options):
        def opened(file):
            path = open_file(file)
            if what == "vanishes":
                path.unlink()
            return path

        for batch in decode(files, opened, *args, **options):
            if what == "changes":
                draw(photos / "new.png", 97)
            yield batch

    with monkeypatch.context() as patched:
        patched.setattr(batching, "decode_batches", meddling)
        report = build(photos)
    assert report.added == 0
    assert "new.png" not in by_path(rows(index))
    told = [] if what == "vanishes" else [(str(photos / "new.png"), "changed while it was read")]
    assert list(report.failed) == told
    assert build(photos).added == (0 if what == "vanishes" else 1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
@pytest.mark.parametrize("when", ["before it is compared", "before it is read"])
def test_a_pipe_in_the_place_of_a_file_is_named_and_not_waited_for(update, index, photos, draw, loaded, rows, when):
    known = by_path(rows(index))["p1.png"]
    draw(photos / "p1.png", 98)
    os.truncate(photos / "p1.png", known["size"])  # as large as one that is known, so that it is compared
    scan = scan_folders(index, [photos])
    plan = make_plan(scan) if when == "before it is read" else None
    (photos / "p1.png").unlink()
    os.mkfifo(photos / "p1.png")
    report = IndexBuilder(index, loaded).carry_out(plan or make_plan(scan))
    assert report.failed == ((str(photos / "p1.png"), "a pipe or a device, not a file"),)
    assert by_path(rows(index))["p1.png"] == known
    assert update().gone == 1


def test_a_picture_that_the_system_refuses_keeps_its_row(update, build, index, photos, draw, monkeypatch, rows):
    before = by_path(rows(index))["p1.png"]
    draw(photos / "p1.png", 99)
    with monkeypatch.context() as patched:

        def refused(source, **_):
            raise UnreadableImage(str(source), "input/output error", cause="system")

        patched.setattr("cocasearch.images.batching.read_image", refused)
        assert len(build(photos).failed) == 1
    assert by_path(rows(index))["p1.png"] == before
    assert build(photos).updated == 1


def test_pruning_keeps_photos_of_a_drive_within_the_folder_whose_mount_point_is_away(build, index, photos):
    inner = photos / "drive"
    inner.mkdir()
    shutil.copy(next(photos.glob("*.*")), inner / "kept.png")
    build(inner)
    total = build(photos).total
    inner.rename(photos.parent / "away")
    report = build(photos, options=UpdateOptions(prune=True))
    assert (report.removed, report.gone, report.total, report.empty) == (0, 0, total, (str(inner),))
    (photos.parent / "away").rename(inner)
    assert build(photos).unchanged == total


@pytest.mark.parametrize("walked", ["around", "another", "all"])
def test_photos_of_a_renamed_root_are_moved(build, index, photos, walked, draw, tmp_path):
    """The folder that was indexed by its own name is not there any more: not gone, yet found elsewhere."""
    outer = photos.parent / "outer"
    draw(outer / "p.png", 50)
    photos = photos.rename(outer / "photos") if walked == "around" else photos
    build(photos, outer)
    photos.rename(outer / "renamed")
    report = build(*([] if walked == "all" else [outer]))
    assert (report.moved, report.copied, report.added, report.total) == (10, 0, 0, 11)
    assert Path(Searcher(index).search(where="path like '%p3%'")[0].path).parent.name == "renamed"


ODD = [".hidden.png", "odd.dat", ".trash/x.png", "node_modules/a/x.png", "raw/x.png", "no-suffix"]


@pytest.fixture
def odd_files(photos, draw):
    """Files that a walk leaves out, as long as `raw` is excluded, each beside one that nobody names."""
    for seed, name in enumerate(ODD):
        draw(photos / "drawn.png", 40 + seed)
        for file in (photos / name, (photos / name).with_name(f".other-{seed}.png")):
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photos / "drawn.png", file)
    (photos / "drawn.png").unlink()
    return [photos / name for name in ODD]


@pytest.mark.parametrize("order", ["folder first", "files first", "at once"])
def test_a_file_indexed_by_its_name_stays_though_walks_leave_it_out(
    build, index, photos, odd_files, order, rows, loaded
):
    steps = {"folder first": ([photos], odd_files), "files first": (odd_files, [photos])}
    first, *later = steps.get(order, ([photos, *odd_files],))
    build(*first, options=UpdateOptions(excludes=("raw",)))
    for paths in later:
        build(*paths)
    expected = {f"{photos}/{name}" for name in (*ODD, *(f"p{seed}.png" for seed in range(10)))}

    def found():
        roots = read_manifest(index).locate_roots(index)
        return {f"{roots[row['root']]}/{row['path']}" for row in rows(index) if row["missing_since"] is None}

    assert found() == expected
    for paths in ([photos], [], [photos]):
        report = build(*paths)
        assert (report.gone, report.unchanged, report.missing) == (0, 16, 0)
    assert IndexBuilder(index, loaded).build(rebuild=True).total == 16
    assert found() == expected


def test_a_named_photo_goes_over_to_its_folder_once_that_is_indexed(build, index, photos, draw, encoded, rows):
    named = draw(photos / "sub" / "s.png", 50)
    draw(photos / "sub" / "t.png", 51)
    build(photos / "p1.png", named)
    before = by_path(rows(index))["sub/s.png"]
    encoded.since_last_look()
    report = build(photos / "sub")
    assert (report.moved, report.copied, report.added, report.total) == (1, 0, 1, 3)
    assert encoded.since_last_look() == 1
    assert_same_picture(by_path(rows(index))["s.png"], before)
    assert build().unchanged == 3


def test_a_named_file_goes_and_comes_back_as_others_do(build, photos, odd_files, tmp_path):
    build(photos)
    build(*odd_files)
    odd_files[1].rename(tmp_path / "aside")
    assert build(photos).gone == 1
    (tmp_path / "aside").rename(odd_files[1])
    assert build(photos).back == 1


def test_a_named_file_is_left_out_once_that_is_wanted(build, index, photos, odd_files):
    build(photos, *odd_files)
    assert build(photos, options=UpdateOptions(excludes=("odd.*", "node_modules"))).excluded == 2
    assert build(photos).gone == 0
    assert remove_paths(index, [odd_files[0]]).removed == 1
    assert build(photos).added == 0


def test_a_file_indexed_by_its_name_in_no_indexed_folder_is_left_out_once_that_is_wanted(build, photos):
    build(*(photos / f"p{number}.png" for number in range(4)))
    wish = UpdateOptions(excludes=("p[012].png",))
    assert build(photos / "p1.png", options=wish).unchanged == 1
    report = build()
    assert (report.excluded, report.unchanged) == (2, 2)
    assert (build().unchanged, build(photos / "p2.png").back, build().unchanged) == (2, 1, 3)
    assert build(options=UpdateOptions(forget_excludes=True)).back == 1


def test_of_files_indexed_by_their_names_in_a_folder_all_may_be_left_out(build, photos, draw, tmp_path):
    build(photos, draw(tmp_path / "else" / "x.png", 30))
    assert build(options=UpdateOptions(excludes=("x.png",))).excluded == 1
    assert build(rebuild=True).total == 10


def test_photos_of_a_drive_mounted_in_a_folder_are_kept_unless_they_are_found_elsewhere(build, index, photos, draw):
    draw(photos / "nas" / "1.png", 20)
    draw(photos / "nas" / "2.png", 21)
    total = build(photos).total
    (photos / "nas").rename(photos.parent / "away")
    (photos / "nas").mkdir()
    report = build(photos, options=UpdateOptions(prune=True))
    assert (report.removed, report.total, report.unmounted) == (0, total, (str(photos / "nas"),))
    for away, name in enumerate("12"):
        shutil.move(photos.parent / "away" / f"{name}.png", photos / f"moved{name}.png")
        report = build(photos)
        assert (report.moved, report.total, len(report.unmounted)) == (1, total, 1 - away)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_what_a_stopped_plan_has_looked_into_is_not_read_again(build, index, photos, monkeypatch, how):
    build(photos)
    for seed in range(10):
        os.utime(photos / f"p{seed}.png", ns=(5, seed))

    def stop(done, total):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_plan(scan_folders(index, [photos]), stop, keep_hashes=True)
    if how == "killed":  # within a line
        (kept,) = index.glob("hashes*")
        kept.write_bytes(kept.read_bytes()[:-9])
    read = []
    monkeypatch.setattr(hashing, "hash_file", lambda file: read.append(file) or hash_file(file))
    before = sorted(index.iterdir())
    make_plan(scan_folders(index, [photos]))
    assert (len(read), sorted(index.iterdir())) == (3 if how == "stopped" else 4, before)
    report = build(photos)
    assert (report.touched, list(index.glob("hashes*"))) == (10, [])
