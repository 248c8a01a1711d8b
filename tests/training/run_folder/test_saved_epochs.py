"""Models that are kept on a run's way."""

from pathlib import Path

import pytest
import torch

from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.training.config import TrainingConfig
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.run_folder.saved_epochs import SavedEpochs


def test_the_model_of_every_epoch_is_kept(runs, tmp_path: Path) -> None:
    averages: dict[int, dict[str, torch.Tensor]] = {}

    def progress(progress: TrainingProgress) -> None:
        averages[progress.step] = {name: value.clone() for name, value in trainer.learner.average.weights.items()}

    config = runs.plain(tmp_path / "none").config.changed(epochs=3.0, save_epochs=1.0)
    trainer = runs.trainer(tmp_path / "model", config=config, progress=progress, held_out=0, names=False)
    trainer.run()
    saved = {folder.name: read_model_folder(folder) for folder in (tmp_path / "model.run" / "epochs").iterdir()}
    assert {name: stored.provenance["trained_steps"] for name, stored in saved.items()} == {"1": 4, "2": 8, "3": 12}
    for stored in saved.values():
        weights, expected = stored.load_model().state_dict(), averages[stored.provenance["trained_steps"]]
        for name, value in expected.items():
            torch.testing.assert_close(weights[name], value, atol=1e-3, rtol=1e-3)  # float16 on disk
    assert saved["3"].fingerprint == read_model_folder(tmp_path / "model").fingerprint


def test_the_last_ones_alone_stay(runs, tmp_path: Path) -> None:
    def stop(progress: TrainingProgress) -> None:
        if progress.step == 9:
            raise KeyboardInterrupt

    config = runs.plain(tmp_path / "none").config.changed(epochs=3.0, save_epochs=0.5, saves_kept=2)
    epochs = tmp_path / "model.run" / "epochs"
    with pytest.raises(KeyboardInterrupt):
        runs.trainer(tmp_path / "model", config=config, progress=stop, held_out=0, names=False).run()
    assert {folder.name for folder in epochs.iterdir()} == {"1.5", "2"}
    rarer = config.changed(save_epochs=1.0)  # how often may change while a run goes on
    runs.trainer(tmp_path / "model", config=rarer, held_out=0, names=False).run()
    assert {folder.name for folder in epochs.iterdir()} == {"2", "3"}


def test_epochs_that_end_within_a_step_are_saved_after_it() -> None:
    saved = SavedEpochs(Path("run"), TrainingConfig().changed(save_epochs=0.5), 5)
    names = {step: folder.name for step in range(1, 11) if (folder := saved.folder_after(step))}
    assert names == {3: "0.5", 5: "1", 8: "1.5", 10: "2"}
