"""What a person decides about captions: taken back into an index, and kept by whatever runs later."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.indexing.builder import IndexBuilder
from cocasearch.indexing.edit.caption_filling import CaptionFiller
from cocasearch.indexing.edit.caption_review import ReviewReport, apply_corrections, write_unsure
from cocasearch.indexing.edit.human_captions import HumanCaptions
from cocasearch.indexing.exchange.index_export import export_file
from cocasearch.indexing.repair.verification import verify_index
from cocasearch.indexing.snapshot.snapshot_files import find_snapshot, open_snapshot
from cocasearch.indexing.store.manifest import read_manifest
from cocasearch.indexing.store.records import StoredCaption, record_id
from cocasearch.indexing.store.row_filters import AWAITING_CAPTION, BY_PEOPLE, UNSURE
from cocasearch.indexing.store.table import IndexTable
from cocasearch.indexing.store.versions import latest_version
from cocasearch.indexing.summary import summarise_index
from cocasearch.inference.generation.caption_options import DEFAULT_OPTIONS
from cocasearch.lock import writer_lock
from cocasearch.search.searcher import Searcher


def open_table(index):
    return IndexTable(index, read_manifest(index).table)


@pytest.fixture
def judged(build, photos, index):
    """Ten photos, p0 to p3 with unsure captions, p3's the worst, and the others with sure ones."""
    build(photos)
    open_table(index).set_captions(
        {
            record_id("1", f"p{at}.png"): StoredCaption(
                f"a zebra {at}", 0.5, -1.0, (0.4 - at / 10, 0.9)[at > 3], "model"
            )
            for at in range(10)
        }
    )
    open_snapshot(index, read_manifest(index).table)
    return index


@pytest.fixture
def file(tmp_path):
    return tmp_path / "review.csv"


@pytest.fixture
def review(judged, file):
    """Writes the unsure captions, lets a person change the rows by the names of their photos, and takes them back."""

    def run(**changes):
        write_unsure(judged, file, overwrite=True)
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = list(csv.DictReader(text))
        for row in rows:
            row.update(changes.get(Path(row["path"]).stem, {}))
        with file.open("w", encoding="utf-8", newline="") as text:
            writer = csv.DictWriter(text, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    return run


@pytest.fixture
def decided(judged, review, file):
    """The same after a person has corrected p1, confirmed p2 and emptied p3."""
    review(p1={"caption": "a giraffe"}, p2={"right": "yes"}, p3={"caption": ""})
    assert apply_corrections(judged, file) == ReviewReport(changed=2, confirmed=1, unchanged=1, not_found=0)
    return judged


def captions(index, with_missing=False):
    names = ["path", *StoredCaption._fields]
    batches = open_table(index).batches(names, with_missing=with_missing)
    rows = [row for batch in batches for row in batch.to_pylist()]
    return {row.pop("path").removesuffix(".png"): tuple(row.values()) for row in rows}


CORRECTED = ("a giraffe", None, None, None, "human")
EMPTIED = (None, None, None, None, "human")


def test_unsure_captions_are_written_the_worst_first(judged, photos, file):
    assert write_unsure(judged, file) == 4
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = list(csv.DictReader(text))
    assert [row["path"] for row in rows] == [str(photos / f"p{at}.png") for at in (3, 2, 1, 0)]
    assert [row["caption_confidence"] for row in rows] == ["0.1", "0.2", "0.3", "0.4"]
    assert [row["caption"] for row in rows] == [f"a zebra {at}" for at in (3, 2, 1, 0)]


def test_a_file_that_may_hold_corrections_is_not_replaced_by_itself(judged, file):
    file.write_text("mine")
    with pytest.raises(CocaSearchError, match="exists already") as refused:
        write_unsure(judged, file)
    assert "--apply" in refused.value.hint and file.read_text() == "mine"


def test_an_index_without_unsure_captions_writes_no_file(build, photos, index, file):
    build(photos)
    with pytest.raises(NothingFound, match="no unsure captions: none of its captions has a confidence"):
        write_unsure(index, file)
    assert not file.exists()


def test_what_a_person_decided_is_stored_in_one_step_and_searched(judged, review, file, loaded):
    before, version = captions(judged), latest_version(judged, "images-1")
    review(p1={"caption": "a giraffe"}, p2={"right": "yes"}, p3={"caption": ""})
    assert apply_corrections(judged, file) == ReviewReport(2, 1, 1, 0)
    assert latest_version(judged, "images-1") == version + 1
    assert find_snapshot(judged, "images-1", version + 1)
    after = captions(judged)
    confirmed = ("a zebra 2", 0.5, -1.0, None, "human")
    assert after == before | {"p1": CORRECTED, "p2": confirmed, "p3": EMPTIED}
    searcher = Searcher(judged, loaded)
    assert [hit.relative_path for hit in searcher.search("giraffe", mode="text")] == ["p1.png"]
    zebras = {hit.relative_path for hit in searcher.search("zebra", 20, mode="text")}
    assert zebras == {f"p{at}.png" for at in (2, *range(4, 10))}
    assert (open_table(judged).count(UNSURE), open_table(judged).count(BY_PEOPLE)) == (1, 2)
    assert (summarise_index(judged).unsure, summarise_index(judged).by_people) == (1, 2)
    assert verify_index(judged).problems == ()


def test_taking_back_the_same_again_changes_nothing(decided, file):
    version = latest_version(decided, "images-1")
    assert apply_corrections(decided, file) == ReviewReport(0, 0, 4, 0)
    assert latest_version(decided, "images-1") == version


def test_an_older_file_does_not_undo_what_a_person_decided_later(judged, review, file):
    write_unsure(judged, file)
    older = file.with_name("older.csv")
    shutil.copy(file, older)
    review(p1={"caption": "a giraffe"})
    apply_corrections(judged, file)
    assert apply_corrections(judged, older) == ReviewReport(0, 0, 4, 0)
    assert captions(judged)["p1"] == CORRECTED


def test_a_bad_file_changes_nothing(judged, review, file):
    review(p1={"caption": "a giraffe"}, p2={"right": "perhaps"})
    before = {path: path.stat().st_mtime_ns for path in judged.rglob("*")}
    with pytest.raises(CocaSearchError, match="'perhaps' in the column 'right'"):
        apply_corrections(judged, file)
    assert {path: path.stat().st_mtime_ns for path in judged.rglob("*")} == before


def test_another_writer_is_waited_for(judged, review, file):
    review(p1={"caption": "a giraffe"})
    with writer_lock(judged), pytest.raises(CocaSearchError, match="is being written by"):
        apply_corrections(judged, file)


def test_photos_that_moved_meanwhile_are_found_and_those_that_changed_are_not(
    judged, review, file, photos, build, draw
):
    review(p0={"caption": "a hare"}, p1={"caption": "a giraffe"}, p2={"right": "yes"})
    (photos / "sub").mkdir()
    (photos / "p1.png").rename(photos / "sub" / "x.png")
    draw(photos / "p2.png", 77)
    (photos / "p3.png").unlink()
    build(photos)
    lost = (str(photos / "p2.png"),)
    report = ReviewReport(changed=2, confirmed=0, unchanged=1, not_found=1, lost=lost)
    assert apply_corrections(judged, file) == report
    after = captions(judged, with_missing=True)
    assert after["sub/x"] == CORRECTED and after["p0"][0] == "a hare" and after["p2"][4] == "model"


def test_moved_copied_and_touched_photos_keep_what_a_person_decided(decided, photos, build, encoded):
    encoded.since_last_look()
    (photos / "p1.png").rename(photos / "moved.png")
    shutil.copy(photos / "p2.png", photos / "copied.png")
    os.utime(photos / "p3.png", ns=(1, 1))
    report = build(photos)
    assert (report.moved, report.copied, report.touched, encoded.since_last_look()) == (1, 1, 1, 0)
    after = captions(decided)
    assert after["moved"] == CORRECTED and after["p3"] == EMPTIED
    assert after["copied"] == after["p2"] == ("a zebra 2", 0.5, -1.0, None, "human")


def test_captions_that_an_index_lacks_are_not_those_that_a_person_took_away(decided, loaded, photos, build):
    report = CaptionFiller(decided, loaded, DEFAULT_OPTIONS).fill()
    assert (report.written, report.captions) == (0, 9)
    assert build(photos).captionless == 0
    assert captions(decided)["p3"] == EMPTIED
    assert (open_table(decided).count_without_caption(), open_table(decided).count(AWAITING_CAPTION)) == (1, 0)


@pytest.mark.parametrize("same", [True, False], ids=["same-model", "other-model"])
def test_a_rebuild_keeps_the_captions_of_people_and_writes_the_others_anew(decided, loaded, other_model, photos, same):
    before, model = captions(decided), loaded if same else other_model
    (photos / "p1.png").rename(photos / "moved.png")
    IndexBuilder(decided, model).build([photos], rebuild=True)
    after = captions(decided)
    assert (after["moved"], after["p3"], after["p2"]) == (CORRECTED, EMPTIED, ("a zebra 2", None, None, None, "human"))
    assert {after[f"p{at}"][4] for at in (0, *range(4, 10))} == {"model"}
    assert all(after[f"p{at}"][0] != before[f"p{at}"][0] for at in (0, *range(4, 10)))
    assert read_manifest(decided).model_fingerprint == model.fingerprint
    assert verify_index(decided).problems == ()


def test_what_a_person_decides_beside_a_stopped_rebuild_is_in_it_as_well(
    judged, review, file, stopped_rebuild, other_model, photos
):
    builder = stopped_rebuild(other_model, [photos], after=6)
    review(p1={"caption": "a giraffe"}, p3={"caption": ""})
    assert apply_corrections(judged, file).changed == 2
    assert captions(judged)["p1"] == CORRECTED
    builder.build([photos], rebuild=True)
    after = captions(judged)
    assert (after["p1"], after["p3"]) == (CORRECTED, EMPTIED)
    assert read_manifest(judged).model_fingerprint == other_model.fingerprint


def test_a_file_that_has_been_saved_anew_keeps_its_caption_while_it_looks_the_same(decided, photos, build, encoded):
    encoded.since_last_look()
    with (photos / "p1.png").open("ab") as png:
        png.write(b"a title")  # behind the picture
    assert build(photos).updated == 1
    assert encoded.since_last_look() == 1
    assert captions(decided)["p1"] == CORRECTED


def test_another_picture_in_the_place_of_one_gets_its_own_caption(table, record):
    rng = np.random.default_rng(0)
    old = record("0.png", 0)
    other = rng.normal(size=8)
    other -= other @ old.embedding * old.embedding
    table.set_captions({old.id: StoredCaption("by hand", caption_by="human")})
    known = HumanCaptions(table)
    for cosine, kept in ((0.99, "by hand"), (0.9, "new")):
        vector = cosine * old.embedding + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other)
        new = record("0.png", caption="new", caption_by="model", content_hash="1" * 32, embedding=vector)
        assert known.keep(new).caption == kept
    renamed = record("renamed.png", 3, caption="new", content_hash=old.content_hash)
    assert known.keep(renamed).caption_by == "human"
    assert known.keep(record("1.png", 1, caption="new", content_hash="2" * 32)).caption == "new"


def test_an_export_has_the_words_of_people_and_who_wrote_them(decided, tmp_path):
    import pyarrow.parquet as pq

    export_file(decided, tmp_path / "all.parquet", only_sure=True)
    rows = {row["relative_path"]: row for row in pq.read_table(tmp_path / "all.parquet").to_pylist()}
    assert rows.keys() == {f"p{at}.png" for at in range(1, 10)}  # p0 is unsure still
    assert (rows["p1.png"]["caption"], rows["p1.png"]["caption_by"]) == ("a giraffe", "human")
    assert (rows["p3.png"]["caption"], rows["p3.png"]["caption_by"]) == (None, "human")
