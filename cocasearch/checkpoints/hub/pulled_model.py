"""Pulling of models from the hub: they are found, fetched, checked and converted to model folders."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cocasearch.checkpoints.foreign.imported_model import (
    ROOM_BESIDE_WEIGHTS,
    ImportOptions,
    import_weights,
    refuse_taken,
)
from cocasearch.checkpoints.foreign.openclip_configs import (
    Architecture,
    from_openclip_config,
    read_architecture,
    read_text_config,
)
from cocasearch.checkpoints.hub.catalogue import PublishedModel
from cocasearch.checkpoints.hub.hub_files import fetch, fetch_small, refuse_odd_repository
from cocasearch.checkpoints.model_files import MOST_CONFIG_BYTES
from cocasearch.errors import CocaSearchError
from cocasearch.json_values import read_json

CONFIG_IN_REPOSITORY = "open_clip_config.json"


@dataclass(frozen=True)
class Wanted:
    """The weights to pull: their repository and architecture, and `published` if they are in the catalogue."""

    name: str
    repository: str
    architecture: Architecture
    published: PublishedModel | None = None


def wanted_published(model: PublishedModel) -> Wanted:
    """The weights of a model of the catalogue."""
    return Wanted(model.name, model.repository, read_architecture(model.architecture), model)


def wanted_repository(
    repository: str, name: str | None, architecture: str | None, text_config: Path | None = None
) -> Wanted:
    """The weights of any CoCa in OpenCLIP's layout. Without an architecture its own config says what it is.

    `text_config` is the `config.json` of the text half, if that is a RoBERTa of Hugging Face's.

    Raises:
        CocaSearchError: The repository cannot exist or be read, or does not describe a CoCa.
    """
    refuse_odd_repository(repository)
    name = name or repository.rsplit("/", 1)[-1]
    if architecture is not None:
        return Wanted(name, repository, read_architecture(architecture, text_config))
    file = fetch_small(repository, CONFIG_IN_REPOSITORY)
    if file is None:
        raise CocaSearchError(
            f"{repository} does not say what it is: it has no {CONFIG_IN_REPOSITORY}", hint="--arch NAME or a JSON file"
        )
    roberta = read_text_config(text_config) if text_config else None
    try:
        described = read_json(file, MOST_CONFIG_BYTES)
    except (OSError, ValueError) as error:
        raise CocaSearchError(f"{CONFIG_IN_REPOSITORY} of {repository} is not JSON: {error}") from error
    return Wanted(name, repository, from_openclip_config(name, described, roberta))


def pull(wanted: Wanted, folder: Path, options: ImportOptions, progress: Callable[[str, int, int], None]) -> Path:
    """Write the model folder, and return the fetched file, which stays in the hub's cache.

    Raises:
        CocaSearchError: The weights cannot be fetched or do not fit, or the folder is taken. No folder is written then.
    """
    refuse_taken(folder, replace=options.replace)
    room = {folder.parent: _stored_size(wanted.published, options) if wanted.published else ROOM_BESIDE_WEIGHTS}
    try:
        file = fetch(wanted.repository, PublishedModel.FILES, progress, room_for=room)
    except CocaSearchError as error:
        raise CocaSearchError(str(error), hint=error.hint or _other_way(wanted)) from error
    provenance = {"repository": wanted.repository, "sha256": file.sha256}
    if wanted.published:
        provenance["tag"] = wanted.published.tag
    import_weights(
        file.path,
        folder,
        wanted.architecture,
        options,
        provenance=provenance,
        card=model_card(wanted.published) if wanted.published else "",
        progress=progress,
    )
    return file.path


def model_card(model: PublishedModel) -> str:
    """The README of a pulled model."""
    rows = "".join(f"| {name.replace('_', ' ')} | {value:g} |\n" for name, value in model.figures.items())
    warning = f"**Mind: {model.warning}.**\n\n" if model.warning else ""
    return (
        f"# {model.name}\n\n{model.architecture} with the weights {model.tag} from {model.repository}, published by\n"
        f"LAION under the {model.LICENSE} licence, in cocasearch's layout. Good at: {model.good_at}.\n\n{warning}"
        f"| published result (%) | |\n|---|---|\n{rows}"
    )


def _stored_size(model: PublishedModel, options: ImportOptions) -> int:
    return model.download_size // (1 if options.dtype == "float32" else 2) + ROOM_BESIDE_WEIGHTS


def _other_way(wanted: Wanted) -> str:
    file = PublishedModel.FILES[-1]
    command = f"cocasearch models import {file} --arch {wanted.architecture.name} --name {wanted.name}"
    return f"try again, or fetch {file} of {wanted.repository} elsewhere and: {command}"
