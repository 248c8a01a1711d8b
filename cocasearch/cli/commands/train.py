"""`cocasearch train`: a model from a preset, on captioned photos of any number of sources."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cocasearch.cli import console
from cocasearch.cli.options import recipe_options, shared_options, training_settings
from cocasearch.cli.output.left_out import data_listener
from cocasearch.cli.output.training_progress import summary, training_progress
from cocasearch.errors import CocaSearchError
from cocasearch.training.config import TrainingConfig
from cocasearch.training.step.launch import process_number

if TYPE_CHECKING:
    from cocasearch.training.results import TrainingResult

Sources = Annotated[
    list[str], typer.Argument(metavar="DATA", help="Captioned photos, one or several sources.", show_default=False)
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Model folder to write.", show_default=False)]
Preset = Annotated[
    str | None,
    typer.Option("--preset", "-p", metavar="NAME", help="Architecture to start from.", show_default="coca-mini"),
]
StartModel = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME|FOLDER", help="Model to start from instead.", show_default=False),
]
Weights = Annotated[
    list[float] | None,
    typer.Option("--weight", "-w", help="Weight of each source in a step.", show_default="its photos"),
]
Pooler = Annotated[
    Literal["single", "parallel", "cascade"] | None,
    typer.Option(help="Way of pooling image tokens.", show_default="the preset's"),
]
TextModel = Annotated[
    Path | None,
    typer.Option(
        "--text-model", metavar="FOLDER", help="RoBERTa of Hugging Face's as the text half.", show_default=False
    ),
]
ImageWeights = Annotated[bool, typer.Option(help="Start from ImageNet weights, where the preset has them.")]
Names = Annotated[
    Path | None,
    typer.Option("--names", metavar="TABLE", help="Class names; they add the name loss.", show_default=False),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--labels", metavar="DATA", help="Labelled photos for the name loss.", show_default=False),
]
LabelKey = Annotated[
    str | None, typer.Option("--label-key", metavar="COLUMN", help="Column of the labels.", show_default="wnid")
]
Validation = Annotated[
    str | None,
    typer.Option(
        "--val",
        metavar="DATA",
        help="Captioned photos to measure on; `::` joins several sources.",
        show_default="photos held out of the first source",
    ),
]
Card = Annotated[
    Path | None, typer.Option("--card", metavar="FILE", exists=True, help="Text of the model card.", show_default=False)
]


def train(
    data: Sources,
    out: Out,
    preset: Preset = None,
    model: StartModel = None,
    weight: Weights = None,
    pooler: Pooler = None,
    text_model: TextModel = None,
    image_weights: ImageWeights = True,
    names: Names = None,
    labels: Labels = None,
    label_key: LabelKey = None,
    validation: Validation = None,
    card: Card = None,
    lora: recipe_options.Lora = None,
    distill: recipe_options.Distill = None,
    precision: recipe_options.Precision = None,
    objective: recipe_options.Objective = None,
    report_to: recipe_options.ReportTo = None,
    remote_sync: recipe_options.RemoteSync = None,
    settings: training_settings.Settings = None,
    show_settings: training_settings.ShowSettings = False,
    image_key: shared_options.ImageKey = None,
    caption_key: shared_options.CaptionKey = None,
    label_template: shared_options.LabelTemplate = None,
    device: shared_options.Device = "auto",
) -> None:
    """Train a model and write its folder.

    Stopped with Ctrl-C or killed, the same command goes on from the last checkpoint.
    """
    console.tell_as_process(process_number())
    recipe = {"lora_rank": lora, "distill_from": distill, "precision": precision, "objective": objective}
    config = training_settings.apply_settings(TrainingConfig(), settings, **recipe)
    text = _read_card(card) if card else ""
    from cocasearch.training.data.training_sources import Columns
    from cocasearch.training.train_job import TrainingRequest
    from cocasearch.training.train_job import train as run

    given = {"names": names is not None, "labels": bool(labels), "val": validation is not None}
    training_settings.print_idle_settings(config, settings, recipe, **given)
    with training_progress() as progress:
        request = TrainingRequest(
            data=data,
            out=out,
            weights=weight or (),
            preset=preset,
            pooler=pooler,
            text_model=text_model,
            model=model,
            image_weights=image_weights,
            names=names,
            labels=labels or (),
            label_key=label_key,
            validation=validation,
            columns=Columns(image_key, caption_key, label_template, data_listener(progress.stage)),
            card=text,
            reporting=recipe_options.reporting_of(report_to, remote_sync),
        )
        result = run(request, config, progress=progress, device=device)
    _report(result, out)


def _read_card(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CocaSearchError(f"{file} is no text in UTF-8 that could be a model card") from error


def _report(result: "TrainingResult", out: Path) -> None:
    console.name_unreadable(result.unreadable.items())
    if result.validation:
        console.say(f"best: {summary(result.validation)}")
    use = f"cocasearch index PHOTOS --model {shlex.quote(str(out))}"
    console.say(f"wrote {out} after {result.steps} steps; use it with: {use}")
    recipe_options.refuse_uncopied(result.not_copied, out)
