"""A rebuild whose photos cannot be read now, as when a drive goes away: the old index stays until they can."""

import errno
import os
from pathlib import Path

import pytest

from cocasearch.images import decoding
from cocasearch.indexing import builder
from cocasearch.indexing.builder import IndexBuilder
from cocasearch.indexing.repair.verification import verify_index
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.summary import summarise_index


def test_a_rebuild_that_is_refused_photos_waits_for_those_that_the_index_has(
    build, index, photos, rows, draw, other_model, monkeypatch
):
    build(photos)
    draw(photos / "q.png", 20)
    rebuilder = IndexBuilder(index, other_model, batch_size=3)
    opened = decoding.open_timed

    def refuse(file, *given):
        if Path(file).name in refused:
            raise OSError(errno.EHOSTDOWN, "Host is down")
        return opened(file, *given)

    monkeypatch.setattr(decoding, "open_timed", refuse)
    refused = {"p1.png", "p2.png", "q.png"}
    report = rebuilder.build(rebuild=True)
    assert (report.awaited, report.total, report.added) == (2, 10, 8)
    assert read_manifest(index).model_name != other_model.name and len(rows(index)) == 10
    refused = {"q.png"}
    report = rebuilder.build(rebuild=True)
    assert (report.awaited, report.total, report.added) == (0, 10, 2)
    assert read_manifest(index).model_name == other_model.name and not list(index.glob("rebuild*"))


def test_a_rebuild_does_not_lose_the_photos_of_a_folder_that_cannot_be_listed(build, index, photos, draw, monkeypatch):
    draw(photos / "deep" / "q.png", 20)
    build(photos)
    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refuse_below(photos / "deep"))
        report = build(rebuild=True)
    assert (report.awaited, report.total) == (1, 11)
    assert (build(rebuild=True).awaited, read_manifest(index).table) == (0, "images-2")


@pytest.mark.parametrize("other", [True, False])
def test_a_rebuild_that_is_killed_when_it_is_published_has_not_to_be_made_again(
    build, index, photos, rows, loaded, encoded, monkeypatch, other
):
    build(photos)
    (photos / "bad.png").write_bytes(b"no picture")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(builder, "keep_known_files", interrupt)
        build(photos, rebuild=True)
    assert read_manifest(index).table == "images-2" and summarise_index(index).rebuild is None
    assert verify_index(index).problems == ()
    encoded.since_last_look()
    if other:  # command comes between, and ends it
        build(photos)
    report = build(photos, rebuild=True)
    assert (encoded.since_last_look(), report.total, len(report.failed)) == (10 if other else 0, 10, 1)
    assert not list(index.glob("rebuild*")) and verify_index(index).problems == ()


def interrupt(*given):
    raise KeyboardInterrupt


def refuse_below(folder):
    scandir = os.scandir

    def run(path):
        if Path(path) == folder:
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    return run


def test_photos_that_vanish_before_their_turn_are_counted(loaded, index, photos):
    def lose(done, total):
        (photos / "p9.png").unlink(missing_ok=True)

    report = IndexBuilder(index, loaded, batch_size=2, workers=1).build([photos], progress=lose)
    assert (report.added, report.vanished, report.awaited) == (9, 1, 0)
