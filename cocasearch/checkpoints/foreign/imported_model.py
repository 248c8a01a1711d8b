"""Import of foreign weights: they are read, checked and converted, once, to a model folder."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocasearch.checkpoints.disk_space import refuse_small_disks
from cocasearch.checkpoints.foreign.foreign_weights import read_foreign_weights
from cocasearch.checkpoints.foreign.openclip_configs import Architecture
from cocasearch.checkpoints.foreign.openclip_weights import VOCABULARY, from_openclip, tidy
from cocasearch.checkpoints.foreign.position_resizing import count_positions
from cocasearch.checkpoints.model_folder import StorageDtype, load_tokenizer, refuse_to_replace, save_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.model.config import CoCaConfig, RobertaConfig, VisionTransformerConfig
from cocasearch.text.tokenizer import Tokenizer, clip_tokenizer

ROOM_BESIDE_WEIGHTS = 8_000_000  # bytes of a model folder's other files, above all its tokenizer


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import.

    Attributes:
        dtype: Number type in which the weights are stored. float32 keeps published weights bit for bit.
        image_size: Image size in pixels, if not the trained one; the image positions are then resized.
        tokenizer: A `tokenizer.json`, for a vocabulary other than CLIP's.
        replace: Whether a model of the same name may be replaced.
    """

    dtype: StorageDtype = "float32"
    image_size: int | None = None
    tokenizer: Path | None = None
    replace: bool = False


def refuse_taken(folder: Path, *, replace: bool) -> None:
    """Make sure that a model can be written to a folder.

    Raises:
        CocaSearchError: A model is there already and `replace` is not set, or something that is not a model.
    """
    refuse_to_replace(folder)
    if folder.exists() and any(folder.iterdir()) and not replace:
        raise CocaSearchError(f"there is a model '{folder.name}' already, at {folder}", hint="the same with --force")


def import_weights(
    file: Path,
    folder: Path,
    architecture: Architecture,
    options: ImportOptions,
    *,
    provenance: Mapping[str, Any],
    card: str = "",
    progress: Callable[[str, int, int], None],
) -> CoCaConfig:
    """Write the model folder for a weights file, and return the architecture that the weights have.

    Image size and text length are those of the weights' positions, unless `options` ask for another image size.

    Raises:
        CocaSearchError: The file cannot be read or does not fit, there is no room, or the folder is taken. Nothing has
            changed then.
    """
    refuse_taken(folder, replace=options.replace)
    weights = read_foreign_weights(file)
    try:
        config = _wanted_sizes(_trained_sizes(architecture.config, tidy(weights)), options.image_size)
        converted = from_openclip(weights, config)
        _refuse_no_numbers(converted)
    except CocaSearchError as error:
        raise CocaSearchError(f"{file}: {error}", hint=error.hint) from error
    tokenizer = _tokenizer(config, options.tokenizer)
    refuse_small_disks({folder.parent: stored_size(converted, options.dtype)})
    save_model_folder(
        folder,
        converted,
        config=config,
        preprocess=replace(architecture.preprocess, image_size=config.image.image_size),
        tokenizer=tokenizer,
        provenance={**provenance, "imported_from": file.name, "architecture": architecture.name},
        card=card,
        dtype=options.dtype,
        progress=lambda done, total: progress("converting", done, total),
    )
    return config


def stored_size(weights: Mapping[str, Tensor], dtype: StorageDtype) -> int:
    """Size in bytes of the model folder that these weights will take."""
    itemsize: int = getattr(torch, dtype).itemsize
    return sum(value.numel() for value in weights.values()) * itemsize + ROOM_BESIDE_WEIGHTS


def _refuse_no_numbers(weights: Mapping[str, Tensor]) -> None:
    for name, value in weights.items():
        if not value.isfinite().all():
            raise CocaSearchError(f"{name} holds values that are no numbers, as a training that diverged leaves them")


def _trained_sizes(config: CoCaConfig, weights: Mapping[str, Tensor]) -> CoCaConfig:
    """The architecture with the image size and text length for which the weights have positions.

    With a RoBERTa the decoder may write fewer ids than it reads: OpenCLIP's own config gives it CLIP's number.
    """
    image, pixels, words = (
        config.image,
        weights.get("visual.positional_embedding"),
        weights.get("text.positional_embedding"),
    )
    if isinstance(image, VisionTransformerConfig) and pixels is not None:
        grid = math.isqrt(count_positions(pixels) - 1)
        if grid != image.grid_size:
            config = replace(config, image=replace(image, image_size=grid * image.patch_size))
    if words is not None and count_positions(words) - 1 != config.text.context_length:
        config = replace(config, text=replace(config.text, context_length=len(words) - 1))
    if isinstance(config.text, RobertaConfig) and VOCABULARY in weights:
        written = weights[VOCABULARY].shape[-1]
        if 2 <= written < config.text.vocab_size:
            config = replace(config, multimodal=replace(config.multimodal, vocab_size=written))
    return config


def _wanted_sizes(config: CoCaConfig, image_size: int | None) -> CoCaConfig:
    image = config.image
    if image_size is None or not isinstance(image, VisionTransformerConfig):
        return config
    if image_size < image.patch_size or image_size % image.patch_size:
        nearest = max(1, round(image_size / image.patch_size)) * image.patch_size
        raise CocaSearchError(
            f"images of {image_size} pixels cannot be cut into patches of {image.patch_size}",
            hint=f"--image-size {nearest}",
        )
    return replace(config, image=replace(image, image_size=image_size))


def _tokenizer(config: CoCaConfig, file: Path | None) -> Tokenizer:
    if file:
        return load_tokenizer(file, config)
    clip = clip_tokenizer()
    if (clip.vocab_size, clip.pad_id) != (config.text.vocab_size, config.text.pad_id):
        raise CocaSearchError(
            f"the weights know {config.text.vocab_size} tokens, which are not CLIP's {clip.vocab_size}",
            hint="give the tokenizer that belongs to them: --tokenizer tokenizer.json",
        )
    return clip
