import json

import pytest


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
    assert "1 photos are missing and not searched; forget them with: cocasearch index --prune" in result.stderr


def test_index_goes_on_with_the_model_that_made_it(indexed):
    result = indexed("index", "photos")
    assert result.exit_code == 0
    assert "4 unchanged" in result.stderr


@pytest.mark.parametrize(
    ("words", "exit_code", "told"),
    [
        ("missing", 1, "no such file or folder: missing"),
        ("home/models", 3, "no pictures found in home/models"),
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


def test_captions_left_out_before_are_missed_and_written_by_the_command_named(prompt):
    assert "caption" not in prompt("index", "photos", "--model", "tiny", "--no-captions", "--index", "bare").stderr
    missed = prompt("index", "photos", "--index", "bare").stderr
    assert "4 photos have no caption; write them with: cocasearch index --rebuild --index bare" in missed
    written = prompt("index", "--rebuild", "--index", "bare").stderr
    assert "4 added" in written and "no caption" not in written


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
    assert "image_size: 32" in prompt("models", "info", "tiny").stdout
