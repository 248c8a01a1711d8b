"""`cocasearch models mix`: mixes a fine-tuned model with the one it started from, without training again."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.options.option_groups import model_option, output_option, training_option
from cocasearch.cli.options.path_arguments import FOLDER, MODEL
from cocasearch.errors import CocaSearchError

if TYPE_CHECKING:
    from cocasearch.checkpoints.model_folder import ModelFolder

Trained = Annotated[str, typer.Argument(**MODEL, help="Name or folder of a fine-tuned model.")]
Keep = Annotated[
    float, training_option("--keep", min=0.0, max=1.0, metavar="SHARE", help="Share of the starting weights, 0 to 1.")
]
Out = Annotated[Path, output_option("--out", "-o", **FOLDER, help="Model folder to write.")]
Start = Annotated[
    str | None,
    model_option(
        "--start", **MODEL, help="Name or folder of the model that training started from.", show_default="as MODEL says"
    ),
]


def mix(trained: Trained, keep: Keep, out: Out, start: Start = None) -> None:
    """Mix a fine-tuned model with the model that it started from.

    The larger the share of the starting weights, the less is forgotten, and the less is learned. The table at the end
    of 'cocasearch finetune' shows how much.
    """
    from cocasearch.checkpoints.model_folder import read_model_folder
    from cocasearch.checkpoints.registry import resolve_model
    from cocasearch.training.model.interpolation import interpolate_folders
    from cocasearch.training.run_folder.run_checkpoint import refuse_taken_folder

    refuse_taken_folder(out)
    model = read_model_folder(resolve_model(trained))
    start_folder = resolve_model(start) if start else _started_from(model)
    card = (
        f"# {out.name}\n\nThe weights of {model.folder.resolve().name}, mixed with a share of {keep:g} of those of "
        f"{start_folder.resolve().name}.\nThe terms of both apply.\n"
    )
    with console.working("mixing"):
        interpolate_folders(start_folder, model.folder, keep, out, card=card)
    if model.read_confidence():
        calibrate = f"cocasearch models calibrate {shlex.quote(str(out))} DATA"
        console.report(f"its captions have no confidence until it is calibrated itself: {calibrate}")
    console.report(f"wrote {out}; measure it with: cocasearch eval DATA --model {shlex.quote(str(out))}")


def _started_from(model: "ModelFolder") -> Path:
    """The folder of the model that another says it was trained from.

    Raises:
        CocaSearchError: It does not say so, or the model of that name is not here or another by now.
    """
    from cocasearch.checkpoints.model_folder import read_model_folder
    from cocasearch.checkpoints.registry import resolve_model

    hint = "--start MODEL"
    started = model.provenance.get("started_from")
    if not started:
        raise CocaSearchError(f"{model.folder} does not say what it was trained from", hint=hint)
    try:
        folder = resolve_model(started["name"])
    except CocaSearchError as error:
        raise CocaSearchError(
            f"{model.folder} was trained from {started['name']}, which is not here", hint=hint
        ) from error
    if read_model_folder(folder).fingerprint != started["fingerprint"]:
        raise CocaSearchError(f"{folder} is not the {started['name']} that {model.folder} was trained from", hint=hint)
    return folder
