"""What is left of a run besides its model: facts, curves, reports, and copies that it can go on from elsewhere."""

import importlib.util
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from object_store_server import serving
from PIL import Image

from cocasearch.captioned_data import CaptionedImage
from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError, CocaSearchWarning
from cocasearch.training.config import TrainingConfig
from cocasearch.training.run_folder import remote_sync
from cocasearch.training.run_folder.curves import draw_curves
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.run_folder.remote_sync import RemoteSync, bring_back
from cocasearch.training.run_folder.reporters import open_reporter, scalars
from cocasearch.training.run_folder.run_record import Reporting, data_fingerprint, run_facts
from cocasearch.training.step.schedule import rate_share
from cocasearch.training.train_job import TrainingRequest, train

FEW_STEPS = TrainingConfig().changed(
    epochs=2, batch_size=6, frozen_blocks=1, held_out=4, validations=2, checkpoint_minutes=0, keep_near=True
)


@pytest.fixture
def data(csv_of, more_drawings, tmp_path: Path) -> Path:
    return csv_of(tmp_path / "photos", more_drawings(24))


CAPTION, CONTRASTIVE = (31, 119, 180), (255, 127, 14)  # matplotlib's first colours, curves by their names


def is_near(pixel: tuple[int, ...], color: tuple[int, ...]) -> bool:
    return all(abs(one - other) < 40 for one, other in zip(pixel, color, strict=False))


def request(data: Path, model_folder: Path, out: Path, **reporting: object) -> TrainingRequest:
    return TrainingRequest([data], out, model=str(model_folder), reporting=Reporting(**reporting))


def test_run_folder_says_how_the_model_came_about(data: Path, model_folder: Path, tmp_path: Path) -> None:
    train(request(data, model_folder, tmp_path / "m"), FEW_STEPS, device="cpu")
    run = json.loads((tmp_path / "m.run" / "run.json").read_text())
    assert (run["job"], run["seed"], run["config"]["batch_size"]) == ("train", 0, 6)
    assert run["command"]
    assert run["data"][str(data)]["pictures"] == 20
    assert run["data"]["held out"]["pictures"] == 4
    assert run["environment"]["packages"]["torch"].startswith("2.")
    assert run["environment"]["threads"] >= 1
    if importlib.util.find_spec("matplotlib"):
        with Image.open(tmp_path / "m.run" / "curves.png") as curves:
            assert curves.size == (900, 720)  # losses and recall


def test_fingerprint_of_data_changes_with_any_caption_picture_or_order(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1234")
    images = [CaptionedImage(tmp_path / "a.png", "a", ("a dog",)), CaptionedImage(b"picture", "b", ("a cat", "two"))]
    before = data_fingerprint(images)
    assert before == data_fingerprint(images)
    changed = [
        images[::-1],
        images[:1],
        [images[0], replace(images[1], captions=("a cat", "three"))],
        [images[0], replace(images[1], image=b"another")],
    ]
    assert before not in {data_fingerprint(other) for other in changed}
    (tmp_path / "a.png").write_bytes(b"12345")
    assert data_fingerprint(images) != before


def test_curves_go_where_the_log_says(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")

    def height_at_the_end(values: list[float]) -> float:
        entries = [
            {"step": step, "losses": {"contrastive": value, "caption": 4.0, "name": 0.0}}
            for step, value in enumerate(values, start=1)
        ]
        (tmp_path / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
        draw_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")
        with Image.open(tmp_path / "curves.png") as picture:
            assert picture.size == (900, 360)  # nothing was validated
            orange = [y for y in range(360) if is_near(picture.getpixel((820, y)), CAPTION)]
            rows = [y for y in range(360) if is_near(picture.getpixel((820, y)), CONTRASTIVE)]
        return mean(rows) - mean(orange)

    low, high = height_at_the_end([4.0] * 30 + [1.0] * 60), height_at_the_end([4.0] * 30 + [3.0] * 60)
    assert low == pytest.approx(3 * high, rel=0.05)  # three quarters and a quarter below the other curve
    assert high > 40


def test_curves_are_left_out_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 1, "losses": {"caption": 4.0}}) + "\n")
    draw_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_every_step_and_validation(data: Path, model_folder: Path, tmp_path: Path) -> None:
    accumulation = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    told: list[TrainingProgress] = []
    train(
        request(data, model_folder, tmp_path / "m", to=["tensorboard"]), FEW_STEPS, progress=told.append, device="cpu"
    )
    events = accumulation.EventAccumulator(str(tmp_path / "m.run" / "tensorboard"))
    events.Reload()
    losses = events.Scalars("loss/contrastive")
    assert [event.step for event in losses] == [progress.step for progress in told]
    assert [event.value for event in losses] == pytest.approx([progress.losses["contrastive"] for progress in told])
    recalls = {event.step: event.value for event in events.Scalars("held_out/text_to_image/recall@10")}
    assert recalls == pytest.approx(
        {
            progress.step: scalars(progress)["held_out/text_to_image/recall@10"]
            for progress in told
            if progress.validation
        }
    )


def test_tensorboard_shows_no_step_twice_that_a_killed_run_took_before(tmp_path: Path) -> None:
    accumulation = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for steps in (range(1, 6), range(4, 8)):
        with open_reporter("tensorboard", tmp_path, {}) as reporter:
            for step in steps:
                reporter.add(TrainingProgress(step, 7, {"contrastive": 0.5, "caption": 0.25}, 10.0, 1.0))
    events = accumulation.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss/caption")] == list(range(1, 8))


def test_log_has_rates_logit_scale_and_total_loss(runs, tmp_path: Path) -> None:
    trainer = runs.plain(tmp_path / "model", encoder_learning_rate=1e-4, contrastive_weight=2.0, warmup=0.5)
    told: list[TrainingProgress] = []
    trainer.progress = told.append
    trainer.run()
    lines = [json.loads(line) for line in (tmp_path / "model.run" / "log.jsonl").read_text().splitlines()]
    config = trainer.config
    peaks = {
        "muon": config.optimization.muon_learning_rate,
        "rest": config.optimization.learning_rate,
        "image_encoder": 1e-4,
    }
    for number, (line, progress) in enumerate(zip(lines, told, strict=True)):
        rates = {name: rate_share(config, number, 4) * peak for name, peak in peaks.items()}
        assert line["rates"] == pytest.approx(rates)
        weighted = 2 * line["losses"]["contrastive"] + line["losses"]["caption"]
        assert line["total_loss"] == pytest.approx(weighted, rel=1e-4)
        shown = scalars(progress)
        assert shown["rate/image_encoder"] == line["rates"]["image_encoder"]
        assert (shown["loss/total"], shown["logit_scale"]) == (line["total_loss"], line["logit_scale"])
    assert lines[-1]["logit_scale"] == pytest.approx(trainer.model.logit_scale.exp().item())


@pytest.mark.filterwarnings("ignore")
def test_weights_and_biases_gets_a_run_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with open_reporter("wandb", tmp_path / "m.run", {"config": {"epochs": 2}}) as reporter:
        reporter.add(TrainingProgress(1, 2, 0.5, 0.25, 0.0, 0.0, 10.0, 1.0))
    assert list((tmp_path / "m.run" / "wandb").glob("offline-run-*/*.wandb"))


def test_missing_reporter_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with (
        pytest.raises(CocaSearchError, match="wandb is not installed; it comes with the extra 'wandb'") as caught,
        open_reporter("wandb", tmp_path, {}),
    ):
        pass
    assert caught.value.hint == "pip install 'cocasearch[wandb]'"
    with pytest.raises(CocaSearchError, match="cannot be reported to 'mlflow'"), open_reporter("mlflow", tmp_path, {}):
        pass


def test_two_runs_do_not_write_one_model(data: Path, model_folder: Path, tmp_path: Path) -> None:
    def another(progress: TrainingProgress) -> None:
        record = (tmp_path / "m.run" / "run.json").read_bytes()
        with pytest.raises(CocaSearchError, match=r"the run at .+m\.run is being written by process \d+"):
            train(request(data, model_folder, tmp_path / "m"), FEW_STEPS, device="cpu")
        assert (tmp_path / "m.run" / "run.json").read_bytes() == record
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(request(data, model_folder, tmp_path / "m"), FEW_STEPS, progress=another, device="cpu")
    train(request(data, model_folder, tmp_path / "m"), FEW_STEPS, device="cpu")


@pytest.fixture(params=["folder", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The address of a remote place, and what is there now, by name."""
    if request.param == "folder":
        place = tmp_path / "remote"
        files = lambda: [file for file in place.rglob("*") if file.is_file()]  # noqa: E731
        yield place.as_uri(), lambda: {file.relative_to(place).as_posix(): file.read_bytes() for file in files()}
        return
    with serving() as store:
        store.be_the_one(monkeypatch)
        objects = store.objects
        yield (
            "s3://mine/runs",
            lambda: {name.removeprefix("mine/runs/"): objects[name] for name in objects if not name.endswith("/")},
        )


def test_interrupted_run_goes_on_from_its_remote_copy(
    data: Path, model_folder: Path, tmp_path: Path, remote: tuple[str, Callable[[], dict[str, bytes]]]
) -> None:
    """On another machine: neither the run nor the model is there, and the weights are those of a run without a stop."""
    here, (address, there) = tmp_path / "here" / "m", remote

    def stop(progress: TrainingProgress) -> None:
        if progress.step == 4:
            raise KeyboardInterrupt

    asked = request(data, model_folder, here, remote=address)
    with pytest.raises(KeyboardInterrupt):
        train(asked, FEW_STEPS, progress=stop, device="cpu")
    assert "m.run/checkpoint.pt" in there()
    shutil.rmtree(here.parent)
    steps: list[int] = []
    train(asked, FEW_STEPS, progress=lambda progress: steps.append(progress.step), device="cpu")
    assert steps[0] == 5
    whole = train(request(data, model_folder, tmp_path / "whole"), FEW_STEPS, device="cpu")
    assert read_model_folder(here).fingerprint == whole.fingerprint
    left = there()
    assert "m.run/checkpoint.pt" not in left  # finished here, finished there
    assert not [name for name in left if name.endswith(".arriving")]
    for file in ("m/model.safetensors", "m.run/run.json", "m.run/log.jsonl"):
        assert left[file] == (here.parent / file).read_bytes()


class Outage:
    """Takes the remote place away from the first validation on, and gives it back before the last one if it `ends`."""

    def __init__(self, remote: Path, *, ends: bool) -> None:
        self.remote, self.ends, self.aside = remote, ends, remote.with_name("aside")

    def __call__(self, progress: TrainingProgress) -> None:
        if progress.validation and not self.aside.exists() and progress.step < progress.steps:
            self.remote.rename(self.aside)
            self.remote.write_text("no folder")
        elif progress.step == progress.steps and self.ends:
            self.remote.unlink()
            self.aside.rename(self.remote)


@pytest.mark.parametrize("ends", [True, False])
def test_hiccup_of_the_remote_place_ends_no_run(data: Path, model_folder: Path, tmp_path: Path, *, ends: bool) -> None:
    remote = tmp_path / "remote"
    asked = request(data, model_folder, tmp_path / "m", remote=str(remote))
    every_step = FEW_STEPS.changed(validations=100)
    with pytest.warns(CocaSearchWarning) as warned:
        result = train(asked, every_step, progress=Outage(remote, ends=ends), device="cpu")
    (told,) = [str(warning.message) for warning in warned if warning.category is CocaSearchWarning]  # once
    assert re.fullmatch(rf"cannot copy the run to {remote}: .+; the run goes on, and it is tried again", told)
    assert read_model_folder(tmp_path / "m").fingerprint == result.fingerprint
    if ends:
        assert result.not_copied == ""
        assert (remote / "m.run" / "log.jsonl").read_bytes() == (tmp_path / "m.run" / "log.jsonl").read_bytes()
    else:
        assert result.not_copied.startswith(f"cannot copy the run to {remote}: ")


def test_remote_copy_is_made_of_what_changed_alone(tmp_path: Path) -> None:
    run = tmp_path / "m.run"
    run.mkdir()
    (run / "log.jsonl").write_text("one")
    (run / "same").write_text("same")
    sync = RemoteSync(str(tmp_path / "remote"), [run])
    assert sync.copy() == ""
    (tmp_path / "remote" / "m.run" / "same").write_text("was not copied again")
    (run / "log.jsonl").write_text("one and two")
    sync.step(now=False)  # not yet
    assert (tmp_path / "remote" / "m.run" / "log.jsonl").read_text() == "one"
    assert sync.copy() == ""
    assert (tmp_path / "remote" / "m.run" / "log.jsonl").read_text() == "one and two"
    assert (tmp_path / "remote" / "m.run" / "same").read_text() == "was not copied again"
    assert bring_back(str(tmp_path / "remote"), [run, tmp_path / "m"]) == []  # here already, and not there


def test_run_waits_for_no_copy_before_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, log = tmp_path / "m.run", tmp_path / "remote" / "m.run" / "log.jsonl"
    run.mkdir()
    is_reached = threading.Event()
    under_way = []

    def slow(local: Path, *where: Any) -> None:
        under_way.append(where)
        is_reached.wait(60)
        copy(local, *where)

    copy = remote_sync._copy
    monkeypatch.setattr(remote_sync, "_copy", slow)
    sync = RemoteSync(str(tmp_path / "remote"), [run])
    for count in range(3):
        (run / "log.jsonl").write_text("step " * count)
        sync.step(now=True)
    assert len(under_way) <= 1 and not log.exists()
    is_reached.set()
    while not log.exists():
        sync.step(now=False)
    (run / "log.jsonl").write_text("the end")
    assert sync.copy() == ""
    assert log.read_text() == "the end"


def test_folders_may_go_and_be_replaced_while_they_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, old_epoch, remote = tmp_path / "m", tmp_path / "m.run" / "epoch-1", tmp_path / "remote"
    for folder in (model, old_epoch):
        folder.mkdir(parents=True)
        (folder / "weights").write_text(folder.name)
    (tmp_path / "m.run" / "log.jsonl").write_text("one")
    sync = RemoteSync(str(remote), [model, tmp_path / "m.run"])
    assert sync.copy() == ""

    def scandir(folder: Any) -> Any:
        if folder in (old_epoch, str(old_epoch)):
            shutil.rmtree(old_epoch, ignore_errors=True)
        return really_scandir(folder)

    really_scandir = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    model.rename(tmp_path / "aside")
    assert sync.copy() == ""
    assert (remote / "m" / "weights").read_text() == "m"
    assert not (remote / "m.run" / "epoch-1" / "weights").exists()
    assert (remote / "m.run" / "log.jsonl").exists()


def test_run_that_stops_tells_that_its_last_copy_failed(tmp_path: Path) -> None:
    run, remote = tmp_path / "m.run", tmp_path / "remote"
    run.mkdir()
    (run / "log.jsonl").write_text("one")
    sync = RemoteSync(str(remote), [run])
    remote.rmdir()
    remote.write_text("no folder")
    sync.step(now=True)
    with pytest.warns(CocaSearchWarning) as warned:
        sync.stop()
    first, last = (str(warning.message) for warning in warned)
    assert first.endswith("; the run goes on, and it is tried again")
    assert last.startswith(f"cannot copy the run to {remote}: ") and last.endswith("; all of it is here")


def test_run_is_brought_back_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as store:
        store.be_the_one(monkeypatch)
        store.objects = {f"mine/runs/m.run/{name}": b"content" for name in ("checkpoint.pt", "log.jsonl", "run.json")}
        store.whole_ranges = 1
        with pytest.raises(CocaSearchError, match="cannot fetch the run from s3://mine/runs: ") as caught:
            bring_back("s3://mine/runs", [tmp_path / "m.run"])
        assert caught.value.hint == "the same command tries again"
        assert not (tmp_path / "m.run").exists()
        store.whole_ranges = None
        assert bring_back("s3://mine/runs", [tmp_path / "m.run"]) == [tmp_path / "m.run"]
        assert [file.name for file in sorted((tmp_path / "m.run").iterdir())] == [
            "checkpoint.pt",
            "log.jsonl",
            "run.json",
        ]


def test_place_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CocaSearchError, match="cannot reach") as caught:
        RemoteSync(str(tmp_path / "file" / "below"), [])
    assert "--remote-sync" in str(caught.value.hint)
    facts = run_facts("train", {"seed": 3}, {})
    assert facts["seed"] == 3
