import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from cocasearch.checkpoints.confidence_file import ConfidenceModel
from cocasearch.errors import CocaSearchError
from cocasearch.indexing.builder import IndexBuilder
from cocasearch.indexing.edit.caption_filling import CaptionFiller
from cocasearch.indexing.repair.verification import verify_index
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.store.records import StoredCaption
from cocasearch.indexing.summary import summarise_index
from cocasearch.inference.generation.caption_options import DEFAULT_OPTIONS, CaptionOptions
from cocasearch.lock import writer_lock
from cocasearch.search.searcher import Searcher


@pytest.fixture
def bare(index, photos, loaded):
    """An index of ten photos without captions."""
    IndexBuilder(index, loaded, caption_options=None).build([photos])
    return index


@pytest.fixture
def filler(bare, loaded):
    return CaptionFiller(bare, loaded, DEFAULT_OPTIONS, batch_size=3, commit_seconds=0)


@pytest.fixture
def calibrated(loaded):
    """The same model, calibrated for captions by the default options; all of them are a little more than even."""
    options = loaded.complete(DEFAULT_OPTIONS).to_dict()
    zero, one = (0.0,) * 3, (1.0,) * 3
    return replace(loaded, confidence=ConfidenceModel(0.4, zero, zero, one, options, loaded.fingerprint, 100, "d", ()))


def stop(done, total):
    raise KeyboardInterrupt


def test_captions_are_those_of_an_index_made_with_them_and_all_else_stays(
    bare, photos, loaded, filler, rows, encoded, tmp_path
):
    before = rows(bare)
    encoded.since_last_look()
    report = filler.fill()
    assert (report.written, report.captions, report.outdated, report.failed) == (10, 10, 0, [])
    assert encoded.since_last_look() == 10
    IndexBuilder(tmp_path / "whole", loaded).build([photos])
    whole = {row["path"]: row for row in rows(tmp_path / "whole")}
    for row, bare_row in zip(rows(bare), before, strict=True):
        caption = {name: row.pop(name) for name in StoredCaption._fields}
        assert row == {name: bare_row[name] for name in row}
        assert caption["caption"] == whole[row["path"]]["caption"] and caption["caption_by"] == "model"
        for name in ("caption_score", "caption_logprob"):
            assert np.isclose(caption[name], whole[row["path"]][name], atol=1e-5)
    assert all(hit.caption for hit in Searcher(bare, loaded).search("red"))
    assert verify_index(bare).problems == ()
    encoded.since_last_look()
    assert (filler.fill().written, encoded.since_last_look()) == (0, 0)


def test_a_row_of_an_unknown_root_gets_no_caption(filler, bare, set_in_table):
    set_in_table(bare, "path = 'p1.png'", root="7")
    report = filler.fill()
    assert (report.written, report.outdated) == (9, 1)


def test_a_stopped_run_keeps_its_captions_and_the_next_writes_the_others(filler, rows, bare, encoded):
    encoded.since_last_look()
    with pytest.raises(KeyboardInterrupt):
        filler.fill(progress=stop)
    assert sum(row["caption"] is not None for row in rows(bare)) == 3
    assert filler.fill().written == 7
    assert encoded.since_last_look() == 10


def test_how_captions_are_written_is_noted_before_they_are_and_once(filler, bare, loaded):
    assert read_manifest(bare).caption_settings == ()
    with pytest.raises(KeyboardInterrupt):
        filler.fill(progress=stop)
    filler.fill()
    assert read_manifest(bare).caption_settings == (CaptionOptions(rerank=4.0).to_dict(),)


def test_photos_that_changed_went_or_broke_are_left_as_they_are(filler, photos, draw, rows, bare):
    draw(photos / "p1.png", 50)
    (photos / "p2.png").unlink()
    stamp = (photos / "p3.png").stat()
    (photos / "p3.png").write_bytes(b"\0" * stamp.st_size)
    os.utime(photos / "p3.png", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    report = filler.fill()
    assert (report.written, report.outdated) == (7, 2)
    assert [path for path, _ in report.failed] == [str(photos / "p3.png")]
    assert [row["path"] for row in rows(bare) if row["caption"] is None] == ["p1.png", "p2.png", "p3.png"]


def test_another_model_and_another_writer_are_refused(bare, filler, other_model):
    with pytest.raises(CocaSearchError, match="was built with model"):
        CaptionFiller(bare, other_model, DEFAULT_OPTIONS).fill()
    with writer_lock(bare), pytest.raises(CocaSearchError, match="is being written by"):
        filler.fill()


def test_an_index_that_moved_is_filled_where_it_is(bare, photos, loaded, tmp_path):
    (tmp_path / "far" / "indexes").mkdir(parents=True)
    shutil.move(bare, tmp_path / "far" / "indexes" / "holiday")
    shutil.move(photos, tmp_path / "far" / "photos")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "indexes" / "holiday")
    assert CaptionFiller(tmp_path / "link", loaded, DEFAULT_OPTIONS).fill().written == 10
    assert read_manifest(tmp_path / "far" / "indexes" / "holiday").table == "images-1"


def test_the_manifest_tells_how_the_captions_of_its_table_were_written(index, photos, loaded, draw):
    def build(options, **more):
        IndexBuilder(index, loaded, caption_options=options).build([photos], **more)
        return [CaptionOptions(**settings) for settings in read_manifest(index).caption_settings]

    default, greedy = CaptionOptions(rerank=4.0), CaptionOptions("greedy", rerank=4.0)
    assert build(CaptionOptions()) == [default]
    assert build(CaptionOptions("greedy")) == [default]  # there was nothing to write
    draw(photos / "new.png", 50)
    assert build(None) == [default]
    draw(photos / "newer.png", 51)
    assert build(CaptionOptions("greedy")) == [default, greedy]
    assert build(CaptionOptions("greedy"), rebuild=True) == [greedy]


def test_captions_from_before_the_calibration_get_a_confidence_and_stay(
    index, photos, loaded, calibrated, rows, set_in_table, encoded
):
    IndexBuilder(index, loaded).build([photos])
    set_in_table(index, "path = 'p1.png'", caption="mine", caption_by="human")
    before, words = rows(index), [row["caption"] for row in rows(index)]
    filler = CaptionFiller(index, calibrated, DEFAULT_OPTIONS, batch_size=3, commit_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        filler.fill(progress=stop)
    report = filler.fill()
    assert (report.written, report.judged, report.unjudged, report.captions) == (0, 6, 0, 10)  # 3 before the stop
    after = rows(index)
    assert [row["caption"] for row in after] == words
    assert [row["path"] for row in after if row["caption_confidence"] is None] == ["p1.png"]
    confidences = {row["caption_confidence"] for row in after} - {None}
    assert len(confidences) == 1 and confidences.pop() == pytest.approx(0.5987, abs=1e-4)
    for old, new in zip(before, after, strict=True):
        assert new["embedding"] == old["embedding"] and new["caption_by"] == old["caption_by"]
    summary = summarise_index(index)
    assert (summary.captions, summary.judged, summary.by_people, summary.unsure) == (10, 9, 1, 0)
    assert verify_index(index).problems == ()
    encoded.since_last_look()
    assert (filler.fill().judged, encoded.since_last_look()) == (0, 0)


def test_captions_that_may_have_been_written_in_another_way_are_left_alone(index, photos, loaded, calibrated, draw):
    IndexBuilder(index, loaded, caption_options=CaptionOptions("greedy")).build([photos])
    draw(photos / "new.png", 50)
    IndexBuilder(index, calibrated).build([photos])
    report = CaptionFiller(index, calibrated, DEFAULT_OPTIONS).fill()
    assert (report.judged, report.unjudged) == (0, 10)
    assert CaptionFiller(index, calibrated, CaptionOptions("greedy")).fill().judged == 0
    assert CaptionFiller(index, loaded, DEFAULT_OPTIONS).fill().unjudged == 0
