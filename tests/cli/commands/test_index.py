import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cocasearch.lock import writer_lock
from cocasearch.model.coca import CoCa


def test_index_says_what_it_added_and_what_it_could_not_read(prompt):
    result = prompt("index", "photos", "--model", "tiny")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "unreadable: photos/truncated.jpg: truncated" in result.stderr
    assert "4 added, 1 unreadable in " in result.stderr
    assert "index 'default' holds 4 photos" in result.stderr


def test_index_again_does_only_what_is_new(indexed):
    red = indexed.folder / "photos" / "red-square.jpg"
    (red.with_name("copy.jpg")).write_bytes(red.read_bytes())
    (indexed.folder / "photos" / "blue-circle.png").unlink()
    result = indexed("index", "photos", "--model", "tiny")
    assert "plan: 1 copied, 1 gone, 1 bad, 3 unchanged\n" in result.stderr
    assert "1 copied, 1 gone, 3 unchanged, 1 unreadable as before" in result.stderr
    assert "1 photo is missing and not searched; if moved, index the new folder; to forget" in result.stderr


def test_index_goes_on_with_the_model_that_made_it(indexed):
    result = indexed("index", "photos")
    assert result.exit_code == 0
    assert "4 unchanged" in result.stderr


@pytest.mark.parametrize(
    ("words", "exit_code", "told"),
    [
        ("missing", 1, "no such file or folder: missing"),
        ("home/models", 3, "no photos found in home/models"),
        ("--rebuild --index holiday", 1, "no index 'holiday'"),
    ],
)
def test_photos_are_looked_for_before_the_model(prompt, words, exit_code, told):
    result = prompt("index", *words.split(), "--model", "./nowhere")
    assert (result.exit_code, told in result.stderr) == (exit_code, True), result.stderr


def test_rebuild_needs_no_folder(indexed):
    result = indexed("index", "--rebuild", "--model", "tiny")
    assert result.exit_code == 0
    assert "4 added" in result.stderr


def test_index_without_captions_has_none(prompt):
    assert prompt("index", "photos", "--model", "tiny", "--no-captions", "--index", "bare").exit_code == 0
    hits = json.loads(prompt("query", "sea", "--index", "bare", "--format", "json").stdout)
    assert [hit["caption"] for hit in hits] == [None] * 4


def test_only_the_image_tower_is_loaded_where_no_captions_are_written(prompt, monkeypatch):
    unload, unloaded = CoCa.unload, []
    monkeypatch.setattr(CoCa, "unload", lambda self, towers: unloaded.append(set(towers)) or unload(self, towers))
    assert prompt("index", "photos", "--model", "tiny", "--no-captions", "--index", "bare").exit_code == 0
    assert prompt("index", "photos", "--model", "tiny").exit_code == 0
    assert unloaded == [{"text", "caption"}, set()]


def test_captions_left_out_before_are_missed_and_written_by_the_command_named(prompt):
    assert "caption" not in prompt("index", "photos", "--model", "tiny", "--no-captions", "--index", "bare").stderr
    missed = prompt("index", "photos", "--index", "bare").stderr
    assert "4 photos have no caption; write them with: cocasearch caption --index bare" in missed
    assert "4 captioned" in prompt("caption", "--index", "bare").stderr
    assert "no caption" not in prompt("index", "photos", "--index", "bare").stderr


def test_status_names_photos_folders_model_and_unreadable_files(indexed):
    (summary,) = json.loads(indexed("status", "--json").stdout)
    assert summary["photos"] == 4
    assert summary["roots"] == [str(indexed.folder / "photos")]
    assert summary["model"].startswith("tiny@")
    assert [entry["reason"] for entry in summary["unreadable"]] == ["truncated"]
    assert (summary["captions"], summary["missing"], summary["snapshot"]) == (4, 0, "fresh")
    parts = summary["bytes_by_part"]
    assert min(parts.values()) > 0 and sum(parts.values()) == summary["bytes"]
    words = indexed("status", "--index", "default").stdout
    assert "default: 4 photos" in words
    assert "photos/truncated.jpg: truncated" in words


def test_status_bad_names_every_unreadable_file_and_nothing_else(indexed):
    for number in range(5):
        (indexed.folder / "photos" / f"bad-{number}.png").write_bytes(b"no picture")
    indexed("index", "photos")
    words = indexed("status", "--index", "default").stdout
    assert words.count("unreadable") == 4 and "3 more: cocasearch status --bad" in words
    lines = indexed("status", "--bad").stdout.splitlines()
    assert len(lines) == 6 and all(line.startswith("photos/") and ": " in line for line in lines)
    entries = json.loads(indexed("status", "--bad", "--json").stdout)
    assert {
        "index": "default",
        "path": str(indexed.folder / "photos" / "truncated.jpg"),
        "reason": "truncated",
    } in entries


def test_status_says_that_a_snapshot_is_stale_or_missing(indexed):
    snapshot = indexed.folder / "indexes" / "default" / "snapshot"
    for file in snapshot.iterdir():
        file.rename(file.with_name(file.name.replace("-v", "-v9")))
    assert "snapshot stale: the next query makes it" in indexed("status").stdout
    for file in snapshot.iterdir():
        file.unlink()
    assert "snapshot missing" in indexed("status").stdout


def test_status_shows_the_other_indexes_when_one_is_damaged(indexed):
    for name in ("a", "b"):
        (indexed.folder / "indexes" / name).mkdir()
        (indexed.folder / "indexes" / name / "manifest.json").write_text("{")
    result = indexed("status")
    assert result.exit_code == 1
    assert "default: 4 photos" in result.stdout
    assert all(f"{name}/manifest.json is damaged" in result.stderr for name in ("a", "b"))


def test_models_are_listed_and_described(prompt):
    names = [model["name"] for model in json.loads(prompt("models", "list", "--json").stdout)]
    assert "tiny" in names
    assert "tiny" in prompt("models", "list").stdout
    described = json.loads(prompt("models", "info", "tiny", "--json").stdout)
    assert described["architecture"]["image"]["kind"] == "vision_transformer"
    assert "  image: kind vision_transformer, image_size 32, " in prompt("models", "info", "tiny").stdout


def test_a_dry_run_tells_the_plan_and_changes_nothing(indexed):
    photos, index = indexed.folder / "photos", indexed.folder / "indexes" / "default"
    (photos / "red-square.jpg").rename(photos / "moved.jpg")
    (photos / "blue-circle.png").unlink()
    before = {file: file.stat().st_mtime_ns for file in index.rglob("*") if file.is_file()}
    told = indexed("index", "photos", "--dry-run")
    assert (told.exit_code, told.stdout) == (0, "")
    assert told.stderr.endswith("plan: 1 moved, 1 gone, 1 bad, 2 unchanged\n")
    plan = json.loads(indexed("index", "--dry-run", "--json").stdout)
    assert plan["counts"]["moved"] == plan["counts"]["gone"] == 1
    assert plan["moved"] == [str(photos / "moved.jpg")]
    assert plan["gone"] == [str(photos / "blue-circle.png")]
    assert before == {file: file.stat().st_mtime_ns for file in index.rglob("*") if file.is_file()}
    assert "1 moved, 1 gone, 2 unchanged, 1 unreadable as before; " in indexed("index").stderr


def test_a_dry_run_of_a_first_index_makes_none(prompt):
    result = prompt("index", "photos", "--model", "tiny", "--dry-run")
    assert result.stderr.endswith("plan: 5 new\n")
    assert not any((prompt.folder / "indexes").iterdir())


def test_without_folders_everything_indexed_is_brought_up_to_date(indexed):
    (indexed.folder / "photos" / "blue-circle.png").unlink()
    assert "1 gone, 3 unchanged" in indexed("index").stderr
    assert "index 'default' holds 3 photos" in indexed("index", "--prune").stderr
    assert "missing" not in indexed("index").stderr


def test_bad_photos_are_tried_again_when_asked_for(indexed):
    assert "unreadable: " not in indexed("index").stderr
    assert "unreadable: photos/truncated.jpg: truncated" in indexed("index", "--retry-bad").stderr


def test_an_exclude_that_leaves_no_photo_changes_nothing_and_says_so(indexed):
    refused = indexed("index", "--exclude", "*")
    assert refused.exit_code == 3
    assert "not remembered; to take photos out of the index: cocasearch remove PATH\n" in refused.stderr
    assert "4 unchanged" in indexed("index").stderr


def test_what_is_excluded_stays_out_of_later_runs(indexed):
    excluded = indexed("index", "--exclude", "./*.png")
    assert "1 excluded, 3 unchanged" in excluded.stderr and "missing" not in excluded.stderr
    assert "3 unchanged" in indexed("index").stderr
    assert "  excludes *.png; 1 photo kept back\n" in indexed("status").stdout
    assert "1 back, 3 unchanged" in indexed("index", "--forget-excludes").stderr


@pytest.mark.parametrize(
    "pattern", ["photos/[2019] Private", "./photos/[2019] Private/", "[2019] private", "photos/*?"]
)
def test_an_exclude_means_what_has_that_very_name_before_it_means_a_pattern(prompt, pattern):
    photos = prompt.folder / "photos"
    for name in ("[2019] Private", "2 Private", "*?"):
        shutil.copytree(photos / "sub", photos / name)
    result = prompt("index", "photos", "--model", "tiny", "--no-captions", "--exclude", pattern)
    assert result.exit_code == 0 and "fits nothing" not in result.stderr
    found = prompt("query", "--where", "path like '%triangle%'", "-f", "paths").stdout
    name = "*?" if "*" in pattern else "[2019] Private"
    assert {Path(path).parent.name for path in found.splitlines()} == {"sub", "2 Private", "[2019] Private", "*?"} - {
        name
    }
    assert f"{name}\n" in prompt("status").stdout.replace("private", "Private")


def test_a_folder_that_holds_only_what_is_left_out_is_not_called_empty(indexed):
    indexed("index", "--exclude", "sub")
    (indexed.folder / "photos/outer").mkdir()
    (indexed.folder / "photos/sub").rename(indexed.folder / "photos/outer/sub")
    refused = indexed("index", "photos/outer")
    assert refused.exit_code == 3
    assert (
        "told to leave out what is there; to take in all that is left out: cocasearch index --forget" in refused.stderr
    )
    (indexed.folder / "photos/nothing").mkdir()
    assert "leave out" not in indexed("index", "photos/nothing").stderr


def test_a_folder_that_is_taken_in_only_until_the_next_run_is_said(indexed):
    indexed("index", "--exclude", "sub")
    said = "photos/sub is taken in now, but an earlier --exclude leaves it out again"
    assert said in indexed("index", "photos/sub").stderr
    assert said not in indexed("index").stderr
    indexed("index", "--forget-excludes")
    assert said not in indexed("index", "photos/sub").stderr


def test_a_plan_tells_what_prune_forgets(indexed):
    (indexed.folder / "photos/blue-circle.png").unlink()
    assert "forgets" not in indexed("index").stderr
    planned = indexed("index", "--prune", "--dry-run").stderr
    assert "plan: 1 missing, 1 bad, 3 unchanged; --prune forgets 1 photo, with vectors and captions\n" in planned


def test_an_exclude_that_fits_nothing_is_said(indexed):
    for dry in (["--dry-run"], []):
        told = indexed("index", "--exclude", "[2019] nothing", "--exclude", "*.png", *dry).stderr
        assert "--exclude '[2019] nothing' fits nothing there" in told and "*.png" not in told


@pytest.mark.parametrize("words", ["", "--prune", "photos --json"])
def test_index_is_told_what_it_lacks(prompt, words):
    assert prompt("index", *words.split()).exit_code == 2


UNCHANGED = """
import sys
from cocasearch.__main__ import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def test_an_unchanged_library_costs_a_walk_and_no_more(indexed):
    command = [sys.executable, "-c", UNCHANGED, "index", "photos"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "4 unchanged, 1 unreadable as before; index 'default' holds 4 photos" in done.stderr
    assert not set(done.stderr.split()) & {"torch", "faiss", "lancedb", "pyarrow", "numpy", "tokenizers"}


STOPPED = """
import os, signal, sys
from cocasearch.__main__ import main
from cocasearch.indexing.write_queue import WriteQueue

due = WriteQueue.commit_if_due
def stopped(queue):
    os.kill(os.getpid(), signal.SIGINT)
    due(queue)
WriteQueue.commit_if_due = stopped
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_ctrl_c_is_answered_at_once_and_what_is_done_is_kept(prompt):
    command = [sys.executable, "-c", STOPPED, "index", "photos", "--model", "tiny", "--batch-size", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    stopping, stopped = (done.stderr.index(words) for words in ("stopping: storing what is done", "stopped: what was"))
    assert stopping < stopped
    assert "plan: 3 new, 2 unchanged" in prompt("index", "photos").stderr


def test_who_writes_is_told_before_any_work(indexed):
    with writer_lock(indexed.folder / "indexes" / "default"):
        result = indexed("index", "nowhere")
    assert result.exit_code == 1
    assert f"is being written by process {os.getpid()} on " in result.stderr


def test_a_drive_that_is_away_is_told_with_what_would_forget_it(indexed):
    drive, red = indexed.folder / "photos" / "drive", indexed.folder / "photos" / "red-square.jpg"
    drive.mkdir()
    (drive / "more.jpg").write_bytes(red.read_bytes())
    indexed("index")
    (drive / "more.jpg").unlink()
    told = f"no photos in photos/drive: is its drive away? All is kept, until: cocasearch remove {drive}\n"
    assert told in indexed("index", "--prune", "--dry-run").stderr
    assert json.loads(indexed("index", "--dry-run", "--json").stdout)["empty"] == [str(drive)]
    assert "holds 5 photos" in indexed("index", "--prune").stderr
    assert "1 removed" in indexed("remove", str(drive)).stderr
    assert "no photos" not in indexed("index").stderr


def test_videos_are_counted_and_passed_over(prompt):
    (prompt.folder / "clips").mkdir()
    for name in ("a.MOV", "b.mp4", ".c.mp4"):
        (prompt.folder / "clips" / name).touch()
    nothing = prompt("index", "clips", "--model", "tiny")
    assert nothing.exit_code == 3 and "hint: videos are passed over" in nothing.stderr
    (prompt.folder / "clips").rename(prompt.folder / "photos" / "clips")
    for command in (("index", "photos", "--dry-run"), ("index", "photos", "--model", "tiny"), ("index",)):
        assert prompt(*command).stderr.count("2 videos were passed over: photos alone are looked at\n") == 1
    captioned = prompt("caption", "photos", "--model", "tiny", "--strategy", "greedy")
    assert captioned.stderr.count("2 videos were passed over") == 1


def test_what_is_damaged_around_the_pixels_of_a_photo_is_kept_as_a_remark(indexed):
    photo = indexed.folder / "photos" / "red-square.jpg"
    photo.write_bytes(photo.read_bytes()[:-2])  # without the marker of its end
    assert "1 updated" in indexed("index").stderr
    photo.rename(photo.with_name("moved.jpg"))
    assert indexed("index").exit_code == 0
    found = indexed("query", "--where", "remark is not null", "--format", "paths")
    assert found.stdout == f"{photo.with_name('moved.jpg')}\n"
    (status,) = json.loads(indexed("status", "--json").stdout)
    assert (status["remarks"], status["photos"]) == (1, 4)
    assert "  remarks  1 photo damaged around the pixels and read: cocasearch query --where" in indexed("status").stdout
