"""`cocasearch finetune`: the model, taught your own captioned photos."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cocasearch.cli import console
from cocasearch.cli.left_out import data_listener
from cocasearch.cli.model_choice import chosen_model
from cocasearch.cli.options import AsJson, CaptionedData, CaptionKey, Device, ImageKey, LabelTemplate, ModelName
from cocasearch.cli.training_progress import summary, training_progress

if TYPE_CHECKING:
    from cocasearch.training.config import TrainingConfig

Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="The model folder to write.")]
Validation = Annotated[
    str | None, typer.Option("--val", metavar="DATA", help="Measure on this, not on a part of DATA.")
]
Passes = Annotated[float | None, typer.Option(help="How often each photo is seen; chosen by size without.")]
Rate = Annotated[float | None, typer.Option("--lr", help="Peak learning rate.")]
EncoderRate = Annotated[float | None, typer.Option("--encoder-lr", help="Of the image encoder; 0 keeps it as it is.")]
ImagesPerStep = Annotated[int | None, typer.Option("--batch-size", "-b", min=2, help="Photos in a step.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]


def finetune(
    data: CaptionedData,
    out: Out = Path("runs/finetuned"),
    model: ModelName = None,
    val: Validation = None,
    passes: Passes = None,
    learning_rate: Rate = None,
    encoder_learning_rate: EncoderRate = None,
    images_per_step: ImagesPerStep = None,
    seed: Seed = 0,
    image_key: ImageKey = None,
    caption_key: CaptionKey = None,
    label_template: LabelTemplate = None,
    as_json: AsJson = False,
    device: Device = "auto",
) -> None:
    """Train the model further on your captioned photos, and measure it before and after on held-out ones."""
    from cocasearch.training.finetune import finetune as run
    from cocasearch.training.sources import Columns

    def adjust(config: "TrainingConfig") -> "TrainingConfig":
        chosen: dict[str, Any] = {
            "passes": passes,
            "learning_rate": learning_rate,
            "encoder_learning_rate": encoder_learning_rate,
            "images_per_step": images_per_step,
            "seed": seed,
        }
        return dataclasses.replace(config, **{name: value for name, value in chosen.items() if value is not None})

    with training_progress() as progress:
        result = run(
            data,
            out=out,
            model=chosen_model(model),
            validation=val,
            columns=Columns(image_key, caption_key, label_template, data_listener(progress.stage)),
            adjust=adjust,
            measured=lambda moment, report: console.say(f"{moment}: {summary(report)}"),
            progress=progress,
            device=device,
        )
    console.name_unreadable(result.training.unreadable.items())
    if as_json:
        reports = {"before": result.before.to_dict(), "after": result.after.to_dict()}
        console.write_json({"model": str(out), "fingerprint": result.training.fingerprint, **reports})
    console.say(f"wrote {out}; use it with: cocasearch index PHOTOS --model {out} --rebuild")
