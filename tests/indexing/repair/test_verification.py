import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import faiss
import lancedb
import pyarrow as pa
import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.builder import IndexBuilder
from cocasearch.indexing.repair.verification import verify_index
from cocasearch.indexing.scan.known_files import keep_known_files
from cocasearch.indexing.snapshot.snapshot_files import open_snapshot
from cocasearch.indexing.store.full_text import CAPTION_INDEX
from cocasearch.indexing.store.location import MANIFEST_FILE
from cocasearch.indexing.store.manifest import read_manifest, write_manifest
from cocasearch.indexing.store.records import StoredCaption, record_id
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.unreadable_files import UnreadableFile, UnreadableFiles
from cocasearch.lock import writer_lock
from cocasearch.search.searcher import Searcher


@pytest.fixture
def built(build, index, photos):
    build(photos)
    return index


def found(index, **options):
    return {(problem.part, problem.what, problem.count) for problem in verify_index(index, **options).problems}


def snapshot_file(index, ending):
    (file,) = (index / "snapshot").glob(f"*{ending}")
    return file


def test_a_sound_index_has_no_problems(built):
    told = []
    verification = verify_index(built, progress=lambda *counts: told.append(counts))
    assert (verification.rows, verification.problems, verification.ok) == (10, (), True)
    assert told[-1] == (10, 10)


def test_missing_rows_and_a_stale_snapshot_are_no_problems(built):
    IndexTable(built, read_manifest(built).table).mark_missing([record_id("1", "p1.png")], datetime.now(UTC))
    assert verify_index(built).problems == ()
    open_snapshot(built, read_manifest(built).table)
    assert (verify_index(built).rows, verify_index(built).problems) == (10, ())


def test_a_snapshot_of_which_a_killed_run_left_a_part_is_no_problem(built):
    snapshot_file(built, ".faiss").unlink()
    assert verify_index(built).problems == ()
    open_snapshot(built, read_manifest(built).table)
    assert snapshot_file(built, ".faiss").exists()


def test_photos_that_changed_or_went_are_named_and_nothing_is_wrong(built, photos, draw):
    (photos / "p1.png").unlink()
    draw(photos / "p2.png", 99)
    verification = verify_index(built)
    assert {(problem.what, *problem.examples) for problem in verification.problems} == {
        ("photos that are not there any more", str(photos / "p1.png")),
        ("photos that have changed since they were indexed", str(photos / "p2.png")),
    }
    assert verification.ok
    photos.rename(photos.with_name("away"))
    assert found(built) == {("files", "folders that are not there now", 1)}


def test_content_that_changed_unseen_is_named_when_photos_are_read(built, build, photos):
    file = photos / "p3.png"
    before = file.stat()
    file.write_bytes(file.read_bytes()[:-1] + b"?")  # of the checksum at its end
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert verify_index(built).problems == ()
    (problem,) = verify_index(built, content=True).problems
    assert (problem.remedy, problem.examples) == ("touch", [str(file)])
    assert not verify_index(built, content=True).ok
    os.utime(file)
    assert build(photos).updated == 1
    assert verify_index(built, content=True).problems == ()


def break_vectors(ending):
    def run(index):
        file = snapshot_file(index, ending)
        vectors = faiss.read_index(str(file))
        changed = vectors.reconstruct_n(0, vectors.ntotal)
        changed[3] = -changed[3]
        vectors.reset()
        vectors.add(changed)
        faiss.write_index(vectors, str(file))

    return run


def cut(ending):
    def run(index):
        file = snapshot_file(index, ending)
        file.write_bytes(file.read_bytes()[:40])

    return run


def lose_a_row(index):
    """A snapshot of the latest version that lacks a row and has another twice."""
    file, table = snapshot_file(index, ".faiss"), IndexTable(index, read_manifest(index).table)
    version = f"-v{table.version}"
    table.remove([record_id("1", "p1.png")])
    for part in file.parent.glob(f"{file.stem}.*"):
        part.rename(part.with_name(part.name.replace(version, f"-v{table.version}")))


def known_files_of(index):
    (file,) = (index / "snapshot").glob("files-*")
    return file


def spoil_known_files(index):
    """As if a file were known to be another than the table says."""
    file = known_files_of(index)
    file.write_text(re.sub(r'"p3.png":\[(\d+),', r'"p3.png":[1\1,', file.read_text()))


def lose_caption_index(index):
    table = IndexTable(index, read_manifest(index).table)
    table._table.drop_index(CAPTION_INDEX)
    derive(index)


def double(index):
    table = lancedb.connect(index).open_table(read_manifest(index).table)
    table.add(table.search().where("path = 'p1.png'").to_arrow())


def derive(index):
    """What a run does at its end."""
    table = read_manifest(index).table
    open_snapshot(index, table)
    keep_known_files(index, table, IndexTable(index, table))


def lose_the_table_of_a_rebuild(index):
    write_manifest(replace(read_manifest(index), table="images-2"), index / "rebuild.json")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (break_vectors(".faiss"), ("snapshot", "rows that differ from the table's", 1)),
        (break_vectors(".sq8"), ("snapshot", "rows that differ from the table's", 1)),
        (cut(".faiss"), ("snapshot", "files that are damaged", 1)),
        (cut(".sq8"), ("snapshot", "files that are damaged", 1)),
        (cut(".arrow"), ("snapshot", "files that are damaged", 1)),
        (lose_a_row, ("snapshot", "rows that the table has not", 1)),
        (spoil_known_files, ("known files", "sizes and times of files that are not the table's", 1)),
        (
            lambda index: known_files_of(index).write_text("{"),
            ("known files", "sizes and times of files that are not the table's", 1),
        ),
        (lose_caption_index, ("captions", "no full-text index", 1)),
        (double, ("table", "rows with the id of another row", 1)),
        (lambda index: (index / "rebuild.json").write_text("{"), ("rebuild", "files that are damaged", 1)),
        (lose_the_table_of_a_rebuild, ("rebuild", "files that are damaged", 1)),
        (lambda index: (index / "unreadable.json").write_text("{"), ("unreadable files", "files that are damaged", 1)),
        (lambda index: (index / "images-7.lance").mkdir(), ("leftovers", "tables that nothing refers to", 1)),
    ],
)
def test_what_is_derived_is_repaired(built, loaded, spoil, told):
    spoil(built)
    assert found(built) == {told}
    assert not verify_index(built).ok
    repaired = verify_index(built, repair=True)
    assert repaired.ok and [problem.repaired for problem in repaired.problems] == [True]
    assert verify_index(built).problems == ()
    assert len(Searcher(built, loaded)) == verify_index(built).rows


def test_entries_of_an_unknown_root_are_forgotten_and_others_kept(built, photos):
    unreadable = UnreadableFiles(built)
    for root in ("1", "9"):
        unreadable.add(UnreadableFile(root, "bad.png", "truncated", 1, 2))
    unreadable.save()
    assert found(built, repair=True) == {("unreadable files", "entries of an unknown root", 1)}
    assert [entry.root for entry in UnreadableFiles(built)] == ["1"]


def update(where, **values):
    def run(index):
        lancedb.connect(index).open_table(read_manifest(index).table).update(where=where, values=values)

    return run


def other_dimension(index):
    write_manifest(replace(read_manifest(index), dimension=5), index / MANIFEST_FILE)


def lose_data(index):
    for file in (index / "images-1.lance" / "data").iterdir():
        file.write_bytes(file.read_bytes()[:50])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (update("path = 'p1.png'", id="0" * 16), {("table", "rows whose id is not their path's", 1)}),
        (update("path < 'p2'", model_fingerprint="other"), {("table", "rows of another model than the index's", 2)}),
        (update("path = 'p1.png'", embedding=[0.5] * 16), {("table", "vectors that are no unit vectors", 1)}),
        (other_dimension, {("table", "vectors of another dimension than the manifest's", 1)}),
        (lose_data, {("table", "files that are damaged", 1)}),
    ],
)
def test_what_is_wrong_with_rows_cannot_be_repaired(built, spoil, told):
    spoil(built)
    assert found(built) == told
    assert not verify_index(built, repair=True).ok


def test_of_doubled_rows_the_last_one_stays(built, rows):
    double(built)
    double(built)
    table = lancedb.connect(built).open_table("images-1")
    later = table.search().where("path = 'p1.png'").limit(1).to_arrow()
    table.add(later.set_column(later.schema.get_field_index("size"), "size", pa.array([7])))
    assert verify_index(built, repair=True).ok
    assert [row["size"] for row in rows(built) if row["path"] == "p1.png"] == [7]
    assert len(rows(built)) == 10


def test_a_full_text_index_that_lacks_a_caption_or_is_damaged_is_made_anew(build, index, photos):
    build(photos)
    table = IndexTable(index, "images-1")
    table.set_captions(
        {record_id("1", f"p{at}.png"): StoredCaption("a mountain at the seaside", 0.5, -1.0) for at in range(3)}
    )
    table._table.optimize()  # all captions are in the index
    derive(index)
    assert found(index) == set()
    listed = sorted((index / "images-1.lance" / "_indices").rglob("part_*_invert.lance"))
    kept = {file: file.read_bytes() for file in listed}
    for file in listed:
        file.write_bytes(file.read_bytes()[:40])
    spoiled = verify_in_another_process(index)
    assert "captions: files that are damaged: 1" in spoiled.stdout
    assert verify_in_another_process(index, "--repair").returncode == 0
    assert verify_in_another_process(index).stdout == ""
    assert kept


def verify_in_another_process(index, *options):
    """LanceDB remembers within a process what it has read."""
    command = [sys.executable, "-m", "cocasearch", "verify", "--index", str(index), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_captions_that_the_full_text_index_does_not_give_are_named(built, monkeypatch):
    table = IndexTable(built, "images-1")
    table.set_captions({record_id("1", "p1.png"): StoredCaption("a mountain at the seaside", 0.5, -1.0)})
    derive(built)
    assert found(built) == set()
    monkeypatch.setattr(IndexTable, "ids_with_words", lambda table, words: set())
    assert ("captions", "captions that the full-text index lacks", 1) in found(built)


def test_captions_of_words_that_the_full_text_index_leaves_out_are_no_problem(built):
    table = IndexTable(built, "images-1")
    captions = ["he walks through", "by himself", "it is against us", "further", "willing", "outings", "shouldn't"]
    table.set_captions(
        {record_id("1", f"p{at}.png"): StoredCaption(words, 0.5, -1.0) for at, words in enumerate(captions)}
    )
    derive(built)
    assert found(built) == set()
    table._table.optimize()
    derive(built)
    assert found(built) == set()


def test_a_rebuild_that_can_go_on_is_no_problem(built, loaded, photos, index):
    with pytest.raises(KeyboardInterrupt):
        IndexBuilder(index, loaded, batch_size=3).build([photos], rebuild=True, progress=interrupt)
    assert (index / "rebuild.json").exists()
    assert verify_index(index, repair=True).problems == ()
    assert IndexBuilder(index, loaded).build([photos], rebuild=True).added == 7


def test_a_full_text_index_of_a_rebuild_is_made_anew(built, loaded, photos, index):
    with pytest.raises(KeyboardInterrupt):
        IndexBuilder(index, loaded, batch_size=3).build([photos], rebuild=True, progress=interrupt)
    shutil.rmtree(index / "images-2.lance" / "_indices")
    for repair in (False, True):
        (problem,) = verify_index(index, repair=repair).problems
        assert (problem.part, problem.what, problem.repaired) == (
            "rebuild's captions",
            "files that are damaged",
            repair,
        )
    assert verify_index(index).problems == ()
    assert IndexBuilder(index, loaded).build([photos], rebuild=True).added == 7
    assert verify_index(index).problems == ()


def interrupt(done, total):
    raise KeyboardInterrupt


def test_a_rebuild_with_rows_that_are_wrong_is_given_up(built, loaded, photos, index):
    with pytest.raises(KeyboardInterrupt):
        IndexBuilder(index, loaded, batch_size=3).build([photos], rebuild=True, progress=interrupt)
    pending = lancedb.connect(index).open_table("images-2")
    pending.update(where="path = 'p1.png'", values={"embedding": [0.5] * 16})
    assert found(index, repair=True) == {("rebuild", "vectors that are no unit vectors", 1)}
    assert not list(index.glob("rebuild*")) and not (index / "images-2.lance").exists()
    assert found(index) == set()


def test_rows_of_an_unknown_root_are_named_and_mended_by_a_rebuild(built, build, photos, loaded):
    update("path = 'p1.png'", root="7", id=record_id("7", "p1.png"))(built)
    assert found(built) == {("table", "rows of an unknown root", 1)}
    assert "p1.png" in {hit.path for hit in Searcher(built, loaded).search(where="true", top_k=20)}
    (photos / "\udcff.png").touch()  # no name that can be stored, so that something is left out
    assert build(photos).unchanged == 9
    assert build(rebuild=True).total == 10
    assert found(built) == set()


def test_only_a_repair_needs_the_lock(built):
    with writer_lock(built):
        assert verify_index(built).ok
        with pytest.raises(CocaSearchError, match="is being written by"):
            verify_index(built, repair=True)


def test_an_index_that_moved_is_sound(built, photos, tmp_path):
    (tmp_path / "far" / "indexes").mkdir(parents=True)
    built.rename(tmp_path / "far" / "indexes" / "holiday")
    photos.rename(tmp_path / "far" / "photos")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "indexes" / "holiday")
    assert verify_index(tmp_path / "link").problems == ()
    assert verify_index(tmp_path / "link").rows == 10
