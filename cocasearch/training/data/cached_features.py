"""A run that reads features instead of pictures: makes the file of them ready, and has all that reads them do so."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from cocasearch.inference.loaded_model import image_memory_format
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import TrainingData
from cocasearch.training.data.frozen_features import FeatureFile, FrozenPart
from cocasearch.training.losses.objective import Objective
from cocasearch.training.step.processes import Processes

_PICTURES_AT_ONCE = 64


class CachedFeatures:
    """The features of a run's pictures.

    Args:
        objective: The run's model, made ready; its frozen part makes the features.
        data: The run's pictures, which are read as features once `make_ready` was called.
        config: How many views there are, and how a view is made.
        run_folder: Where the features are kept, unless the config names a place for them.

    Raises:
        CocaSearchError: The run changes all of the image encoder.
    """

    def __init__(self, objective: Objective, data: TrainingData, config: TrainingConfig, run_folder: Path) -> None:
        model = objective.model
        self._objective, self._data, self._config = objective, data, config
        self._device, self._layout = model.logit_scale.device, image_memory_format(model.config)
        self._part = FrozenPart(model.image_encoder, config, objective.autocast)
        folder = Path(config.data.feature_folder) if config.data.feature_folder else run_folder / "features"
        self._file = FeatureFile(folder, self._identity())

    def make_ready(self, processes: Processes, stage: Callable[[str, int, int], None]) -> None:
        """Compute what is missing, in the first process, and read features from then on.

        Raises:
            CocaSearchError: There is no room for them.
        """

        def fill() -> None:
            keys = self._data.views.fixed_keys(self._config)
            batches = functools.partial(self._data.views.read_fixed, self._config, size=_PICTURES_AT_ONCE)
            self._file.fill(keys, batches, self._compute, lambda *done: stage("features computed", *done))

        processes.once(fill)
        self._file.open()
        self._data.views.features = self._file
        self._objective.frozen = self._part
        if self._objective.teacher is not None:
            self._objective.teacher.frozen = self._part

    def drop(self) -> None:
        """Delete them."""
        self._file.drop()

    def _identity(self) -> dict[str, Any]:
        return {
            "frozen_part": self._part.digest,
            "preprocessing": self._data.preprocess.config.to_dict(),
            "augmentation": dataclasses.asdict(self._config.augmentation),
            "seed": self._config.run.seed,
        }

    def _compute(self, pixels: Tensor) -> Tensor:
        return self._part.features(pixels.to(self._device).contiguous(memory_format=self._layout))
