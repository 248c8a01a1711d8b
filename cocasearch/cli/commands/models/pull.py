"""`cocasearch models pull` and `import`: models from the Hugging Face hub, or from a file of weights."""

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cocasearch.checkpoints.disk_space import gigabytes
from cocasearch.checkpoints.hub.catalogue import PUBLISHED, PublishedModel, find_published
from cocasearch.checkpoints.registry import BUNDLED, KnownModel, best_model, list_models
from cocasearch.cli import console
from cocasearch.cli.options.completions import complete_known_model
from cocasearch.cli.options.model_choice import warn_about
from cocasearch.cli.options.option_groups import model_option, output_option
from cocasearch.cli.options.path_arguments import FILE, MODEL, NAME
from cocasearch.errors import CocaSearchError
from cocasearch.paths import is_folder_like, models_home

if TYPE_CHECKING:
    from cocasearch.checkpoints.foreign.imported_model import ImportOptions
    from cocasearch.checkpoints.hub.catalogue import PublishedModel
    from cocasearch.checkpoints.hub.pulled_model import Wanted
    from cocasearch.model.config import CoCaConfig

Dtype = Annotated[
    Literal["float32", "bfloat16", "float16"],
    output_option(
        metavar="TYPE",
        help="Type of the stored weights: float32 as published, or bfloat16 or float16 of half the size.",
    ),
]
ImageSize = Annotated[
    int | None, model_option("--image-size", help="Width and height of the model's images in pixels, if changed.")
]
TokenizerFile = Annotated[
    Path | None, model_option("--tokenizer", **FILE, help="File tokenizer.json, if it is not CLIP's.")
]
TextConfigFile = Annotated[
    Path | None, model_option("--text-config", **FILE, help="File config.json of its RoBERTa, if it has one.")
]
Force = Annotated[bool, output_option("--force", help="Replace an existing model of that name.")]
_name_option = partial(output_option, "--name", **NAME, help="Name of the model on this machine.")
_architecture_option = partial(
    model_option,
    "--arch",
    **NAME,
    help="Architecture of the weights, such as coca_ViT-L-14, or a file like open_clip_config.json.",
)


def pull(
    model: Annotated[
        str,
        typer.Argument(
            **MODEL | {"autocompletion": complete_known_model},
            help="Name of a published model (see 'cocasearch models list'), or OWNER/REPOSITORY on the hub.",
        ),
    ],
    tag: Annotated[
        str | None, typer.Argument(metavar="TAG", help="Name of other weights than the recommended ones.")
    ] = None,
    name: Annotated[str | None, _name_option()] = None,
    arch: Annotated[str | None, _architecture_option()] = None,
    dtype: Dtype = "float32",
    image_size: ImageSize = None,
    tokenizer: TokenizerFile = None,
    text_config: TextConfigFile = None,
    force: Force = False,
) -> None:
    """Download a published CoCa model from the Hugging Face hub, once.

    After an interruption, the same command continues the download. The environment variables HF_ENDPOINT, HF_TOKEN,
    HF_HOME and HF_HUB_OFFLINE set the hub, the token, the cache and offline mode.
    """
    from cocasearch.checkpoints.foreign.imported_model import ImportOptions

    wanted = _wanted(model, tag, name, arch, text_config)
    folder = _folder_for(wanted.name)
    if not force and wanted.published and _is_here(wanted.published):
        console.report(f"{wanted.name} is here already: {folder}")
        warn_about(wanted.name)
        return
    _fetch(wanted, folder, ImportOptions(dtype, image_size, tokenizer, replace=force))


def import_(
    file: Annotated[Path, typer.Argument(**FILE, help="File of weights: .safetensors, .bin or .pt.")],
    arch: Annotated[str, _architecture_option()],
    name: Annotated[str, _name_option()],
    dtype: Dtype = "float32",
    image_size: ImageSize = None,
    tokenizer: TokenizerFile = None,
    text_config: TextConfigFile = None,
    force: Force = False,
) -> None:
    """Make a model of OpenCLIP's weights in a file: published, or left by training with OpenCLIP."""
    from cocasearch.checkpoints.foreign.imported_model import ImportOptions, import_weights
    from cocasearch.checkpoints.foreign.openclip_configs import read_architecture

    folder, options = _folder_for(name), ImportOptions(dtype, image_size, tokenizer, replace=force)
    architecture = read_architecture(arch, text_config)
    with console.byte_progress() as progress:
        config = import_weights(file, folder, architecture, options, provenance={}, progress=progress)
    _report_differences(config)
    _report_ready(name, folder)


def _report_differences(config: "CoCaConfig") -> None:
    """Report in what a model differs from OpenCLIP's, or from what one would expect."""
    from cocasearch.model.config import RobertaConfig

    if isinstance(config.text, RobertaConfig):
        console.report(
            "warning: its RoBERTa reads forwards only, as writing needs it, so its vectors of texts are not OpenCLIP's"
        )
    if config.output_vocab_size < config.text.vocab_size:
        words = f"{config.output_vocab_size} of the {config.text.vocab_size} words"
        console.report(f"warning: its decoder writes {words} that its text half reads")


def _fetch(wanted: "Wanted", folder: Path, options: "ImportOptions") -> None:
    from cocasearch.checkpoints.hub.pulled_model import pull
    from cocasearch.checkpoints.model_folder import read_model_folder

    if wanted.published:
        console.report(f"{wanted.name}: {gigabytes(wanted.published.download_size)} from {wanted.repository}")
        warn_about(wanted.name)
    with console.byte_progress() as progress:
        file = pull(wanted, folder, options, progress)
    _report_differences(read_model_folder(folder).config)
    console.report(f"the download stays in the hub's cache, where it may be removed: {file}")
    _report_ready(wanted.name, folder)


def _report_ready(name: str, folder: Path) -> None:

    size = gigabytes(KnownModel(name, folder).size)
    console.report(
        f"{name} is here: {folder}, {size}; use it with: cocasearch index PHOTOS --model {shlex.quote(name)}"
    )
    if best_model().name == name:
        console.report("new indexes use it from now on, unless --model is given")


def _wanted(model: str, tag: str | None, name: str | None, arch: str | None, text_config: Path | None) -> "Wanted":
    from cocasearch.checkpoints.hub.pulled_model import wanted_published, wanted_repository

    if model.count("/") == 1 and not model.startswith((".", "~", "/")):
        if tag is not None:
            raise typer.BadParameter("a TAG is for published models, not for repositories")
        return wanted_repository(model, name, arch, text_config)
    published = find_published(model, tag)
    if published is None:
        names = ", ".join(dict.fromkeys(known.architecture for known in PUBLISHED))
        raise CocaSearchError(
            f"there is no published model '{model}'; choose among {names}",
            hint="cocasearch models list, or OWNER/REPOSITORY",
        )
    if arch is not None or text_config is not None or name not in (None, published.name):
        raise typer.BadParameter(
            "--arch, --text-config and --name are for a repository: published models have their own"
        )
    return wanted_published(published)


def _folder_for(name: str) -> Path:
    """The folder of a model of that name.

    Raises:
        BadParameter: It is a path and no name, or the name of the bundled model.
    """
    if not name.strip() or is_folder_like(name) or name == BUNDLED:
        raise typer.BadParameter(
            f"'{name}' cannot be the name of a model: give a name that is no path and not {BUNDLED}"
        )
    return models_home() / name


def _is_here(published: "PublishedModel") -> bool:
    return any(model.published is published for model in list_models())
