import csv
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.inference.caption_files.caption_sinks import CaptionFile, CaptionRecord


def record(name: str, model: str = "tiny@1", caption: str = 'a "red", square\u2028') -> CaptionRecord:
    return CaptionRecord(f"/photos/{name}", caption, 0.5, None, model, '{"num_beams": 3}')


def run(file: Path, *records: CaptionRecord, finish: bool = True, overwrite: bool = False) -> list[str]:
    """Names of the images that a run of these records had to caption."""
    sink = CaptionFile(file, overwrite=overwrite)
    wanted = [record for record in records if not sink.has(Path(record.path), record.model, record.decoding)]
    for record in wanted:
        sink.add(record)
    if finish:
        sink.finish()
    return [Path(record.path).name for record in wanted]


def rows(file: Path) -> list[CaptionRecord]:
    return list(CaptionFile(file)._records.values())


@pytest.fixture(params=[".parquet", ".csv", ".jsonl"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"captions{request.param}"


def test_a_finished_file_gives_its_rows_back_and_takes_more(file: Path) -> None:
    assert run(file, record("b.jpg")) == ["b.jpg"]
    assert run(file, record("b.jpg", caption="other words"), record("a.jpg")) == ["a.jpg"]
    assert rows(file) == [record("a.jpg"), record("b.jpg")]


def test_a_file_holds_nothing_that_its_run_was_not_asked_for(file: Path) -> None:
    run(file, record("a.jpg"), record("b.jpg", "other@2"), finish=False)
    assert run(file, record("c.jpg")) == ["c.jpg"]
    assert rows(file) == [record("c.jpg")]
    assert run(file, record("a.jpg")) == []  # what the stopped run did is not lost either
    assert rows(file) == [record("a.jpg"), record("c.jpg")]


def test_captions_made_in_another_way_are_not_mixed(file: Path) -> None:
    run(file, record("a.jpg"))
    with pytest.raises(CocaSearchError, match="another model or with other options") as refused:
        run(file, record("b.jpg", "other@2"))
    assert "--overwrite" in str(refused.value.hint)
    assert run(file, record("b.jpg", "other@2"), overwrite=True) == ["b.jpg"]
    assert rows(file) == [record("b.jpg", "other@2")]


def test_a_file_of_something_else_is_not_added_to(file: Path) -> None:
    file.write_text("filepath,title\n1.jpg,mine\n")
    with pytest.raises(CocaSearchError, match="is no file of captions that can be added to"):
        CaptionFile(file)
    with pytest.raises(CocaSearchError, match="and stays as it is"):
        CaptionFile(file, overwrite=True)
    assert file.read_text().startswith("filepath")


def test_a_file_beside_of_the_users_stays(file: Path) -> None:
    mine = file.with_name(f"{file.name}.partial")
    mine.write_text("mine")
    run(file, record("a.jpg"), finish=False)
    run(file, record("a.jpg"))
    assert mine.read_text() == "mine"
    assert {path.name for path in file.parent.iterdir()} == {file.name, mine.name}


def test_a_file_from_before_confidences_is_added_to(file: Path) -> None:
    run(file, replace(record("a.jpg"), caption_confidence=0.25))
    if file.suffix == ".parquet":
        pq.write_table(pq.read_table(file).drop_columns(["caption_confidence"]), file)
    elif file.suffix == ".csv":
        with file.open(newline="") as text:
            table = [row[:-1] for row in csv.reader(text)]
        with file.open("w", newline="") as text:
            csv.writer(text).writerows(table)
    else:
        row = json.loads(file.read_text())
        del row["caption_confidence"]
        file.write_text(json.dumps(row) + "\n")
    later = replace(record("b.jpg"), caption_confidence=0.75)
    assert run(file, record("a.jpg"), later) == ["b.jpg"]
    assert rows(file) == [record("a.jpg"), later]


def test_a_file_of_sure_captions_is_no_file_with_others(file: Path) -> None:
    unsure = replace(record("a.jpg"), caption_confidence=0.25)
    run(file, unsure, finish=False)  # what a run without the wish has left
    sink = CaptionFile(file, only_sure=True)
    assert not sink.has(Path(unsure.path), unsure.model, unsure.decoding)
    run(file, unsure)
    with pytest.raises(CocaSearchError, match="holds unsure captions"):
        CaptionFile(file, only_sure=True)
    CaptionFile(file, only_sure=True, overwrite=True)


def test_an_image_folder_names_photos_of_its_own_folder_alone(file: Path) -> None:
    run(file, record("elsewhere.jpg"))
    with pytest.raises(CocaSearchError, match=r"where elsewhere\.jpg does not lie"):
        CaptionFile(file, layout="imagefolder")
    CaptionFile(file, layout="imagefolder", overwrite=True)
