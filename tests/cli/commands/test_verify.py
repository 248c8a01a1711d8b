import json
import os


def test_a_sound_index_is_in_order(indexed):
    result = indexed("verify")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "index 'default' with 4 rows is in order" in result.stderr
    assert json.loads(indexed("verify", "--json").stdout) == {"index": "default", "rows": 4, "ok": True, "problems": []}


def test_changed_photos_are_named_with_the_command_that_takes_them_in(indexed):
    (indexed.folder / "photos" / "blue-circle.png").unlink()
    result = indexed("verify")
    assert (result.exit_code, result.stdout) == (
        0,
        "files: photos that are not there any more: 1 (photos/blue-circle.png)\n",
    )
    assert "it is behind its photos: cocasearch index" in result.stderr


def test_content_that_changed_unseen_has_exit_code_1_and_says_how_to_go_on(indexed):
    file = indexed.folder / "photos" / "blue-circle.png"
    before = file.stat()
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert indexed("verify").exit_code == 0
    result = indexed("verify", "--content")
    assert result.exit_code == 1
    assert result.stdout.startswith("files: photos whose content has changed, though neither size nor time")
    assert "touch them, then: cocasearch index\n" in result.stderr


def test_what_can_be_repaired_is_told_and_then_repaired(indexed):
    for file in (indexed.folder / "indexes" / "default" / "snapshot").iterdir():
        file.write_bytes(b"no snapshot")
    result = indexed("verify")
    assert result.exit_code == 1
    assert "cocasearch verify --repair\n" in result.stderr
    (indexed.folder / "indexes" / "default").rename(indexed.folder / "indexes" / "two words")
    assert "verify --repair --index 'two words'\n" in indexed("verify", "--index", "two words").stderr
    (indexed.folder / "indexes" / "two words").rename(indexed.folder / "indexes" / "default")
    repaired = indexed("verify", "--repair")
    assert repaired.exit_code == 0
    assert repaired.stdout.endswith("; repaired\n")
    assert indexed("verify").stdout == ""


def test_what_cannot_be_repaired_has_exit_code_1_and_the_command_that_mends_it(indexed):
    for file in (indexed.folder / "indexes" / "default").glob("images-1.lance/data/*"):
        file.write_bytes(b"no data")
    result = indexed("verify", "--repair", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["problems"][0]["part"] == "table"
    assert "cocasearch index --rebuild" in result.stderr
