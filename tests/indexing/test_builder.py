import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import lancedb
import numpy as np
import pytest
import torch
from PIL import Image

from cocasearch.errors import CocaSearchError, NothingFound, UnreadableImage
from cocasearch.images import batching, decoding, formats
from cocasearch.indexing.builder import IndexBuilder
from cocasearch.indexing.repair.verification import verify_index
from cocasearch.indexing.scan.folder_scan import scan_folders
from cocasearch.indexing.scan.known_files import open_known_files
from cocasearch.indexing.store.location import COPY_FILE, MANIFEST_FILE
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.unreadable_files import UnreadableFiles
from cocasearch.indexing.table_swap import open_for_writing
from cocasearch.inference.describer import ImageDescriber
from cocasearch.inference.loaded_model import load_model
from cocasearch.lock import writer_lock
from cocasearch.search.searcher import Searcher


def paths_of(rows):
    return [row["path"] for row in rows]


def assert_same_rows(ours, theirs):
    assert paths_of(ours) == paths_of(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for name, value in one.items():
            if isinstance(value, float | list):
                np.testing.assert_allclose(value, other[name], atol=1e-5, err_msg=name)
            else:
                assert value == other[name], name


class Stopper:
    """Stops a run like Ctrl-C, after its second batch."""

    def __init__(self):
        self.calls = 0

    def __call__(self, done, total):
        self.calls += 1
        if self.calls == 2:
            raise KeyboardInterrupt


def test_a_first_run_stores_what_it_can_read_and_names_the_rest(build, index, photo_folder, rows):
    report = build(photo_folder)
    assert (report.added, report.total, report.unchanged, report.known_bad) == (4, 4, 0, 0)
    assert report.failed == ((str(photo_folder / "truncated.jpg"), "truncated"),)
    assert paths_of(rows(index)) == ["blue-circle.png", "red-square.jpg", "sub/yellow-triangle.jpg", "turned.jpg"]


def test_a_record_tells_file_metadata_and_caption(build, index, photo_folder, rows, loaded):
    exif = Image.Exif()
    exif[0x0132] = "2024:06:01 10:20:30"
    Image.new("RGB", (50, 40), "red").save(photo_folder / "a.jpg", exif=exif)
    build(photo_folder)
    row, status = rows(index)[0], (photo_folder / "a.jpg").stat()
    assert (row["size"], row["mtime_ns"]) == (status.st_size, status.st_mtime_ns)
    assert (row["width"], row["height"], row["format"]) == (50, 40, "JPEG")
    assert row["taken_at"] == datetime(2024, 6, 1, 10, 20, 30)
    assert row["caption"] is not None and -1 <= row["caption_score"] <= 1 and row["caption_logprob"] <= 0
    assert row["model_fingerprint"] == loaded.fingerprint
    assert np.linalg.norm(row["embedding"]) == pytest.approx(1, abs=1e-5)


def test_each_image_is_encoded_once_though_it_gets_vector_and_caption(build, photos, encoded):
    build(photos)
    assert encoded.since_last_look() == 10


def test_an_index_can_do_without_captions(index, loaded, photos, rows):
    IndexBuilder(index, loaded, caption_options=None).build([photos])
    assert {row["caption"] for row in rows(index)} == {None}


def test_a_second_run_encodes_only_what_is_new(build, photos, encoded, draw):
    build(photos)
    encoded.since_last_look()
    assert (again := build(photos)).unchanged == 10
    assert (again.added, encoded.since_last_look()) == (0, 0)
    draw(photos / "new.png", 77)
    assert (build(photos).added, encoded.since_last_look()) == (1, 1)


def test_a_changed_file_is_described_anew(build, index, photos, rows, encoded, draw):
    build(photos)
    before = rows(index)[3]
    encoded.since_last_look()
    draw(photos / "p3.png", 99)
    report = build(photos)
    after = rows(index)[3]
    assert (report.updated, report.added, encoded.since_last_look()) == (1, 0, 1)
    assert before["id"] == after["id"] and before["content_hash"] != after["content_hash"]
    assert not np.allclose(before["embedding"], after["embedding"])
    assert len(rows(index)) == 10


def test_a_deleted_file_leaves_the_index(build, index, photos, rows):
    build(photos)
    (photos / "p4.png").unlink()
    assert build(photos).gone == 1
    assert "p4.png" not in paths_of(rows(index))


def test_walking_a_part_of_a_root_removes_nothing_elsewhere(build, index, photos, rows, draw):
    draw(photos / "sub" / "s.png", 50)
    build(photos)
    (photos / "p4.png").unlink()
    assert build(photos / "sub").gone == 0
    assert len(rows(index)) == 11
    assert len(read_manifest(index).roots) == 1


def test_a_folder_found_empty_keeps_its_images(build, index, photos, tmp_path, draw):
    draw(tmp_path / "more" / "m.png", 60)
    build(photos, tmp_path / "more")
    shutil.rmtree(photos)
    photos.mkdir()
    report = build(photos, tmp_path / "more")
    assert (report.gone, report.total, report.empty) == (0, 11, (str(photos),))


def test_incremental_runs_and_one_run_give_the_same_rows(build, index, photos, rows, loaded, tmp_path):
    kept = [photos / f"p{number}.png" for number in range(5, 10)]
    for file in kept:
        file.rename(tmp_path / file.name)
    build(photos)
    for file in kept:
        (tmp_path / file.name).rename(file)
    build(photos)
    IndexBuilder(tmp_path / "whole", loaded).build([photos])
    assert_same_rows(rows(index), rows(tmp_path / "whole"))


def test_a_root_inside_another_stores_no_image_twice(build, index, photos, rows, draw):
    draw(photos / "sub" / "s.png", 50)
    assert build(photos / "sub").added == 1
    report = build(photos)
    assert (report.added, report.unchanged, report.total) == (10, 1, 11)
    assert build(photos, photos / "sub").unchanged == 11


def test_without_paths_every_root_is_brought_up_to_date(build, photos, tmp_path, draw):
    more = draw(tmp_path / "more" / "m.png", 60).parent
    build(photos, more)
    draw(photos / "new.png", 70)
    draw(more / "new.png", 71)
    assert build().added == 2


def test_a_single_file_can_be_indexed(build, index, photos, rows):
    assert build(photos / "p1.png").added == 1
    assert paths_of(rows(index)) == ["p1.png"]
    assert build(photos).added == 9


@pytest.mark.parametrize("kind", [str, Path])
def test_one_folder_needs_no_list(index, loaded, photos, kind):
    assert IndexBuilder(index, loaded).build(kind(photos)).added == 10


def test_an_unreadable_file_is_named_once_and_tried_again_when_changed(build, photos, draw):
    bad = photos / "bad.png"
    bad.write_bytes(b"no picture")
    assert [path for path, _ in build(photos).failed] == [str(bad)]
    again = build(photos)
    assert (again.failed, again.known_bad) == ((), 1)
    bad.write_bytes(b"still no picture")
    assert len(build(photos).failed) == 1
    draw(bad, 80)
    mended = build(photos)
    assert (mended.added, mended.failed, mended.known_bad) == (1, (), 0)


def test_a_rebuild_tries_every_file_anew_and_a_stopped_one_those_it_has_not_tried(build, index, photos, loaded):
    (photos / "bad.png").write_bytes(b"no picture")
    build(photos)
    with pytest.raises(KeyboardInterrupt):
        IndexBuilder(index, loaded, batch_size=3).build([photos], rebuild=True, progress=Stopper())
    again = build(photos, rebuild=True)
    assert (again.added, again.known_bad) == (4, 1)
    assert len(build(photos, rebuild=True).failed) == 1
    assert build(photos).known_bad == 1
    (photos / "bad.png").unlink()
    build(photos, rebuild=True)
    assert not list(index.glob("*unreadable.json"))


def test_a_rebuild_names_the_photos_that_it_leaves_behind(build, index, photos, loaded):
    build(photos)
    (photos / "p3.png").unlink()
    build(photos)
    (photos / "p4.png").unlink()
    (photos / "p5.png").write_bytes(b"no picture any more")
    with pytest.raises(KeyboardInterrupt):
        IndexBuilder(index, loaded, batch_size=3).build(rebuild=True, progress=Stopper())
    report = build(rebuild=True)
    assert report.left_behind == (str(photos / "p3.png"), str(photos / "p4.png"))
    assert (report.total, report.missing) == (7, 0)
    assert build(rebuild=True).left_behind == ()


def test_a_file_that_the_system_refused_is_tried_again(build, photos, monkeypatch):
    def refused(path):
        raise UnreadableImage(str(path), "permission denied", cause="system")

    (photos / "bad.png").write_bytes(b"no picture")
    with monkeypatch.context() as patched:
        patched.setattr("cocasearch.images.batching.read_image", lambda source, **_: refused(source))
        assert len(build(photos).failed) == 11
    again = build(photos)
    assert (again.added, again.failed) == (10, ((str(photos / "bad.png"), "not an image that can be read"),))


@pytest.mark.parametrize("cause", ["time", "extra"])
def test_a_file_that_took_too_long_is_tried_again_and_one_that_lacks_an_extra_when_it_is_there(
    build, index, photos, monkeypatch, cause
):
    error = UnreadableImage("x", "some reason", cause=cause, extra="heif" if cause == "extra" else "")
    read = batching.read_image

    def refusing(source, **options):
        if source.name == "p1.png":
            raise error
        return read(source, **options)

    monkeypatch.setattr(formats, "find_spec", lambda module: None)
    monkeypatch.setattr(batching, "read_image", refusing)
    assert build(photos).failed == ((str(photos / "p1.png"), "some reason"),)
    if cause == "extra":
        assert scan_folders(index, [photos]).is_current  # nothing is read
        assert build(photos).known_bad == 1
        monkeypatch.setattr(formats, "find_spec", lambda module: module == "pillow_heif" or None)
    monkeypatch.setattr(batching, "read_image", read)
    assert build(photos).added == 1


def test_times_of_any_century_are_stored_and_cost_no_photo(build, index, photos, rows, encoded):
    times = [-(2**40), -11_644_473_600, -2_208_988_801, -1, 0, 9_223_372_037, 13_569_465_600, 2**40]
    stored = {}
    for number, seconds in enumerate(times):
        with suppress(OSError, OverflowError):  # not every file system has room for it
            os.utime(photos / f"p{number}.png", (seconds, seconds))
        stored[f"p{number}.png"] = (photos / f"p{number}.png").stat().st_mtime_ns
    assert (build(photos).total, encoded.since_last_look()) == (10, 10)
    found = {row["path"]: row["mtime_ns"] for row in rows(index) if row["path"] in stored}
    assert found == {path: min(max(time, 1 - 2**63), 2**63 - 1) for path, time in stored.items()}
    assert scan_folders(index, [photos]).is_current
    assert verify_index(index).problems == ()


def test_one_photo_that_cannot_be_described_costs_only_itself(build, index, photos, loaded, rows, monkeypatch):
    wanted = loaded.preprocess(decoding.read_image(photos / "p4.png")[0])
    describe = ImageDescriber.describe

    def fails_for_one(self, pixels):
        if any(torch.equal(one, wanted) for one in pixels):
            raise RuntimeError("no such luck\nsecond line")
        return describe(self, pixels)

    monkeypatch.setattr(ImageDescriber, "describe", fails_for_one)
    for _ in range(2):
        report = build(photos)
        assert (report.total, len(rows(index))) == (9, 9)
    assert report.known_bad == 1
    (entry,) = UnreadableFiles(index)
    assert (entry.path, entry.reason) == ("p4.png", "cannot be described (no such luck)")


def test_a_value_that_no_row_can_do_without_costs_that_photo_alone(build, index, photos, rows, monkeypatch):
    read = batching.read_image

    def enormous(source, **options):
        image, metadata = read(source, **options)
        return image, replace(metadata, width=2**40 if source.name == "p1.png" else 9, latitude=float("nan"))

    monkeypatch.setattr(batching, "read_image", enormous)
    report = build(photos)
    assert (report.total, [Path(path).name for path, _ in report.failed]) == (9, ["p1.png"])
    assert {row["latitude"] for row in rows(index)} == {None}


def test_a_model_that_describes_nothing_is_no_fault_of_the_photos(build, index, photos, monkeypatch):
    def fails(self, pixels):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(ImageDescriber, "describe", fails)
    with pytest.raises(RuntimeError, match="out of luck"):
        build(photos)
    assert len(UnreadableFiles(index)) == 0


def test_an_image_that_breaks_leaves_the_index(build, index, photos, rows):
    build(photos)
    (photos / "p2.png").write_bytes(b"no picture any more")
    report = build(photos)
    assert (len(report.failed), report.removed, len(rows(index))) == (1, 1, 9)


def test_an_unreadable_file_that_is_gone_is_forgotten(build, index, photos):
    (photos / "bad.png").write_bytes(b"no picture")
    build(photos)
    (photos / "bad.png").unlink()
    build(photos)
    assert json.loads((index / "unreadable.json").read_text()) == []


def test_an_interrupted_run_keeps_its_work_and_the_next_one_continues(index, loaded, photos, rows, encoded, tmp_path):
    builder = IndexBuilder(index, loaded, batch_size=3, commit_seconds=3600)
    with pytest.raises(KeyboardInterrupt):
        builder.build([photos], progress=Stopper())
    assert len(rows(index)) == 6
    encoded.since_last_look()
    assert (builder.build([photos]).added, encoded.since_last_look()) == (4, 4)
    IndexBuilder(tmp_path / "whole", loaded).build([photos])
    assert_same_rows(rows(index), rows(tmp_path / "whole"))


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_a_second_ctrl_c_does_not_cut_the_last_commit_in_two(index, loaded, photos, rows, monkeypatch):
    add = IndexTable.add

    def interrupted_add(table, records):
        os.kill(os.getpid(), signal.SIGINT)
        add(table, records)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(IndexTable, "add", interrupted_add)
    with pytest.raises(KeyboardInterrupt):
        IndexBuilder(index, loaded, batch_size=3, commit_seconds=3600).build([photos], progress=Stopper())
    assert paths_of(rows(index)) == [f"p{number}.png" for number in range(6)]


def test_nothing_is_taken_for_known_that_a_table_of_the_same_name_knew(build, index, photos):
    build(photos)
    version, wanted = IndexTable(index, "images-1").version, replace(read_manifest(index), table="")
    for file in (MANIFEST_FILE, COPY_FILE):
        (index / file).unlink()
    shutil.rmtree(index / "images-1.lance")  # the next one takes its name
    table = open_for_writing(index, wanted, rebuild=False).table
    while table.version < version:
        table.remove(["0" * 16])
    assert table.version == version and open_known_files(index, "images-1").counts.present == 0


KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from cocasearch.indexing.builder import IndexBuilder
from cocasearch.inference.loaded_model import load_model

def kill(done, total):
    if done >= 6:
        os.kill(os.getpid(), signal.SIGKILL)

index, model, photos = map(Path, sys.argv[1:])
loaded = load_model(model, device="cpu", dtype="float32")
IndexBuilder(index, loaded, batch_size=3, commit_seconds=0).build([photos], progress=kill)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_run_loses_nothing_that_was_stored(
    build, index, loaded, photos, rows, encoded, tiny_model_folder, tmp_path
):
    command = [sys.executable, "-c", KILLED_RUN, str(index), str(tiny_model_folder), str(photos)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert len(rows(index)) == len(Searcher(index)) == 6
    assert (build(photos).added, encoded.since_last_look()) == (4, 4)
    IndexBuilder(tmp_path / "whole", loaded).build([photos])
    assert_same_rows(rows(index), rows(tmp_path / "whole"))


def test_a_second_writer_is_told_who_writes(build, index, photos, draw):
    build(photos)
    draw(photos / "new.png", 70)
    with writer_lock(index), pytest.raises(CocaSearchError, match=f"written by process {os.getpid()} on "):
        build(photos)
    assert (report := build(photos)).unchanged == 10
    assert report.added == 1


@pytest.mark.parametrize(("after", "seconds"), [(1, 0), (2, 0), (4, 100)])
def test_an_index_removed_while_it_is_made_is_told_and_stays_removed(index, loaded, photos, after, seconds):
    turns = []

    def remove(done, total):
        turns.append(done)
        if len(turns) == after:
            shutil.rmtree(index)

    builder = IndexBuilder(index, loaded, batch_size=3, commit_seconds=seconds)
    with pytest.raises(CocaSearchError, match="has been removed while it was written, or its drive has gone"):
        builder.build([photos], progress=remove)
    assert not index.exists()


def test_another_model_is_refused_with_the_command_that_rebuilds(build, index, photos, loaded, other_model):
    build(photos)
    told = rf"built with model {re.escape(loaded.name)}@\w+, not with .+@{other_model.fingerprint}"
    with pytest.raises(CocaSearchError, match=told) as caught:
        IndexBuilder(index, other_model).build([photos])
    assert caught.value.hint == f"cocasearch index --rebuild --model {other_model.name} --index {index}"


def test_the_old_index_answers_until_a_rebuild_is_complete(build, index, photos, rows, loaded, other_model):
    build(photos)
    rebuilder = IndexBuilder(index, other_model, batch_size=3)
    with pytest.raises(KeyboardInterrupt):
        rebuilder.build([photos], rebuild=True, progress=Stopper())
    assert len(Searcher(index, loaded)) == 10
    assert build(photos).unchanged == 10
    assert rebuilder.build([photos], rebuild=True).added == 4
    assert {row["model_fingerprint"] for row in rows(index)} == {other_model.fingerprint}
    assert len(Searcher(index, other_model)) == 10
    assert [file.name for file in index.glob("*.lance")] == ["images-2.lance"]


def test_a_rebuild_covers_every_root(build, photos, tmp_path, draw):
    more = draw(tmp_path / "more" / "m.png", 60).parent
    build(photos, more)
    assert build(photos, rebuild=True).added == 11


def test_a_rebuild_of_single_files_takes_in_no_others(build, index, photos, rows, draw):
    (photos / "bad.png").write_bytes(b"no picture")
    draw(photos / "sub" / "s.png", 50)
    build(photos / "p1.png", photos / "bad.png", photos / "p2.png")
    build(photos / "sub")
    draw(photos / "sub" / "t.png", 51)
    (photos / "p2.png").unlink()
    report = build(rebuild=True)
    assert (report.added, len(report.failed)) == (3, 1)
    assert sorted(paths_of(rows(index))) == ["p1.png", "s.png", "t.png"]
    assert build().unchanged == 3
    assert build(photos).added == 8
    draw(photos / "new.png", 52)
    assert build(rebuild=True).added == 12


@pytest.mark.parametrize("content", [[], ["notes.txt"]])
def test_a_folder_without_pictures_makes_no_index(build, index, tmp_path, content):
    folder = tmp_path / "empty"
    folder.mkdir()
    for name in content:
        (folder / name).touch()
    with pytest.raises(NothingFound, match=r"no photos found in .*empty"):
        build(folder)
    assert not index.exists()


def test_a_missing_folder_is_named(build, index, tmp_path):
    with pytest.raises(CocaSearchError, match=r"no such file or folder: .*nowhere"):
        build(tmp_path / "nowhere")
    assert not index.exists()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
def test_a_name_that_no_index_can_store_is_reported(build, photos):
    odd = photos / os.fsdecode(b"odd\xff.png")
    (photos / "p1.png").rename(odd)
    assert build(photos).failed == ((str(odd), "its name is not UTF-8; rename it"),)
    with pytest.raises(CocaSearchError, match="is not UTF-8"):
        build(odd)


def test_a_run_full_of_unreadable_files_ends_well(build, tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    for number in range(7):
        (folder / f"{number}.jpg").write_bytes(bytes(range(number)))
    report = build(folder)
    assert (report.total, len(report.failed)) == (0, 7)


def test_tables_and_files_of_others_in_the_index_folder_stay(build, index, photos):
    index.mkdir(parents=True)
    lancedb.connect(index).create_table("documents", [{"text": "mine"}])
    theirs = [index / ".notes.partial", index / "snapshot" / "documents-v1.arrow"]
    for file in theirs:
        file.parent.mkdir(exist_ok=True)
        file.touch()
        os.utime(file, (0, 0))
    build(photos)
    build(photos, rebuild=True)
    assert lancedb.connect(index).open_table("documents").count_rows() == 1
    assert all(file.exists() for file in theirs)
    assert verify_index(index).problems == ()


def test_a_model_without_its_image_tower_is_no_fault_of_the_only_photo(index, photos):
    with pytest.raises(CocaSearchError, match="without its image tower"):
        IndexBuilder(index, load_model(towers="text")).build([photos / "p1.png"])
