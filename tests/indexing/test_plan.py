import os

import pytest

from cocasearch.errors import NothingFound
from cocasearch.indexing.ledger import Ledger, UnreadableFile
from cocasearch.indexing.plan import check_walks, extend_roots, make_plan, walk_paths


@pytest.fixture
def tree(tmp_path):
    for name in ("a/1.jpg", "a/b/2.jpg", "a/b/c/3.jpg", "d/4.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1234")
        os.utime(tmp_path / name, ns=(5, 5))
    return tmp_path


@pytest.fixture
def plan_for(tmp_path_factory):
    """Plans for paths and roots, with nothing known."""

    def run(paths, roots, known=None, ledger=None):
        walks = walk_paths(paths)
        empty = Ledger(tmp_path_factory.mktemp("index"))
        return make_plan(walks, extend_roots(roots, walks)[0], known or {}, ledger or empty)

    return run


def places(images):
    return {(image.root, image.path) for image in images}


def test_a_file_is_new_changed_or_unchanged_by_size_and_time(tree, plan_for):
    known = {("1", "1.jpg"): (4, 5), ("1", "b/2.jpg"): (4, 6), ("1", "b/c/3.jpg"): (3, 5)}
    (tree / "a" / "5.jpg").touch()
    plan = plan_for([tree / "a"], {"1": tree / "a"}, known)
    assert places(plan.new) == {("1", "5.jpg")}
    assert places(plan.changed) == {("1", "b/2.jpg"), ("1", "b/c/3.jpg")}
    assert plan.unchanged == 1


def test_a_bad_file_is_known_until_it_changes(tree, plan_for):
    ledger = Ledger(tree)
    ledger.add(UnreadableFile("1", "1.jpg", "truncated", 4, 5))
    ledger.add(UnreadableFile("1", "b/2.jpg", "truncated", 4, 4))
    plan = plan_for([tree / "a"], {"1": tree / "a"}, ledger=ledger)
    assert plan.known_bad == 1
    assert places(plan.new) == {("1", "b/2.jpg"), ("1", "b/c/3.jpg")}


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
def test_only_what_was_walked_can_be_gone(tree, walked, gone, plan_for):
    known = dict.fromkeys([("1", "gone.jpg"), ("1", "b/gone.jpg"), ("1", "bb/gone.jpg"), ("1", "1.jpg")], (4, 5))
    assert set(plan_for([tree / walked], {"1": tree / "a"}, known).gone) == gone


def test_the_innermost_root_owns_a_file(tree, plan_for):
    plan = plan_for([tree], {"1": tree / "a" / "b", "2": tree / "a" / "b" / "c"})
    assert places(plan.new) == {("3", "a/1.jpg"), ("3", "d/4.jpg"), ("1", "2.jpg"), ("2", "3.jpg")}


def test_a_part_of_a_root_belongs_to_it(tree, plan_for):
    plan = plan_for([tree / "a" / "b", tree / "a" / "1.jpg"], {"7": tree / "a"})
    assert places(plan.new) == {("7", "b/2.jpg"), ("7", "b/c/3.jpg"), ("7", "1.jpg")}


def test_new_roots_get_new_keys_and_an_inner_folder_needs_none(tree):
    walks = walk_paths([tree / "a" / "b", tree / "a", tree / "d"])
    roots = {"4": tree / "x", "5": tree / "a", "6": tree / "d"}
    assert extend_roots({"4": tree / "x"}, walks) == (roots, frozenset())


def test_a_root_of_single_files_is_partial_until_it_is_walked(tree):
    files = walk_paths([tree / "a" / "1.jpg", tree / "a" / "b" / "2.jpg"])
    roots, partial = extend_roots({}, files)
    assert (roots, partial) == ({"1": tree / "a"}, {"1"})
    within = walk_paths([tree / "a" / "b"])
    assert extend_roots(roots, within, partial) == ({"1": tree / "a", "2": tree / "a" / "b"}, {"1"})
    assert extend_roots(roots, walk_paths([tree]), partial) == ({"1": tree / "a", "2": tree}, frozenset())


def test_a_folder_reached_through_a_link_is_the_same_folder(tree, plan_for):
    (tree / "link").symlink_to(tree / "a")
    assert plan_for([tree / "link"], {"1": tree / "a"}, {("1", "1.jpg"): (4, 5)}).unchanged == 1


def test_no_picture_anywhere_is_nothing_found(tree, plan_for):
    (tree / "e").mkdir()
    with pytest.raises(NothingFound):
        check_walks(walk_paths([tree / "e"]))
    assert plan_for([tree / "e", tree / "d"], {}).empty == (tree / "e",)
