"""A starting point made to read larger or smaller pictures, longer or shorter texts, or to normalise otherwise.

What a recipe forces upon a model before it is trained; the written model folder then says so itself.
"""

import dataclasses
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from cocasearch.checkpoints.foreign.position_resizing import resize_image_positions, resize_text_positions
from cocasearch.errors import CocaSearchError
from cocasearch.images.transforms import PreprocessConfig
from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig, VisionTransformerConfig
from cocasearch.training.config import TrainingConfig
from cocasearch.training.model.starting_point import StartingPoint

_SHORTEST = 3  # token ids


def forced(start: StartingPoint, config: TrainingConfig) -> StartingPoint:
    """The starting point as the config's `force_…` settings want it; its weights are used, positions resized.

    Raises:
        CocaSearchError: A size that the architecture cannot have.
    """
    architecture = _architecture(start.model.config, config)
    preprocess = _preprocess(start.preprocess, config)
    if architecture == start.model.config:
        return replace(start, preprocess=preprocess)
    with torch.device("meta"):
        model = CoCa(architecture)
    weights = start.model.state_dict()
    for name, wanted in model.state_dict().items():
        weights[name] = _fitting(name, weights[name], wanted)
    model.load_state_dict(weights, assign=True)
    return replace(start, model=model.train(start.model.training), preprocess=preprocess)


def _architecture(present: CoCaConfig, config: TrainingConfig) -> CoCaConfig:
    image, text = present.image, present.text
    if size := config.model.force_image_size:
        if isinstance(image, VisionTransformerConfig) and size % image.patch_size:
            raise CocaSearchError(
                f"force_image_size must be a multiple of the model's patches of {image.patch_size} pixels, not {size}"
            )
        image = replace(image, image_size=size)
    if config.model.force_context_length:
        if config.model.force_context_length < _SHORTEST:
            raise CocaSearchError(
                f"force_context_length must be {_SHORTEST} at least, for the start, a word and the end, "
                f"not {config.model.force_context_length}"
            )
        text = replace(text, context_length=config.model.force_context_length)
    return replace(present, image=image, text=text, quick_gelu=present.quick_gelu or config.model.force_quick_gelu)


def _preprocess(present: PreprocessConfig, config: TrainingConfig) -> PreprocessConfig:
    changes: dict[str, Any] = {
        "image_size": config.model.force_image_size,
        "resize_mode": config.model.force_resize_mode,
        "interpolation": config.model.force_interpolation,
        "mean": _channels("force_image_mean", config.model.force_image_mean),
        "std": _channels("force_image_std", config.model.force_image_std),
    }
    return dataclasses.replace(present, **{name: value for name, value in changes.items() if value})


def _channels(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(value) for value in text.split(",")) if text else ()
    except ValueError as error:
        raise CocaSearchError(f"{name} takes three numbers such as 0.5,0.5,0.5, not '{text}'") from error


def _fitting(name: str, value: Tensor, wanted: Tensor) -> Tensor:
    if name == "image_encoder.positions":
        return resize_image_positions(value, round((len(wanted) - 1) ** 0.5)).clone()
    # RoBERTa's table has room for longer texts than it is asked to read, and keeps its size.
    if name == "text_decoder.positions" and len(value) != len(wanted):
        return resize_text_positions(value, len(wanted)).clone()
    return value
