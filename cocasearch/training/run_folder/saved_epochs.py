"""Models that a run keeps on its way, besides the best: one after every so many epochs, in `<out>.run/epochs`."""

import shutil
from pathlib import Path

from cocasearch.training.config import TrainingConfig

FOLDER = "epochs"


class SavedEpochs:
    """Which steps are followed by a saved model, and where it lies.

    Args:
        run_folder: The run's own folder.
        config: Says how often, and how many stay.
        steps_per_epoch: Steps of one epoch.
    """

    def __init__(self, run_folder: Path, config: TrainingConfig, steps_per_epoch: int) -> None:
        self._folder = run_folder / FOLDER
        self._epochs, self._kept = config.run.save_epochs, config.run.saves_kept
        self._steps = config.run.save_epochs * steps_per_epoch

    def folder_after(self, step: int) -> Path | None:
        """The model folder to write after a step, or None."""
        if not self._steps or step // self._steps == (step - 1) // self._steps:
            return None
        return self._folder / f"{step // self._steps * self._epochs:g}"

    def drop_older(self) -> None:
        """Remove all but the last ones, if there are more than are kept."""
        if self._kept:
            saved = sorted(self._folder.iterdir(), key=lambda folder: float(folder.name))
            for folder in saved[: -self._kept]:
                shutil.rmtree(folder)
