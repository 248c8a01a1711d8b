"""From the weights of a run to an ordinary model: in memory, to be measured, or as a model folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cocasearch.checkpoints.model_folder import save_model_folder
from cocasearch.evaluation.benchmark import EvaluationReport
from cocasearch.images.transforms import Preprocess
from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.model.coca import CoCa
from cocasearch.text.known_words import KnownWords
from cocasearch.training.config import TrainingConfig
from cocasearch.training.model.preparation import plain_weights, with_logit_bias
from cocasearch.training.model.starting_point import StartingPoint


@dataclass(frozen=True)
class TrainedModel:
    """What a run makes, as far as it is known before it begins.

    Args:
        start: Its architecture, tokenizer, preprocessing and provenance.
        config: How it is trained.
        folder: Where it will be.
        pictures: How many pictures each source has.
        card: Text of the model card.
        words: The words that it will know, if that can be said.
    """

    start: StartingPoint
    config: TrainingConfig
    folder: Path
    pictures: Sequence[int]
    card: str = ""
    words: KnownWords | None = None

    def loaded(self, weights: Mapping[str, Tensor], device: torch.device) -> LoadedModel:
        """The model with such weights, which it shares as far as it can."""
        with torch.device("meta"):
            model = CoCa(self.start.model.config)
        model.load_state_dict(plain_weights(weights, self.config), assign=True)
        preprocess = Preprocess(self.start.preprocess)
        return LoadedModel(
            self.folder.name, model.eval(), self.start.tokenizer, preprocess, "in training", device, torch.float32
        )

    def write(self, folder: Path, weights: Mapping[str, Tensor], *, steps: int, report: EvaluationReport | None) -> str:
        """Write the model folder; its fingerprint.

        Args:
            folder: Where to.
            weights: What was trained, by name.
            steps: For how long.
            report: Its validation.
        """
        provenance = {
            **with_logit_bias(self.start.provenance, weights),
            "training": {**self.config.values(), "feature_folder": ""},  # a place of this machine
            "trained_steps": steps,
            "pictures": list(self.pictures),
            "torch": torch.__version__,
        }
        if report is not None:
            provenance["validation"] = report.to_dict()
        return save_model_folder(
            folder,
            plain_weights(weights, self.config),
            config=self.start.model.config,
            preprocess=self.start.preprocess,
            tokenizer=self.start.tokenizer,
            provenance=provenance,
            card=self.card,
            words=self.words,
        )
