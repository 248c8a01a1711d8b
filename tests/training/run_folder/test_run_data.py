"""What a run keeps of its data: it goes on with the same ones alone, and does not look at them twice."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from cocasearch.captioned_data import CaptionedImage
from cocasearch.errors import CocaSearchError
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.splitting import Excluded
from cocasearch.training.data.training_sources import Columns, DataListener, split
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.run_folder.run_data import RunData
from cocasearch.training.train_job import TrainingRequest, train

FEW_STEPS = TrainingConfig().changed(epochs=1, batch_size=6, optimizer="adamw", frozen_epochs=0, precision="float32")


@pytest.fixture
def drawn(more_drawings) -> list[CaptionedImage]:
    """Drawings of 18 kinds, of which no two are taken for the same."""
    pictures: list[CaptionedImage] = more_drawings(18)
    return pictures


@pytest.fixture
def data(csv_of, drawn, tmp_path: Path) -> Path:
    file: Path = csv_of(tmp_path / "photos", drawn)
    return file


def stop(progress: TrainingProgress) -> None:
    raise KeyboardInterrupt


def without(word: str) -> Callable[[list[str]], list[str]]:
    return lambda rows: [row for row in rows if word not in row]


@pytest.mark.parametrize(
    ("edited", "words"),
    [
        (lambda rows: [*rows, "more.png,a new one"], r"photos are new: 1 \(more.png\)"),
        (without("red-square-0"), r"photos are gone: 1 \(red-square-0.png\)"),
        (
            lambda rows: [row.replace("the circle", "a circle") for row in rows],
            r"photos have other captions: 6 \(red-c",
        ),
        (lambda rows: [rows[0], *rows[:0:-1]], r"photos have other captions: 18 "),  # in another order
        (lambda rows: [rows[0], *rows[4:], *rows[1:4]], "its rows are in another order"),
        (lambda rows: [rows[0], *rows[4:], "more.png,a new one"], r"photos are new: 1 .*, photos are gone: 1"),
    ],
)
def test_data_that_changed_while_a_run_was_stopped_are_told(
    data: Path, model_folder: Path, tmp_path: Path, edited: Callable[[list[str]], list[str]], words: str
) -> None:
    (data.parent / "more.png").write_bytes((data.parent / "red-square-0.png").read_bytes() + b"other")
    request = TrainingRequest([data], tmp_path / "m", model=str(model_folder), validation=None)
    with pytest.raises(KeyboardInterrupt):
        train(request, FEW_STEPS, progress=stop, device="cpu")
    before = data.read_text()
    data.write_text("\n".join(edited(before.splitlines())))
    with pytest.raises(CocaSearchError, match=rf"captions\.csv has changed since .*m\.run began .*: {words}") as caught:
        train(request, FEW_STEPS, device="cpu")
    assert "put it back" in str(caught.value.hint)
    assert "--out NEW_FOLDER" in str(caught.value.hint)
    data.write_text(before)
    steps: list[int] = []
    train(request, FEW_STEPS, progress=lambda progress: steps.append(progress.step), device="cpu")
    assert steps[0] == 2


def test_a_picture_that_changed_while_a_run_was_stopped_is_told(
    data: Path, csv_of, more_drawings, model_folder: Path, tmp_path: Path
) -> None:
    validation = csv_of(tmp_path / "others", more_drawings(3, first=300))
    request = TrainingRequest([data], tmp_path / "m", model=str(model_folder), validation=validation)
    with pytest.raises(KeyboardInterrupt):
        train(request, FEW_STEPS, progress=stop, device="cpu")
    picture = next(validation.parent.glob("*.png"))
    picture.write_bytes(picture.read_bytes() + b"more")
    with pytest.raises(CocaSearchError, match=rf"others.*photos have another size: 1 \({picture.name}\)"):
        train(request, FEW_STEPS, device="cpu")


def test_a_damaged_checkpoint_is_told_and_a_damaged_note_of_the_data_is_written_anew(
    data: Path, model_folder: Path, tmp_path: Path
) -> None:
    request = TrainingRequest([data], tmp_path / "m", model=str(model_folder))
    with pytest.raises(KeyboardInterrupt):
        train(request, FEW_STEPS, progress=stop, device="cpu")
    note, checkpoint = (tmp_path / "m.run" / name for name in ("data.jsonl", "checkpoint.pt"))
    whole = note.read_bytes()
    note.write_bytes(whole[:40])
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(CocaSearchError, match=r"checkpoint\.pt is damaged") as caught:
        train(request, FEW_STEPS, device="cpu")
    assert note.read_bytes() == whole
    assert caught.value.hint == f"delete {checkpoint} to start anew"
    checkpoint.unlink()
    assert train(request, FEW_STEPS, device="cpu").steps == 2


def test_data_may_change_before_anything_is_learned_from_them(data: Path, model_folder: Path, tmp_path: Path) -> None:
    request = TrainingRequest([data], tmp_path / "m", model=str(model_folder))
    refused = FEW_STEPS.changed(contrastive_weight=0.0, caption_weight=0.0)
    with pytest.raises(CocaSearchError, match="no loss has a weight"):
        train(request, refused, device="cpu")
    data.write_text("\n".join(data.read_text().splitlines()[:-6]))
    assert train(request, FEW_STEPS, device="cpu").steps == 2


def test_pictures_are_compared_once(data: Path, tmp_path: Path) -> None:
    def compare(out: Path = tmp_path / "m") -> tuple[list[str], list[str], Excluded]:
        seen: list[str] = []
        told: list[Excluded] = []
        listener = DataListener(excluded=told.append, progress=lambda what, _done, _total: seen.append(what))
        columns = Columns(listener=listener)
        (kept,), _ = split([columns.read(data)], None, columns, TrainingConfig().changed(held_out=3), RunData(out))
        return seen, [image.key for image in kept], told[0]

    seen, kept, left_out = compare()
    assert seen == ["comparing photos", "comparing those held out"]
    torn = data.parent / kept[0]
    torn.write_bytes(bytes(len(torn.read_bytes())))  # would be named, if it were looked at
    assert compare() == ([], kept, left_out)
    assert [key for key, _ in compare(tmp_path / "other")[2].unreadable] == [torn.name]
    (tmp_path / "m.run" / "alike.json").write_text("{")
    assert compare()[0] == seen
    data.write_text(data.read_text().replace("the circle", "a circle"))
    assert compare()[0] == seen


def test_all_that_is_left_out_is_listed(data: Path, drawn, tmp_path: Path) -> None:
    folder = data.parent
    (folder / "again.png").write_bytes((folder / drawn[0].key).read_bytes())
    (folder / "torn.png").write_bytes(b"torn")
    rows = ["again.png,again", "torn.png,torn", "gone.png,gone", f"{drawn[1].key},"]
    data.write_text(data.read_text() + "\n".join(rows))
    validation = folder / "val.csv"
    validation.write_text(f"filepath,title\n{drawn[2].key},a thing\n{drawn[9].key},a thing\n")
    listed: list[tuple[Path, int]] = []
    columns = Columns(listener=DataListener(listed=lambda file, count: listed.append((file, count))))
    split([columns.read(data)], validation, columns, TrainingConfig(), RunData(tmp_path / "m"))
    file = tmp_path / "m.run" / "excluded.csv"
    with file.open(encoding="utf-8", newline="") as stream:
        found = [(row["photo_or_row"], row["reason"]) for row in csv.DictReader(stream)]
    assert found[:3] == [
        (f"row 58 of {data}", "no caption"),
        ("gone.png", "no such file"),
        ("again.png", f"the same bytes as {drawn[0].key}"),
    ]
    assert (drawn[2].key, f"measured on, byte for byte, as {drawn[2].key}") in found
    assert found[-1] == ("torn.png", "not an image that can be read")
    assert listed == [(file, len(found))]
    data.write_text("\n".join(data.read_text().splitlines()[:-4]))
    (folder / "val.csv").write_text("filepath,title\n")
    columns = Columns()
    split([columns.read(data)], None, columns, TrainingConfig().changed(held_out=0), RunData(tmp_path / "m"))
    assert not file.exists()
