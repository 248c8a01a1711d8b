"""`cocasearch train`: a model from a preset, on captioned photos of any number of sources."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cocasearch.cli import console
from cocasearch.cli.options import recipe_options, shared_options, training_settings
from cocasearch.cli.options.option_groups import input_option, model_option, output_option
from cocasearch.cli.options.path_arguments import DATA, EXISTING_FILE, FOLDER, MODEL, NAME, read_path
from cocasearch.cli.output.skipped import data_listener
from cocasearch.cli.output.training_progress import summary, training_progress
from cocasearch.errors import CocaSearchError
from cocasearch.training.config import TrainingConfig
from cocasearch.training.step.launch import process_number

if TYPE_CHECKING:
    from cocasearch.training.results import TrainingResult

Sources = Annotated[list[str], typer.Argument(**DATA, help="Captioned photos from one or several sources.")]
Out = Annotated[Path, output_option("--out", "-o", **FOLDER, help="Model folder to write.")]
Preset = Annotated[
    str | None, model_option("--preset", "-p", **NAME, help="Name of the architecture.", show_default="coca-mini")
]
StartModel = Annotated[
    str | None,
    model_option("--model", "-m", **MODEL, help="Name or folder of a model to start from, instead of a preset."),
]
Weights = Annotated[
    list[float] | None,
    input_option(
        "--weight",
        "-w",
        metavar="X",
        help="Weight of a source in a step; once for each source.",
        show_default="its number of photos",
    ),
]
Pooler = Annotated[
    Literal["single", "parallel", "cascade"] | None,
    model_option(
        metavar="NAME", help="How image tokens are pooled: single, parallel or cascade.", show_default="the preset's"
    ),
]
TextModel = Annotated[
    Path | None, model_option("--text-model", **FOLDER, help="Folder of a Hugging Face RoBERTa to use as text encoder.")
]
ImageWeights = Annotated[
    bool,
    model_option("--image-weights/--no-image-weights", help="Start from ImageNet weights, if the preset has some."),
]
Names = Annotated[
    Path | None,
    input_option("--names", metavar="TABLE", parser=read_path, help="Table of class names, which adds the name loss."),
]
Labels = Annotated[list[str] | None, input_option("--labels", **DATA, help="Labelled photos for the name loss.")]
LabelKey = Annotated[
    str | None, input_option("--label-key", metavar="COLUMN", help="Name of the column of labels.", show_default="wnid")
]
Validation = Annotated[
    str | None,
    input_option(
        "--val",
        **DATA,
        help="Captioned photos to measure on; join several sources by '::'.",
        show_default="photos held out of the first source",
    ),
]
Card = Annotated[Path | None, output_option("--card", **EXISTING_FILE, help="File with the text of the model card.")]


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
    """Train a model on captioned photos, from a preset or from another model.

    After Ctrl-C or a crash, the same command resumes from the last checkpoint.
    """
    console.set_process_number(process_number())
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
        console.report(f"best: {summary(result.validation)}")
    use = f"cocasearch index PHOTOS --model {shlex.quote(str(out))}"
    console.report(f"wrote {out} after {result.steps} steps; use it with: {use}")
    recipe_options.refuse_uncopied(result.not_copied, out)
