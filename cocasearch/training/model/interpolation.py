"""Weights between two models, and model folders of such weights (WiSE-FT, arXiv 2109.01903).

Receives weights by name, or model folders, of one architecture; knows nothing about how they were trained.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocasearch.checkpoints.model_folder import ModelFolder, StorageDtype, read_model_folder, save_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.text.known_words import KnownWords
from cocasearch.training.config import TrainingConfig
from cocasearch.training.model.resizing import forced
from cocasearch.training.model.starting_point import from_model_folder


@torch.no_grad()
def interpolate(start: Mapping[str, Tensor], trained: Mapping[str, Tensor], keep: float) -> dict[str, Tensor]:
    """(1 - keep) * trained + keep * start, by name, in the types of `trained`; 0 gives `trained`, 1 `start`.

    Raises:
        CocaSearchError: `keep` is not from 0 to 1, or the weights are of different architectures.
    """
    if not 0 <= keep <= 1:
        raise CocaSearchError(f"keep must be from 0 (the trained weights) to 1 (those it started from), not {keep}")
    if differing := sorted(start.keys() ^ trained.keys()):
        raise CocaSearchError(f"only weights of one architecture can be mixed; {differing[0]} is in one model alone")
    return {name: _between(name, start[name], value, keep) for name, value in trained.items()}


def _between(name: str, start: Tensor, trained: Tensor, keep: float) -> Tensor:
    if start.shape != trained.shape:
        raise CocaSearchError(
            f"only weights of one architecture can be mixed; {name} is {tuple(start.shape)} in one model "
            f"and {tuple(trained.shape)} in the other"
        )
    # Exact at both ends; lerp's weight is that of its second argument.
    return trained.float().lerp(start.to(trained.device).float(), keep).to(trained.dtype)


def interpolate_folders(
    start: Path, trained: Path, keep: float, out: Path, *, dtype: StorageDtype = "float16", card: str = ""
) -> str:
    """Write the model between two model folders, described as `trained` is, and give its fingerprint.

    A folder that keeps a share of `start` already is mixed by as much less, so that `keep` is the share in the end, and
    sizes that training forced upon the model are forced upon `start` as well.

    Raises:
        CocaSearchError: The two differ in more than weights, `trained` keeps a larger share already, or what
            `interpolate` and `save_model_folder` raise.
    """
    before, after = read_model_folder(start), read_model_folder(trained)
    if before.tokenizer.to_json() != after.tokenizer.to_json():
        raise CocaSearchError(f"{start} and {trained} read words differently, so their weights cannot be mixed")
    old = forced(from_model_folder(start), _forced_settings(after)).model.state_dict()
    weights = interpolate(old, after.load_model().state_dict(), _further(keep, before, after))
    origin = {"name": start.resolve().name, "fingerprint": before.fingerprint}
    return save_interpolated(
        out,
        weights,
        after,
        keep=keep,
        started_from=origin,
        card=card,
        words=known_between(before, after, keep),
        dtype=dtype,
    )


def save_interpolated(
    out: Path,
    weights: dict[str, Tensor],
    trained: ModelFolder,
    *,
    keep: float,
    started_from: Mapping[str, Any],
    card: str,
    words: KnownWords | None,
    dtype: StorageDtype = "float16",
) -> str:
    """Write a model folder for weights that keep a share of those before training, and give its fingerprint.

    Args:
        out: The folder to write.
        weights: The mixture.
        trained: What it is a mixture of; it describes the model.
        keep: The share of the weights before training.
        started_from: Name and fingerprint of the model before training.
        card: Text of the model card.
        words: The words that it knows, if that can be said.
        dtype: How weights are stored.
    """
    return save_model_folder(
        out,
        weights,
        config=trained.config,
        preprocess=trained.preprocess,
        tokenizer=trained.tokenizer,
        provenance={**trained.provenance, "kept": {"share": keep, "of": started_from}},
        card=card,
        dtype=dtype,
        words=words,
    )


def known_between(before: ModelFolder, after: ModelFolder, keep: float) -> KnownWords | None:
    """The words that a mixture knows: those of the trained model, unless nothing of its training is kept."""
    return (before if keep == 1 else after).read_words()


def _further(keep: float, before: ModelFolder, after: ModelFolder) -> float:
    """The share by which `after` is mixed with `before` so that it keeps a share of `keep` in the end."""
    kept = after.provenance.get("kept", {"share": 0.0, "of": {}})
    present = kept["share"] if kept["of"].get("fingerprint") == before.fingerprint else 0.0
    if keep < present:
        raise CocaSearchError(
            f"{after.folder} keeps {present:g} of the weights it started from already, and cannot keep {keep:g}",
            hint=f"--keep {present:g} to 1, or train it again with --keep {keep:g}",
        )
    return (keep - present) / (1 - present) if present < 1 else 0.0


def _forced_settings(trained: ModelFolder) -> TrainingConfig:
    """What training forced upon the model before it began, by the provenance; nothing else."""
    settings = trained.provenance.get("training", {})
    return TrainingConfig().changed(**{name: value for name, value in settings.items() if name.startswith("force_")})
