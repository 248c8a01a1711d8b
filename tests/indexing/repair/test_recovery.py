"""Tables whose newest version a power cut has damaged, and what is seen of a table that is being written."""

import shutil
from dataclasses import replace
from datetime import timedelta

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.builder import IndexBuilder
from cocasearch.indexing.edit.caption_filling import CaptionFiller
from cocasearch.indexing.edit.removal import remove_paths
from cocasearch.indexing.exchange.index_export import export_file
from cocasearch.indexing.repair import verification
from cocasearch.indexing.repair.verification import verify_index
from cocasearch.indexing.store.location import COPY_FILE, MANIFEST_FILE
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.versions import version_files
from cocasearch.inference.generation.caption_options import DEFAULT_OPTIONS
from cocasearch.search.searcher import Searcher


def newest(index, folder, ending, table="images-1"):
    files = (index / f"{table}.lance" / folder).glob(f"*{ending}")
    return max(files, key=lambda file: file.stat().st_mtime_ns)


def damage(folder, ending, length):
    def run(index, table="images-1"):
        file = newest(index, folder, ending, table)
        file.write_bytes(bytes(file.stat().st_size) if length is None else file.read_bytes()[:length])

    return run


DAMAGE = [
    pytest.param(damage("_versions", ".manifest", 0), id="empty version"),
    pytest.param(damage("_versions", ".manifest", 500), id="half a version"),
    pytest.param(damage("_versions", ".manifest", None), id="a version of zeros"),
    pytest.param(damage("data", ".lance", None), id="data of zeros"),
    pytest.param(damage("data", ".lance", 0), id="empty data"),
    pytest.param(damage("data", ".lance", 500), id="half the data"),
]


@pytest.fixture
def grown(build, index, photos, draw):
    """An index to which two photos were added last."""
    build(photos)
    draw(photos / "q0.png", 60)
    draw(photos / "q1.png", 61)
    build(photos)
    return index


@pytest.mark.parametrize("spoil", DAMAGE)
def test_a_repair_goes_back_to_the_newest_version_that_can_be_read(build, grown, photos, rows, loaded, encoded, spoil):
    spoil(grown)
    before = verify_index(grown)
    assert [(problem.part, problem.remedy) for problem in before.problems] == [("table", "repair")] and not before.ok
    repaired = verify_index(grown, repair=True)
    assert repaired.ok and repaired.rows == 10
    told = {problem.what: (problem.remedy, problem.count, problem.examples) for problem in repaired.problems}
    assert told["photos that have to be indexed again"] == ("index", 2, ["q0.png", "q1.png"])
    assert verify_index(grown).problems == ()
    assert len(Searcher(grown, loaded)) == 10
    encoded.since_last_look()
    assert (build(photos).added, encoded.since_last_look()) == (2, 2)
    assert verify_index(grown).problems == () and len(rows(grown)) == 12


def test_files_that_had_become_unreadable_are_so_after_going_back_too(build, grown, photos, rows):
    (photos / "q1.png").write_bytes(b"no picture any more")
    assert (len(build(photos).failed), len(rows(grown))) == (1, 11)
    damage("_versions", ".manifest", 0)(grown)
    assert verify_index(grown, repair=True).rows == 12
    assert len(build(photos).failed) == 1
    assert len(rows(grown)) == 11 and build(photos).known_bad == 1


def test_a_table_without_any_version_that_can_be_read_stays_as_it_is(grown):
    for file in (grown / "images-1.lance" / "data").iterdir():
        file.write_bytes(b"")
    there = {path for path in grown.rglob("*") if path.name != "unreadable.json"}
    repaired = verify_index(grown, repair=True)
    assert not repaired.ok and [problem.remedy for problem in repaired.problems] == ["rebuild"]
    assert {path for path in grown.rglob("*") if path.name != "unreadable.json"} == there


@pytest.mark.parametrize("content", [b"", b"half a version" * 10, bytes(2_000)])
def test_a_damaged_older_version_is_named_and_set_aside(build, grown, photos, rows, content):
    files = version_files(grown, "images-1")
    files[max(files) - 1].write_bytes(content)
    table = IndexTable(grown, "images-1")
    while len(version_files(grown, "images-1")) <= 17:
        table.remove(["no such id"])
    with pytest.raises(CocaSearchError, match=r"the table images-1 of the index at .* cannot be read") as caught:
        table.compact()
    assert caught.value.hint == f"cocasearch verify --index {grown}"
    for repair in (False, True):
        (problem,) = verify_index(grown, repair=repair).problems
        assert (problem.part, problem.count, problem.repaired) == ("versions", 1, repair)
    IndexTable(grown, "images-1").compact()
    assert len(version_files(grown, "images-1")) < 3
    assert verify_index(grown).problems == () and len(rows(grown)) == 12


def test_a_damaged_older_version_of_a_rebuild_is_set_aside_and_the_rebuild_goes_on(
    build, half_rebuilt, photos, encoded
):
    files = version_files(half_rebuilt, "images-2")
    files[max(files) - 1].write_bytes(b"")
    (problem,) = verify_index(half_rebuilt, repair=True).problems
    assert (problem.part, problem.repaired) == ("versions", True)
    assert verify_index(half_rebuilt).problems == ()
    encoded.since_last_look()
    assert (build(photos, rebuild=True).total, encoded.since_last_look()) == (12, 3)


@pytest.fixture
def half_rebuilt(build, grown, photos):
    """The same with a rebuild that was stopped after its third batch of three photos."""

    def stop(done, total):
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(photos, rebuild=True, progress=stop)
    return grown


@pytest.mark.parametrize("spoil", DAMAGE)
@pytest.mark.parametrize("whole", [True, False])
def test_a_damaged_rebuild_goes_on_from_its_newest_version_that_can_be_read(
    build, half_rebuilt, photos, encoded, spoil, whole
):
    spoil(half_rebuilt, "images-2")
    if not whole:
        spoil(half_rebuilt)
    assert {problem.remedy for problem in verify_index(half_rebuilt).problems} == {"repair"}
    repaired = verify_index(half_rebuilt, repair=True)
    told = {problem.part: problem.what for problem in repaired.problems if problem.remedy == "repair"}
    told_of = ["rebuild"] if whole else ["table", "rebuild"]
    assert told == dict.fromkeys(told_of, "damaged versions, in whose place an earlier one is")
    assert repaired.ok and verify_index(half_rebuilt).problems == ()
    encoded.since_last_look()
    assert build(photos, rebuild=True).total == 12
    assert encoded.since_last_look() == 6


@pytest.mark.parametrize("spoil", DAMAGE[::2])
def test_every_command_names_the_table_that_cannot_be_read(build, grown, photos, loaded, tmp_path, spoil):
    spoil(grown)
    for file in (grown / "snapshot").iterdir():
        file.unlink()
    commands = [
        lambda: build(photos),
        lambda: IndexBuilder(grown, loaded).build(),
        lambda: Searcher(grown, loaded),
        lambda: export_file(grown, tmp_path / "rows.parquet"),
        lambda: remove_paths(grown, [photos / "q0.png"]),
        lambda: CaptionFiller(grown, loaded, DEFAULT_OPTIONS).fill(),
    ]
    for command in commands:
        with pytest.raises(CocaSearchError) as caught:
            command()
        assert caught.value.hint == f"cocasearch verify --index {grown}"


def test_a_version_number_that_is_given_anew_brings_back_no_old_snapshot(build, grown, photos, draw, rows, loaded):
    newest(grown, "_versions", ".manifest").unlink()  # as if it had never reached the disk
    for photo in ("q0.png", "q1.png"):
        (photos / photo).unlink()
    draw(photos / "other.png", 62)
    draw(photos / "another.png", 63)
    build(photos)
    assert len(version_files(grown, "images-1")) > 2
    assert {hit.relative_path for hit in Searcher(grown, loaded).search("a dog", top_k=20)} == {
        row["path"] for row in rows(grown)
    }
    assert verify_index(grown).problems == ()


def test_verifying_starts_again_when_the_version_it_reads_is_compacted_away(grown, monkeypatch):
    monkeypatch.setattr("cocasearch.indexing.store.table._VECTORS_PER_READ", 2)
    told = []

    def compact_once(done, total):
        if not told:
            table = IndexTable(grown, "images-1")
            table._table.optimize(cleanup_older_than=timedelta(milliseconds=1))
        told.append(done)

    assert verify_index(grown, progress=compact_once).problems == ()


def test_a_run_that_ends_while_another_verifies_is_no_fault(build, grown, photos, draw, monkeypatch):
    check_rows = verification._check_rows

    def write_first(*given):
        monkeypatch.setattr(verification, "_check_rows", check_rows)
        draw(photos / "late.png", 77)
        build(photos)
        return check_rows(*given)

    monkeypatch.setattr(verification, "_check_rows", write_first)
    assert verify_index(grown).problems == ()


def test_what_is_wrong_while_others_write_is_not_told(grown, monkeypatch):
    """It may be no more than that two things belong to different moments."""
    (grown / "snapshot" / "images-1-v1.faiss").touch()
    (grown / "images-7.lance").mkdir()
    with pytest.raises(CocaSearchError, match="is being written"):
        verify_index(grown, progress=lambda *_: (grown / "manifest.json").touch())


@pytest.mark.parametrize("content", [None, "", '{"schema_version'])
def test_a_lost_or_damaged_manifest_is_mended_by_its_copy(build, grown, photos, encoded, content):
    before, file = read_manifest(grown), grown / MANIFEST_FILE
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(CocaSearchError, match=r"manifest\.json is (lost|damaged)") as caught:
        build(photos)
    assert caught.value.hint == f"cocasearch verify --repair --index {grown}"
    (problem,) = verify_index(grown, repair=True).problems
    assert (problem.part, problem.repaired) == ("manifest", True)
    assert read_manifest(grown) == replace(before, updated=read_manifest(grown).updated)
    encoded.since_last_look()
    assert (build(photos).unchanged, encoded.since_last_look()) == (12, 0)


def test_the_copy_of_a_manifest_follows_a_rebuild(build, grown, photos):
    build(photos, rebuild=True)
    (grown / MANIFEST_FILE).unlink()
    assert verify_index(grown, repair=True).ok
    assert read_manifest(grown).table == "images-2" and verify_index(grown).problems == ()


def test_a_table_that_has_lost_manifest_and_copy_is_not_replaced(build, grown, photos):
    there = sorted((grown / "images-1.lance").rglob("*"))
    for file in (MANIFEST_FILE, COPY_FILE):
        (grown / file).unlink()
    with pytest.raises(CocaSearchError, match="would replace its table images-1") as caught:
        build(photos)
    assert caught.value.hint.endswith(f"to index anew, remove {grown / 'images-1.lance'}")
    assert sorted((grown / "images-1.lance").rglob("*")) == there
    shutil.rmtree(grown / "images-1.lance")
    assert build(photos).added == 12


def test_where_there_is_no_index_a_repair_writes_nothing(tmp_path):
    with pytest.raises(CocaSearchError, match="no index"):
        verify_index(tmp_path, repair=True)
    assert not list(tmp_path.iterdir())
