"""A run that was stopped, however it was, and resumed gives the weights of one that was not."""

import json
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import cocasearch.training.validation as validation_module
from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.training.results import TrainingResult
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.trainer import Trainer

STEPS, UNFREEZE = 16, 8


@dataclass(frozen=True)
class Finished:
    """What a run leaves behind."""

    result: TrainingResult
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    log: list[dict[str, object]]


def finish(trainer: Trainer) -> Finished:
    result = trainer.run()
    log = (trainer.run_folder / "log.jsonl").read_text().splitlines()
    return Finished(
        result, trainer.model.state_dict(), trainer.learner.average.weights, [json.loads(line) for line in log]
    )


@pytest.fixture(scope="module")
def uninterrupted(runs, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(runs.trainer(tmp_path_factory.mktemp("whole") / "model"))


def assert_same(resumed: Finished, uninterrupted: Finished, *, log: bool = True) -> None:
    for found, expected in ((resumed.weights, uninterrupted.weights), (resumed.average, uninterrupted.average)):
        assert [name for name, value in expected.items() if not torch.equal(found[name], value)] == []
    assert resumed.result.fingerprint == uninterrupted.result.fingerprint
    assert resumed.result.validation.retrieval == uninterrupted.result.validation.retrieval
    timeless = [
        [{**entry, "images_per_second": 0, "seconds_left": 0} for entry in run.log] for run in (resumed, uninterrupted)
    ]
    assert timeless[0] == timeless[1] or not log


def stop_at(step: int, error: type[BaseException]) -> Callable[[TrainingProgress], None]:
    def progress(progress: TrainingProgress) -> None:
        if progress.step == step:
            raise error

    return progress


def test_the_run_has_what_could_go_wrong(uninterrupted: Finished) -> None:
    assert uninterrupted.result.steps == STEPS
    assert [entry["step"] for entry in uninterrupted.log] == list(range(1, STEPS + 1))
    assert [entry["step"] for entry in uninterrupted.log if entry["validation"]] == [4, 8, 12, 16]
    assert all(entry["losses"]["name"] > 0 for entry in uninterrupted.log)


@pytest.mark.parametrize("step", [3, UNFREEZE, 13])
def test_resumed_after_ctrl_c(runs, uninterrupted: Finished, tmp_path: Path, step: int) -> None:
    out = tmp_path / "model"
    with pytest.raises(KeyboardInterrupt):
        runs.trainer(out, progress=stop_at(step, KeyboardInterrupt)).run()
    assert_same(finish(runs.trainer(out)), uninterrupted)
    assert not (tmp_path / "model.run" / "checkpoint.pt").exists()


def test_resumed_after_a_kill(runs, uninterrupted: Finished, tmp_path: Path) -> None:
    """The checkpoint is older than the log and the model folder, as when a process just dies."""
    out, checkpoint, older = tmp_path / "model", tmp_path / "model.run" / "checkpoint.pt", tmp_path / "older.pt"

    def progress(progress: TrainingProgress) -> None:
        if progress.step == 6:
            shutil.copy(checkpoint, older)  # of step 5
        if progress.step == 13:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        every_step = runs.trainer(out).config.changed(checkpoint_minutes=0.0)
        runs.trainer(out, config=every_step, progress=progress).run()
    shutil.copy(older, checkpoint)
    with (tmp_path / "model.run" / "log.jsonl").open("a") as log:
        log.write('{"step": 14, "half a li')
    assert_same(finish(runs.trainer(out)), uninterrupted)


def test_ctrl_c_does_not_cut_an_update_in_two(runs, uninterrupted: Finished, tmp_path: Path) -> None:
    trainer = runs.trainer(tmp_path / "model")
    trainer.learner.optimizers[0].register_step_post_hook(
        lambda *_: signal.raise_signal(signal.SIGINT) if trainer.learner.step == 10 else None
    )
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert trainer.learner.step == 11  # which the log never hears of
    assert_same(finish(runs.trainer(tmp_path / "model")), uninterrupted, log=False)


@pytest.mark.parametrize("validation", [2, 4])
def test_a_validation_that_was_stopped_is_made_up_for(
    runs, uninterrupted: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validation: int
) -> None:
    started = []

    def stopped(*arguments: object, **options: object) -> object:
        started.append(True)
        if len(started) == validation:
            raise KeyboardInterrupt
        return evaluate(*arguments, **options)

    evaluate = validation_module.evaluate
    monkeypatch.setattr(validation_module, "evaluate", stopped)
    with pytest.raises(KeyboardInterrupt):
        runs.trainer(tmp_path / "model").run()
    monkeypatch.undo()
    resumed = finish(runs.trainer(tmp_path / "model"))
    assert resumed.result.fingerprint == uninterrupted.result.fingerprint
    assert resumed.result.validation.retrieval == uninterrupted.result.validation.retrieval


def test_another_run_is_not_resumed(runs, tmp_path: Path) -> None:
    out = tmp_path / "model"
    with pytest.raises(KeyboardInterrupt):
        runs.trainer(out, progress=stop_at(1, KeyboardInterrupt)).run()
    config, start = runs.trainer(out).config, runs.new_start()
    others = {
        "settings": runs.trainer(out, config=config.changed(dropout=0.2)),
        "number of pictures": runs.trainer(out, images=runs.trainer(out).data.sources[0].images[:20]),
        "held-out pictures": runs.trainer(out, held_out=4),
        "names": runs.trainer(out, names=False),
        "base model": runs.trainer(out, start=replace(start, provenance={"started_from": "another"})),
    }
    for other in others.values():
        with pytest.raises(CocaSearchError, match="holds an interrupted run with other settings or data") as caught:
            other.run()
        assert "delete" in str(caught.value.hint)
    runs.trainer(out, config=config.changed(checkpoint_minutes=3)).run()  # says nothing about the weights


def test_a_run_of_another_release_is_refused(runs, tmp_path: Path) -> None:
    out, checkpoint = tmp_path / "model", tmp_path / "model.run" / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        runs.trainer(out, progress=stop_at(1, KeyboardInterrupt)).run()
    contents = torch.load(checkpoint, weights_only=False)
    settings = json.loads(contents["identity"])
    settings["config"]["passes"] = settings["config"].pop("epochs")
    torch.save({**contents, "format": None, "identity": json.dumps(settings)}, checkpoint)
    with pytest.raises(CocaSearchError, match="holds an interrupted run of another release of cocasearch") as caught:
        runs.trainer(out).run()
    assert caught.value.hint == f"finish it with that release; delete {tmp_path / 'model.run'} to start anew"


def test_a_finished_model_is_never_replaced(runs, tmp_path: Path) -> None:
    fingerprint = runs.plain(tmp_path / "model", seed=0).run().fingerprint
    with pytest.raises(CocaSearchError, match="holds a finished model already"):
        runs.plain(tmp_path / "model", seed=1).run()
    assert read_model_folder(tmp_path / "model").fingerprint == fingerprint


def test_a_new_run_starts_a_new_log(runs, tmp_path: Path) -> None:
    runs.plain(tmp_path / "model", seed=0).run()
    shutil.rmtree(tmp_path / "model")
    second = runs.plain(tmp_path / "model", seed=1)
    second.run()
    assert len((tmp_path / "model.run" / "log.jsonl").read_text().splitlines()) == second.learner.steps


@pytest.mark.parametrize("kind", ["folder of photos", "file", "model of another kind"])
def test_nothing_but_a_model_is_replaced(runs, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "holiday"
    if kind == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / ("config.json" if "model" in kind else "beach.jpg")).write_text("{}")
    with pytest.raises(CocaSearchError, match="is there already and is not a model folder"):
        runs.plain(out).run()
    assert out.is_file() or len(list(out.iterdir())) == 1
    (tmp_path / "empty").mkdir()
    runs.plain(tmp_path / "empty").run()
    assert read_model_folder(tmp_path / "empty").provenance["trained_steps"] == 4


@pytest.mark.skipif(sys.platform == "win32", reason="limits no files")
def test_a_checkpoint_that_finds_no_room_leaves_the_one_before(runs, tmp_path: Path) -> None:
    import resource

    def progress(progress: TrainingProgress) -> None:
        if progress.step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, unlimited))  # bytes

    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    every_step = runs.plain(tmp_path / "model").config.changed(checkpoint_minutes=0.0)
    start = {"config": every_step, "held_out": 0, "names": False}
    try:
        with pytest.raises(CocaSearchError, match=r"cannot write the checkpoint .+checkpoint\.pt: ") as caught:
            runs.trainer(tmp_path / "model", progress=progress, **start).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
    assert "free some room" in str(caught.value.hint)
    resumed = runs.trainer(tmp_path / "model", **start)
    resumed._resume()
    assert resumed.learner.step == 2
    assert [file.name for file in resumed.run_folder.iterdir() if "partial" in file.name] == []
