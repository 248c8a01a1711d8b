"""How a training run is done: every number that changes its result, as frozen data."""

import math
from dataclasses import dataclass, field
from typing import Literal

from cocasearch.errors import CocaSearchError


@dataclass(frozen=True)
class AugmentationConfig:
    """How a training picture differs from itself each time it is seen.

    Args:
        min_area: Smallest share of the picture's area that a random crop keeps, 0 to 1.
        flip: Mirror half of the pictures.
        color: Largest relative change of brightness, contrast and saturation; 0 for none.
        coarsest: Half of the pictures are first shrunk to a random side, of so many pixels at least; 0 for none. It
            keeps a model from telling two sources apart by their sharpness.
    """

    min_area: float = 0.6
    flip: bool = True
    color: float = 0.2
    coarsest: int = 0

    def __post_init__(self) -> None:
        _check_between("min_area", self.min_area, 0.01, 1)
        _check_between("color", self.color, 0, 0.9)


@dataclass(frozen=True)
class TrainingConfig:
    """One run; the defaults are those that made coca-mini.

    A pass sees every picture of the first source once, with `captions_per_image` of its captions.
    """

    passes: float = 16.0
    images_per_step: int = 128
    captions_per_image: int = 3
    labelled_per_step: int = 64

    optimizer: Literal["adamw", "muon"] = "muon"
    learning_rate: float = 1e-3  # AdamW: everything that is not a matrix of a transformer (all, without Muon)
    muon_learning_rate: float = 4e-3
    encoder_learning_rate: float = 6e-5
    frozen_passes: float = 9.0  # the image encoder keeps its weights this long; infinity: for good
    frozen_blocks: int = 5  # its first blocks and stem keep theirs to the end
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.98
    warmup: float = 0.03  # share of the run
    max_gradient_norm: float = 1.0
    ema_decay: float = 0.98  # 0: the last weights are the result

    contrastive_weight: float = 1.0
    caption_weight: float = 1.0
    name_weight: float = 0.7  # only with class names
    names_per_step: int = 250
    label_caption_weight: float = 0.0  # captions made of the labels: only with labelled pictures
    label_smoothing: float = 0.0
    dropout: float = 0.1

    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = 0
    held_out: int = 500  # pictures of the first source that are set aside for validation
    validations: int = 12  # how often it is validated
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        for name in ("passes", "images_per_step", "captions_per_image", "learning_rate", "names_per_step"):
            if getattr(self, name) <= 0:
                raise CocaSearchError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("ema_decay", "dropout", "label_smoothing", "warmup"):
            _check_between(name, getattr(self, name), 0, 0.99999)
        if not math.isfinite(self.passes):
            raise CocaSearchError(f"passes must be a number of passes, not {self.passes}")
        if self.optimizer not in ("adamw", "muon"):
            raise CocaSearchError(f"optimizer must be adamw or muon, not '{self.optimizer}'")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise CocaSearchError(f"precision must be auto, float32 or bfloat16, not '{self.precision}'")


def _check_between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise CocaSearchError(f"{name} must be from {low} to {high}, not {value}")
