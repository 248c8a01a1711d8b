"""`cocasearch finetune`: the model, taught your own captioned photos."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.options.model_choice import chosen_model
from cocasearch.cli.options.option_groups import input_option, output_option, training_option
from cocasearch.cli.options.path_arguments import DATA, FOLDER
from cocasearch.cli.options.recipe_options import (
    Distill,
    Lora,
    Objective,
    Precision,
    RemoteSync,
    ReportTo,
    process_number,
    refuse_uncopied,
    reporting_of,
)
from cocasearch.cli.options.shared_options import (
    AsJson,
    CaptionedData,
    CaptionKey,
    Device,
    ImageKey,
    LabelTemplate,
    ModelName,
)
from cocasearch.cli.options.training_settings import Settings, apply_settings, names_of, report_idle_settings
from cocasearch.cli.output.proof import report_changes
from cocasearch.cli.output.skipped import data_listener
from cocasearch.cli.output.training_progress import summary, training_progress

if TYPE_CHECKING:
    from cocasearch.evaluation.benchmark import EvaluationReport
    from cocasearch.training.finetune_defaults import Plan
    from cocasearch.training.finetune_job import FinetuneResult

Out = Annotated[Path, output_option("--out", "-o", **FOLDER, help="Model folder to write.")]
Validation = Annotated[
    str | None, input_option("--val", **DATA, help="Captioned photos to measure on.", show_default="a part of DATA")
]
Guard = Annotated[
    str | None,
    input_option(
        "--guard",
        **DATA,
        help="Captioned photos of a kind that the model should not forget.",
        show_default="15 everyday photos",
    ),
]
Keep = Annotated[
    float,
    training_option(
        min=0.0, max=1.0, metavar="SHARE", help="Share of the starting weights to keep, from 0 to below 1."
    ),
]
Passes = Annotated[float | None, typer.Option(help="How often each photo is seen; chosen by size without.")]
Rate = Annotated[float | None, training_option("--lr", metavar="RATE", help="Peak learning rate.")]
EncoderRate = Annotated[
    float | None,
    training_option("--encoder-lr", metavar="RATE", help="Peak learning rate of the image encoder; 0 freezes it."),
]
ImagesPerStep = Annotated[int | None, typer.Option("--batch-size", "-b", min=2, help="Photos in a step.")]
Seed = Annotated[int | None, training_option(help="Random seed.", show_default="0")]


def finetune(
    data: CaptionedData,
    out: Out = Path("runs/finetuned"),
    model: ModelName = None,
    val: Validation = None,
    guard: Guard = None,
    keep: Keep = 0.0,
    objective: Objective = None,
    passes: Passes = None,
    learning_rate: Rate = None,
    encoder_learning_rate: EncoderRate = None,
    images_per_step: ImagesPerStep = None,
    seed: Seed = None,
    lora: Lora = None,
    distill: Distill = None,
    precision: Precision = None,
    report_to: ReportTo = None,
    remote_sync: RemoteSync = None,
    settings: Settings = None,
    image_key: ImageKey = None,
    caption_key: CaptionKey = None,
    label_template: LabelTemplate = None,
    as_json: AsJson = False,
    device: Device = "auto",
) -> None:
    """Fine-tune a model on your captioned photos, and measure it before and after on held-out ones.

    Settings that you do not give are chosen for the model, the number of photos and the machine, and printed. The table
    at the end shows what other shares of the starting weights (--keep) would give; 'cocasearch models mix' writes one.
    """
    console.set_process_number(process_number())
    from cocasearch.training.data.training_sources import Columns
    from cocasearch.training.finetune_job import FinetuneListener, FinetuneRequest
    from cocasearch.training.finetune_job import finetune as run
    from cocasearch.training.idle_settings import idle_settings

    course = {"passes": passes, "images_per_step": images_per_step, "seed": seed}
    rates = {"learning_rate": learning_rate, "encoder_learning_rate": encoder_learning_rate}
    recipe = {"lora_rank": lora, "distill_from": distill, "precision": precision, "objective": objective}
    with training_progress() as progress:
        request = FinetuneRequest(
            data=data,
            out=out,
            model=chosen_model(model),
            validation=val,
            guard=guard,
            keep=keep,
            columns=Columns(image_key, caption_key, label_template, data_listener(progress.stage)),
            adjust=lambda config: apply_settings(config, settings, **course, **rates, **recipe),
            reporting=reporting_of(report_to, remote_sync),
        )

        def planned(plan: "Plan") -> None:
            console.report(*plan.sentences())
            chosen = names_of(settings, **course, **rates, **recipe)
            report_idle_settings(idle_settings(plan.config, chosen, val=val is not None))

        def measured(moment: str, report: "EvaluationReport") -> None:
            share = f", with {keep:g} of the starting weights" if keep and moment == "after" else ""
            console.report(f"{moment}{share}: {summary(report)}")

        listener = FinetuneListener(planned, measured, progress, progress.stage)
        result = run(request, listener=listener, device=device)
    _report(result, out, as_json=as_json)


def _report(result: "FinetuneResult", out: Path, *, as_json: bool) -> None:
    console.name_unreadable((result.training.unreadable | dict(result.before.unreadable)).items())
    if as_json:
        console.write_json({"model": str(out), **result.to_dict()})
    else:
        report_changes(result, out)
    console.report(f"wrote {out}; use it with: cocasearch index PHOTOS --model {shlex.quote(str(out))} --rebuild")
    refuse_uncopied(result.training.not_copied, out)
