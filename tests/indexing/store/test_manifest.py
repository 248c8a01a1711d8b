import json
import shlex
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.indexing.store.location import MANIFEST_FILE, REBUILD_FILE
from cocasearch.indexing.store.manifest import (
    Manifest,
    Root,
    check_model,
    find_manifest,
    index_command,
    read_manifest,
    write_manifest,
)
from cocasearch.paths import index_folder


@pytest.fixture
def manifest(tmp_path):
    """An index `i` beside its photos `p`."""
    for name in ("home/i", "home/p"):
        (tmp_path / name).mkdir(parents=True)
    plain = Manifest(table="images-1", model_name="m", model_fingerprint="f1", dimension=8)
    return plain.with_roots({"1": tmp_path / "home" / "p"}, tmp_path / "home" / "i")


def test_what_is_written_is_read(tmp_path, manifest):
    write_manifest(manifest, tmp_path / MANIFEST_FILE)
    assert read_manifest(tmp_path) == manifest
    assert manifest.created and manifest.updated


def test_roots_move_with_the_index(tmp_path, manifest):
    shutil.move(tmp_path / "home", tmp_path / "elsewhere")
    assert manifest.locate_roots(tmp_path / "elsewhere" / "i") == {"1": tmp_path / "elsewhere" / "p"}


def test_roots_stay_when_the_index_alone_moves(tmp_path, manifest):
    (tmp_path / "far" / "away").mkdir(parents=True)
    shutil.move(tmp_path / "home" / "i", tmp_path / "far" / "away" / "i")
    assert manifest.locate_roots(tmp_path / "far" / "away" / "i") == {"1": tmp_path / "home" / "p"}


def test_a_root_on_another_drive_is_where_it_was(tmp_path):
    assert Root("1", str(tmp_path / "p"), None).locate(tmp_path / "i") == tmp_path / "p"


def test_no_index_is_said_with_the_command_that_makes_one(tmp_path, monkeypatch):
    monkeypatch.setenv("COCASEARCH_INDEXES", str(tmp_path))
    with pytest.raises(CocaSearchError, match="no index 'default' at ") as caught:
        read_manifest(tmp_path / "default")
    assert caught.value.hint == "cocasearch index ./photos"


def test_an_absent_index_is_told_with_those_that_are_there(tmp_path, monkeypatch, manifest):
    monkeypatch.setenv("COCASEARCH_INDEXES", str(tmp_path))
    for name in ("holiday", "a" * 200):
        (tmp_path / name).mkdir()
        write_manifest(manifest, tmp_path / name / MANIFEST_FILE)
    with pytest.raises(CocaSearchError, match=r"no index 'holyday' at .*; there are 'aaa.*….*, 'holiday'") as caught:
        read_manifest(tmp_path / "holyday")
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    ("folder", "option"), [("default", ""), ("holiday", " --index holiday"), ("a/b", " --index {}/a/b")]
)
def test_commands_name_the_index_as_briefly_as_they_can(tmp_path, monkeypatch, folder, option):
    monkeypatch.setenv("COCASEARCH_INDEXES", str(tmp_path))
    assert index_command(tmp_path / folder, "x") == "cocasearch index x" + option.format(tmp_path)


@pytest.mark.parametrize("folder", ["nope", "indexes", "my index", "a/b", "../up", "indexes/holiday"])
def test_a_command_leads_back_to_the_folder(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COCASEARCH_INDEXES", raising=False)
    name = shlex.split(index_command(Path(folder), "x"))[-1]
    assert index_folder(name).absolute() == Path(folder).absolute()


def test_a_newer_index_asks_for_a_newer_cocasearch(tmp_path, manifest):
    write_manifest(replace(manifest, schema_version=99), tmp_path / MANIFEST_FILE)
    with pytest.raises(CocaSearchError, match=r"newer cocasearch \(schema 99, this one knows 7\)"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("schema", "lacking", "more"),
    [(1, ("excludes", "named"), {}), (5, (), {"decodings": []}), (6, (), {"decodings": [{"strategy": "beam"}]})],
)
def test_an_index_of_an_older_schema_asks_to_be_rebuilt(tmp_path, manifest, schema, lacking, more):
    fields = asdict(replace(manifest, schema_version=schema)) | more
    for name in (*lacking, "caption_settings"):
        del fields[name]
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(fields))
    with pytest.raises(CocaSearchError, match=rf"older cocasearch \(schema {schema}, this one knows 7\)") as caught:
        read_manifest(tmp_path)
    assert caught.value.hint == f"cocasearch index --rebuild --index {tmp_path}"
    found = read_manifest(tmp_path, to_rebuild=True)
    assert (found.table, found.roots, found.schema_version) == (manifest.table, manifest.roots, schema)
    (tmp_path / MANIFEST_FILE).rename(tmp_path / REBUILD_FILE)
    assert find_manifest(tmp_path / REBUILD_FILE) is None


def test_excluded_and_named_paths_follow_their_folders(tmp_path, manifest):
    folder, index = tmp_path / "home" / "p", tmp_path / "home" / "i"
    whole = replace(manifest, excludes=("*.gif", f"{folder}/[[]x]"), named=(f"{folder}/[x].dat", "/else/y.dat"))
    moved = whole.following(folder, tmp_path / "[q]")
    assert moved.excludes == ("*.gif", f"{tmp_path}/[[]q]/[[]x]")
    assert moved.named == (f"{tmp_path}/[q]/[x].dat", "/else/y.dat")
    shutil.move(tmp_path / "home", tmp_path / "elsewhere")
    assert whole.located(tmp_path / "elsewhere" / "i").named[0] == f"{tmp_path}/elsewhere/p/[x].dat"
    assert whole.located(index) == whole


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps({"schema_version": 1, "roots": [], "tabel": "x"})])
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / MANIFEST_FILE).write_text(text)
    with pytest.raises(CocaSearchError, match=r"manifest\.json is damaged"):
        find_manifest(tmp_path / MANIFEST_FILE)


def test_another_fingerprint_is_refused(tmp_path, manifest):
    index = tmp_path / "home" / "i"
    write_manifest(manifest, index / MANIFEST_FILE)
    check_model(manifest, "f1", "renamed", index)
    with pytest.raises(CocaSearchError, match="built with model m@f1, not with n@f2") as caught:
        check_model(manifest, "f2", "n", index)
    assert caught.value.hint == f"cocasearch index --rebuild --model n --index {index}"
