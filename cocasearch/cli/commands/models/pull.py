"""`cocasearch models pull` and `import`: how models get here, from the Hugging Face hub or from a file."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cocasearch.cli import console
from cocasearch.cli.options.model_choice import warn_about
from cocasearch.errors import CocaSearchError
from cocasearch.paths import is_folder_like, models_home

if TYPE_CHECKING:
    from cocasearch.checkpoints.foreign.imported_model import ImportOptions
    from cocasearch.checkpoints.hub.catalogue import PublishedModel
    from cocasearch.checkpoints.hub.pulled_model import Wanted
    from cocasearch.checkpoints.model_folder import StorageDtype
    from cocasearch.model.config import CoCaConfig

Dtype = Annotated[
    Literal["fp32", "bf16", "fp16"], typer.Option(help="How weights are stored: fp32 as published, or half as large.")
]
ImageSize = Annotated[
    int | None,
    typer.Option("--image-size", metavar="N", help="Pixels, for other pictures than it knows.", show_default=False),
]
TokenizerFile = Annotated[
    Path | None,
    typer.Option("--tokenizer", metavar="FILE", help="A tokenizer.json, if it is not CLIP's.", show_default=False),
]
TextConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--text-config", metavar="FILE", help="The config.json of its RoBERTa, if it has one.", show_default=False
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a model of that name.")]
ARCHITECTURE_HELP = "Whose weights: coca_ViT-L-14, …, or a file like open_clip_config.json."
DTYPES: "dict[str, StorageDtype]" = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def pull(
    model: Annotated[str, typer.Argument(metavar="NAME|OWNER/REPOSITORY", help="See 'cocasearch models list'.")],
    tag: Annotated[
        str | None, typer.Argument(metavar="[TAG]", help="Other weights than the recommended.", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What it is called here.", show_default=False)
    ] = None,
    arch: Annotated[
        str | None, typer.Option("--arch", metavar="NAME|FILE", help=ARCHITECTURE_HELP, show_default=False)
    ] = None,
    dtype: Dtype = "fp32",
    image_size: ImageSize = None,
    tokenizer: TokenizerFile = None,
    text_config: TextConfigFile = None,
    force: Force = False,
) -> None:
    """Download a published CoCa from the Hugging Face hub, once.

    Broken off, the same command goes on where it stopped. Hub, token, cache and offline switch are set by HF_ENDPOINT,
    HF_TOKEN, HF_HOME and HF_HUB_OFFLINE.
    """
    from cocasearch.checkpoints.foreign.imported_model import ImportOptions

    wanted = _wanted(model, tag, name, arch, text_config)
    folder = _folder_for(wanted.name)
    if not force and wanted.published and _is_here(wanted.published):
        console.say(f"{wanted.name} is here already: {folder}")
        warn_about(wanted.name)
        return
    _fetch(wanted, folder, ImportOptions(DTYPES[dtype], image_size, tokenizer, replace=force))


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights: .safetensors, .bin or .pt.")],
    arch: Annotated[str, typer.Option("--arch", metavar="NAME|FILE", help=ARCHITECTURE_HELP, show_default=False)],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What it is called here.", show_default=False)],
    dtype: Dtype = "fp32",
    image_size: ImageSize = None,
    tokenizer: TokenizerFile = None,
    text_config: TextConfigFile = None,
    force: Force = False,
) -> None:
    """Make a model of OpenCLIP's weights in a file: published, or left by training with OpenCLIP."""
    from cocasearch.checkpoints.foreign.imported_model import ImportOptions, import_weights
    from cocasearch.checkpoints.foreign.openclip_configs import read_architecture

    folder, options = _folder_for(name), ImportOptions(DTYPES[dtype], image_size, tokenizer, replace=force)
    architecture = read_architecture(arch, text_config)
    with console.byte_progress() as progress:
        config = import_weights(file, folder, architecture, options, provenance={}, progress=progress)
    _tell_differences(config)
    _tell(name, folder)


def _tell_differences(config: "CoCaConfig") -> None:
    """Say in what a model is not as OpenCLIP has it, or not as one would think."""
    from cocasearch.model.config import RobertaConfig

    if isinstance(config.text, RobertaConfig):
        console.say(
            "mind: its RoBERTa reads forwards alone, as writing needs it: its vectors of texts are not OpenCLIP's"
        )
    if config.output_vocab_size < config.text.vocab_size:
        words = f"{config.output_vocab_size} of the {config.text.vocab_size} words"
        console.say(f"mind: its decoder writes {words} that its text half reads")


def _fetch(wanted: "Wanted", folder: Path, options: "ImportOptions") -> None:
    from cocasearch.checkpoints.disk_space import gigabytes
    from cocasearch.checkpoints.hub.pulled_model import pull
    from cocasearch.checkpoints.model_folder import read_model_folder

    if wanted.published:
        console.say(f"{wanted.name}: {gigabytes(wanted.published.download_size)} from {wanted.repository}")
        warn_about(wanted.name)
    with console.byte_progress() as progress:
        file = pull(wanted, folder, options, progress)
    _tell_differences(read_model_folder(folder).config)
    console.say(f"the download stays in the hub's cache, and may be removed there: {file}")
    _tell(wanted.name, folder)


def _tell(name: str, folder: Path) -> None:
    from cocasearch.checkpoints.disk_space import gigabytes
    from cocasearch.checkpoints.registry import KnownModel, best_model

    size = gigabytes(KnownModel(name, folder).size)
    console.say(f"{name} is here: {folder}, {size}; use it with: cocasearch index PHOTOS --model {shlex.quote(name)}")
    if best_model().name == name:
        console.say("new indexes take it from now on where no --model is given")


def _wanted(model: str, tag: str | None, name: str | None, arch: str | None, text_config: Path | None) -> "Wanted":
    from cocasearch.checkpoints.hub.catalogue import PUBLISHED, find_published
    from cocasearch.checkpoints.hub.pulled_model import wanted_published, wanted_repository

    if model.count("/") == 1 and not model.startswith((".", "~", "/")):
        if tag is not None:
            raise typer.BadParameter("a repository has no TAG")
        return wanted_repository(model, name, arch, text_config)
    published = find_published(model, tag)
    if published is None:
        names = ", ".join(dict.fromkeys(known.architecture for known in PUBLISHED))
        raise CocaSearchError(
            f"nobody published a model '{model}'; there are {names}", hint="cocasearch models list, or OWNER/REPOSITORY"
        )
    if arch is not None or text_config is not None or name not in (None, published.name):
        raise typer.BadParameter("--arch, --text-config and --name are for a repository: published models have theirs")
    return wanted_published(published)


def _folder_for(name: str) -> Path:
    """Where a model of that name goes.

    Raises:
        BadParameter: It is no name but a path, or the bundled model's.
    """
    from cocasearch.checkpoints.registry import BUNDLED

    if not name.strip() or is_folder_like(name) or name == BUNDLED:
        raise typer.BadParameter(f"'{name}' cannot be a model's name: no path, not empty, not {BUNDLED}")
    return models_home() / name


def _is_here(published: "PublishedModel") -> bool:
    from cocasearch.checkpoints.registry import list_models

    return any(model.published is published for model in list_models())
