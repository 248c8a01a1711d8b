import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.indexing.scan.changes import Change
from cocasearch.indexing.scan.file_listing import Target
from cocasearch.indexing.scan.folder_scan import scan_folders
from cocasearch.indexing.scan.known_files import Counts, KnownFiles
from cocasearch.indexing.scan.plan import make_plan
from cocasearch.indexing.scan.roots import extend_roots
from cocasearch.indexing.scan.update_options import UpdateOptions
from cocasearch.indexing.store.location import MANIFEST_FILE
from cocasearch.indexing.store.manifest import (
    Manifest,
    write_manifest,
)
from cocasearch.indexing.store.unreadable_files import UnreadableFile, UnreadableFiles


@pytest.fixture
def tree(tmp_path):
    for name in ("a/1.jpg", "a/b/2.jpg", "a/b/c/3.jpg", "d/4.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1234")
        os.utime(tmp_path / name, ns=(5, 5))
    return tmp_path


@pytest.fixture
def index(tmp_path_factory):
    return tmp_path_factory.mktemp("index")


@pytest.fixture
def scan_of(index, monkeypatch):
    """Scans paths for an index with some roots, known files and bad files."""

    def run(paths, roots=None, known=None, bad=(), partial=frozenset(), **options):
        unreadable = UnreadableFiles(index)
        for entry in bad:
            unreadable.add(entry)
        unreadable.save()
        if roots:
            manifest = Manifest("images-1", "m", "f", 8).with_roots(roots, index, partial)
            write_manifest(manifest, index / MANIFEST_FILE)
            versions = index / "images-1.lance" / "_versions"
            versions.mkdir(parents=True, exist_ok=True)
            for version in (3, 4):  # or the table would be lost, or beyond repair
                (versions / f"{version}.manifest").touch()
        folders = {}
        for (root, path), stat in (known or {}).items():
            folder, _, name = path.rpartition("/")
            folders.setdefault((root, folder), {})[name] = list(stat)
        files = KnownFiles({place: json.dumps(stats) for place, stats in folders.items()}, Counts())
        monkeypatch.setattr("cocasearch.indexing.scan.index_state.open_known_files", lambda *_: files)
        return scan_folders(index, paths, UpdateOptions(**options))

    return run


def places(files):
    return {(file.root, file.path) for file in files}


def test_a_file_is_a_candidate_or_unchanged_by_size_and_time(tree, scan_of):
    known = {("1", "1.jpg"): (4, 5), ("1", "b/2.jpg"): (4, 6), ("1", "b/c/3.jpg"): (3, 5)}
    (tree / "a" / "5.jpg").touch()
    scan = scan_of([tree / "a"], {"1": tree / "a"}, known)
    assert {(file.path, file.known) for file in scan.files.candidates} == {
        ("5.jpg", False),
        ("b/2.jpg", True),
        ("b/c/3.jpg", True),
    }
    assert scan.files.counts[Change.UNCHANGED] == 1
    assert not scan.is_current


def test_a_library_in_which_nothing_has_changed_is_current(tree, scan_of):
    known = {("1", "1.jpg"): (4, 5), ("1", "b/2.jpg"): (4, 5), ("1", "b/c/3.jpg"): (4, 5), ("1", "z.jpg"): (4, 5, 1)}
    assert scan_of([tree / "a"], {"1": tree / "a"}, known).is_current
    assert scan_of([], {"1": tree / "a"}, known).is_current
    assert not scan_of([], {"1": tree / "a"}, known, prune=True).is_current
    assert not scan_of([], {"1": tree / "a"}, known, excludes=("*.gif",)).is_current


def test_a_bad_file_is_known_until_it_changes_or_is_wanted(tree, scan_of):
    bad = [UnreadableFile("1", "1.jpg", "truncated", 4, 5), UnreadableFile("1", "b/2.jpg", "truncated", 4, 4)]
    bad.append(UnreadableFile("1", "b/c/3.jpg", "permission denied", 4, 5, cause="system"))
    scan = scan_of([tree / "a"], {"1": tree / "a"}, bad=bad)
    assert scan.files.counts[Change.KNOWN_BAD] == 1
    assert places(scan.files.candidates) == {("1", "b/2.jpg"), ("1", "b/c/3.jpg")}
    assert places(scan_of([tree / "a"], bad=bad, retry_bad=True).files.candidates) >= {("1", "1.jpg")}


@pytest.mark.parametrize(
    ("walked", "gone"),
    [
        ("a", {("1", "gone.jpg"), ("1", "b/gone.jpg"), ("1", "bb/gone.jpg")}),
        ("a/b", {("1", "b/gone.jpg")}),
        ("a/1.jpg", set()),
        ("d", set()),
        (".", {("1", "gone.jpg"), ("1", "b/gone.jpg"), ("1", "bb/gone.jpg")}),
    ],
)
def test_only_what_was_walked_can_be_gone(tree, walked, gone, scan_of):
    known = dict.fromkeys([("1", "gone.jpg"), ("1", "b/gone.jpg"), ("1", "bb/gone.jpg"), ("1", "1.jpg")], (4, 5))
    known["1", "b/long-gone.jpg"] = (4, 5, 1)
    scan = scan_of([tree / walked], {"1": tree / "a"}, known)
    assert set(scan.files.places[Change.GONE]) == gone
    assert scan.files.places[Change.MISSING] == ([("1", "b/long-gone.jpg")] if ("1", "b/gone.jpg") in gone else [])


def test_a_missing_file_can_be_back_as_it_was_or_changed(tree, scan_of):
    known = {("1", "1.jpg"): (4, 5, 1), ("1", "b/2.jpg"): (4, 6, 1)}
    scan = scan_of([tree / "a"], {"1": tree / "a"}, known)
    assert scan.files.places[Change.BACK] == [("1", "1.jpg")]
    assert ("1", "b/2.jpg") in places(scan.files.candidates)


@pytest.mark.parametrize("what", ["emptied", "vanished"])
def test_photos_of_a_drive_that_is_not_mounted_are_not_gone(tree, scan_of, what):
    folder = tree / "drive"
    if what == "emptied":
        folder.mkdir()
    known = {("1", "x.jpg"): (4, 5), ("1", "y/z.jpg"): (4, 5), ("2", "4.jpg"): (4, 5)}
    bad = [UnreadableFile("1", "bad.jpg", "truncated", 4, 5)]
    scan = scan_of([], {"1": folder, "2": tree / "d"}, known, bad)
    assert (scan.files.places[Change.GONE], scan.files.gone_bad, scan.coverage.empty) == ([], [], (folder,))
    assert scan.is_current
    assert set(scan.coverage.roots) == {"1", "2"}


@pytest.mark.parametrize("what", ["vanished", "emptied", "without photos"])
@pytest.mark.parametrize("walked", [[], ["."]])
def test_a_drive_inside_another_root_is_not_gone_either(tree, scan_of, walked, what):
    if what != "vanished":
        (tree / "drive").mkdir()
    if what == "without photos":
        (tree / "drive" / ".nothing-mounted-here").touch()
    known = {("1", "x.jpg"): (4, 5), ("1", "y/z.jpg"): (4, 5), ("2", "d/4.jpg"): (4, 5), ("2", "gone.jpg"): (4, 5)}
    bad = [UnreadableFile("1", "bad.jpg", "truncated", 4, 5)]
    scan = scan_of([tree / path for path in walked], {"1": tree / "drive", "2": tree}, known, bad)
    assert (scan.files.places[Change.GONE], scan.files.gone_bad) == ([("2", "gone.jpg")], [])
    assert (scan.files.places[Change.MISSING], scan.coverage.empty) == ([], (tree / "drive",))


def test_the_last_photos_outside_an_inner_root_can_be_gone(tree, scan_of):
    (tree / "a" / "b" / "2.jpg").unlink()
    known = {("1", "1.jpg"): (4, 5), ("2", "gone.jpg"): (4, 5)}
    scan = scan_of([], {"1": tree / "a", "2": tree / "a" / "b", "3": tree / "a" / "b" / "c"}, known)
    assert scan.files.places[Change.GONE] == [("2", "gone.jpg")]


@pytest.mark.parametrize("what", ["emptied", "vanished"])
def test_a_rebuild_does_not_go_on_without_a_drive(tree, scan_of, what):
    folder = tree / "drive"
    if what == "emptied":
        folder.mkdir()
    known = {("1", "x.jpg"): (4, 5), ("2", "4.jpg"): (4, 5)}
    with pytest.raises(CocaSearchError, match="a rebuild would lose its photos"):
        scan_of([], {"1": folder, "2": tree / "d"}, known, rebuild_with="other")


def test_photos_in_a_folder_that_may_not_be_read_are_not_gone(tree, scan_of, monkeypatch):
    known = {("1", "b/2.jpg"): (4, 5), ("1", "b/c/3.jpg"): (4, 5), ("1", "1.jpg"): (4, 5), ("1", "bb/x.jpg"): (4, 5)}
    bad = [UnreadableFile("1", "b/bad.jpg", "truncated", 4, 5)]
    closed, scandir = tree / "a" / "b", os.scandir

    def refusing(folder):  # the superuser, who may run this, may read everything
        if Path(folder) == closed:
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    scan = scan_of([tree / "a"], {"1": tree / "a"}, known, bad)
    assert (scan.files.places[Change.GONE], scan.files.gone_bad) == ([("1", "bb/x.jpg")], [])
    assert scan.files.passed_over.skipped == [(str(closed), "folder cannot be read: permission denied")]


def test_the_innermost_root_owns_a_file(tree, scan_of):
    scan = scan_of([tree], {"1": tree / "a" / "b", "2": tree / "a" / "b" / "c"})
    assert places(scan.files.candidates) == {("3", "a/1.jpg"), ("3", "d/4.jpg"), ("1", "2.jpg"), ("2", "3.jpg")}


def test_a_part_of_a_root_belongs_to_it(tree, scan_of):
    scan = scan_of([tree / "a" / "b", tree / "a" / "1.jpg"], {"7": tree / "a"})
    assert places(scan.files.candidates) == {("7", "b/2.jpg"), ("7", "b/c/3.jpg"), ("7", "1.jpg")}


def test_what_is_named_twice_is_met_once(tree, scan_of):
    scan = scan_of([tree / "a", tree / "a" / "b", tree / "a", tree / "a" / "1.jpg", tree / "a" / "1.jpg"])
    assert sorted(file.path for file in scan.files.candidates) == ["1.jpg", "b/2.jpg", "b/c/3.jpg"]


def test_a_rebuild_meets_a_file_once_that_is_named_and_was_before(tree, scan_of):
    known, named = {("1", "1.jpg"): (4, 5), ("1", "b/2.jpg"): (4, 5)}, [tree / "a" / "1.jpg"]
    scan = scan_of(named, {"1": tree / "a"}, known, partial={"1"}, rebuild_with="other")
    assert sorted(file.path for file in scan.files.candidates) == ["1.jpg", "b/2.jpg"]


def test_a_bad_file_that_has_been_stored_since_is_bad_no_more(tree, scan_of):
    bad = [UnreadableFile("1", "1.jpg", "truncated", 4, 5), UnreadableFile("1", "b/2.jpg", "truncated", 3, 4)]
    known = {("1", "1.jpg"): (4, 5), ("1", "b/2.jpg"): (4, 5), ("1", "b/c/3.jpg"): (4, 5)}
    scan = scan_of([], {"1": tree / "a"}, known, bad)  # a killed run has stored both and not the list
    assert (scan.files.counts[Change.UNCHANGED], scan.files.counts[Change.KNOWN_BAD]) == (3, 0)
    assert set(scan.files.gone_bad) == {("1", "1.jpg"), ("1", "b/2.jpg")}


def test_a_folder_in_the_place_of_a_file_and_the_reverse(tree, scan_of):
    (tree / "a" / "1.jpg").unlink()
    (tree / "a" / "1.jpg").mkdir()
    (tree / "a" / "1.jpg" / "x.jpg").write_bytes(b"1234")
    known = {("1", "1.jpg"): (4, 5), ("1", "b/2.jpg/old.jpg"): (4, 5)}
    scan = scan_of([tree / "a"], {"1": tree / "a"}, known)
    assert set(scan.files.places[Change.GONE]) == {("1", "1.jpg"), ("1", "b/2.jpg/old.jpg")}
    assert ("1", "1.jpg/x.jpg") in places(scan.files.candidates)


def test_excludes_are_remembered_until_they_are_forgotten(tree, scan_of, index):
    known = {("1", "1.jpg"): (4, 5), ("1", "b/2.jpg"): (4, 5), ("1", "b/c/3.jpg"): (4, 5)}
    scan = scan_of([], {"1": tree / "a"}, known, excludes=("C", "*.gif"))
    assert (scan.files.places[Change.GONE], scan.files.places[Change.EXCLUDED]) == ([], [("1", "b/c/3.jpg")])
    assert scan.rules.excludes == ("C", "*.gif")
    assert scan.unfitting == ("*.gif",)
    manifest = Manifest("images-1", "m", "f", 8, excludes=("b/c",)).with_roots({"1": tree / "a"}, index)
    write_manifest(manifest, index / MANIFEST_FILE)
    assert scan_of([], None, known, excludes=("x",)).rules.excludes == ("b/c", "x")
    assert scan_of([], None, known).files.places[Change.EXCLUDED] == [("1", "b/c/3.jpg")]
    assert scan_of([], None, known, forget_excludes=True).files.places[Change.EXCLUDED] == []


def test_new_roots_get_new_keys_and_an_inner_folder_needs_none(tree):
    targets = [Target(tree / "a" / "b"), Target(tree / "a"), Target(tree / "d")]
    roots = {"4": tree / "x", "5": tree / "a", "6": tree / "d"}
    assert extend_roots({"4": tree / "x"}, targets) == roots


def test_a_root_of_single_files_is_partial_until_it_is_walked(tree, scan_of):
    first = scan_of([tree / "a" / "1.jpg", tree / "a" / "b" / "2.jpg"])
    assert (first.coverage.roots, first.coverage.partial) == ({"1": tree / "a"}, {"1"})
    within = scan_of([tree / "a" / "b"], first.coverage.roots, partial=first.coverage.partial)
    assert (within.coverage.roots, within.coverage.partial) == ({"1": tree / "a", "2": tree / "a" / "b"}, {"1"})
    around = scan_of([tree], first.coverage.roots, partial=first.coverage.partial)
    assert (around.coverage.roots, around.coverage.partial) == ({"1": tree / "a", "2": tree}, frozenset())


def test_single_files_are_looked_up_and_no_others(tree, scan_of):
    known = {("1", "1.jpg"): (4, 5), ("1", "b/gone.jpg"): (4, 5)}
    scan = scan_of([], {"1": tree / "a"}, known, partial={"1"})
    assert (scan.files.counts[Change.UNCHANGED], list(scan.files.candidates)) == (1, [])
    assert scan.files.places[Change.GONE] == [("1", "b/gone.jpg")]


def test_a_folder_reached_through_a_link_is_the_same_folder(tree, scan_of):
    (tree / "link").symlink_to(tree / "a")
    assert scan_of([tree / "link"], {"1": tree / "a"}, {("1", "1.jpg"): (4, 5)}).files.counts[Change.UNCHANGED] == 1


def test_no_picture_anywhere_is_nothing_found(tree, scan_of):
    (tree / "e").mkdir()
    with pytest.raises(NothingFound):
        scan_of([tree / "e"])
    scan = scan_of([tree / "e", tree / "d"])
    assert (scan.coverage.empty, scan.coverage.roots) == ((tree / "e",), {"1": tree / "d"})


@pytest.mark.skipif(os.name == "nt", reason="paths are shorter there")
def test_the_deepest_folders_and_longest_names_are_met(tmp_path, scan_of):
    folder, here = tmp_path / "t", Path.cwd()
    folder.mkdir()
    os.chdir(folder)
    try:
        for _ in range(1_500):
            Path("d").mkdir()
            os.chdir("d")
        Path(f"{'x' * 251}.jpg").touch()
    finally:
        os.chdir(here)
    try:
        scan = scan_of([folder])
    finally:  # too deep for pytest, whose later runs would fail to clean it up
        subprocess.run(["rm", "-r", folder], check=True)
    assert [len(file.path) for file in scan.files.candidates] == [1_500 * 2 + 255]


@pytest.mark.parametrize("partial", [set(), {"1"}])
def test_a_drive_mounted_inside_a_root_is_not_gone(tree, scan_of, partial):
    (tree / "a" / "nas").mkdir()
    known = {
        ("1", "nas/x.jpg"): (4, 5),
        ("1", "nas/y/z.jpg"): (4, 5, 1),
        ("1", "was/x.jpg"): (4, 5),
        ("1", "1.jpg"): (4, 5),
    }
    bad = [UnreadableFile("1", "nas/bad.jpg", "truncated", 4, 5)]
    scan = scan_of([], {"1": tree / "a"}, known, bad, partial, prune=True)
    assert (scan.files.places[Change.GONE], scan.files.places[Change.MISSING], scan.files.gone_bad) == (
        [("1", "was/x.jpg")],
        [],
        [],
    )
    assert scan.files.unmounted == {("1", "nas")}
    assert scan_of([], {"1": tree / "a"}, known, bad, excludes=("nas",)).files.unmounted == set()
    (tree / "a" / "nas" / "README").touch()
    assert ("1", "nas/x.jpg") in scan_of([], {"1": tree / "a"}, known, bad, partial).files.places[Change.GONE]


def test_a_rebuild_does_not_go_on_without_a_drive_inside_a_root(tree, scan_of):
    (tree / "a" / "nas").mkdir()
    known = {("1", "nas/x/y.jpg"): (4, 5, 1), ("1", "1.jpg"): (4, 5)}
    assert scan_of([], {"1": tree / "a"}, known, rebuild_with="other").files.candidates
    known["1", "nas/x.jpg"] = (4, 5)
    with pytest.raises(CocaSearchError, match=r"an empty folder: .*nas; a rebuild would lose its photos"):
        scan_of([], {"1": tree / "a"}, known, rebuild_with="other")


def test_a_file_that_may_not_be_read_is_known_until_it_may_be(tree, scan_of, monkeypatch):
    bad, closed, opening = (
        [UnreadableFile("1", "1.jpg", "permission denied", 4, 5, cause="system")],
        {tree / "a" / "1.jpg"},
        os.open,
    )

    def refusing(file, *args, **options):  # the superuser, who may run this, may read everything
        if Path(file) in closed:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opening(file, *args, **options)

    monkeypatch.setattr(os, "open", refusing)
    known = {("1", "b/2.jpg"): (4, 5), ("1", "b/c/3.jpg"): (4, 5)}
    scan = scan_of([], {"1": tree / "a"}, known, bad)
    assert (scan.files.counts[Change.KNOWN_BAD], scan.is_current) == (1, True)
    assert scan_of([], {"1": tree / "a"}, known, bad, retry_bad=True).files.candidates
    assert scan_of([], {"1": tree / "a"}, known, bad, rebuild_with="other").files.candidates
    closed.clear()
    assert places(scan_of([], {"1": tree / "a"}, known, bad).files.candidates) == {("1", "1.jpg")}


def test_links_to_folders_are_told_and_not_followed(tree, scan_of):
    for name, target in {"far": "d", "loop": ".", "1.png": "a"}.items():
        (tree / "a" / "b" / name).symlink_to(tree / target, target_is_directory=True)
    (tree / "a" / "b" / "self.jpg").symlink_to(tree / "a" / "b" / "self.jpg")
    scan = scan_of([tree / "a"])
    assert len(scan.files.candidates) == 3
    assert sorted(path.name for path in scan.files.passed_over.linked) == ["1.png", "far", "loop"]
    assert scan.files.passed_over.skipped == []
    assert make_plan(scan).counts()["linked folders not followed"] == 3
    assert scan_of([tree / "a"], excludes=["far"]).files.passed_over.linked == [
        path for path in scan.files.passed_over.linked if path.name != "far"
    ]
    (tree / "only links").mkdir()
    (tree / "only links" / "far").symlink_to(tree / "d", target_is_directory=True)
    with pytest.raises(NothingFound) as told:
        scan_of([tree / "only links"])
    assert "give the folders themselves" in told.value.hint
