"""`cocasearch finetune`: the model, taught your own captioned photos."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cocasearch.cli import console
from cocasearch.cli.options import recipe_options, shared_options, training_settings
from cocasearch.cli.options.model_choice import chosen_model
from cocasearch.cli.options.option_groups import input_option, output_option, training_option
from cocasearch.cli.options.path_arguments import DATA, FOLDER
from cocasearch.cli.output.proof import print_proof
from cocasearch.cli.output.skipped import data_listener
from cocasearch.cli.output.training_progress import summary, training_progress
from cocasearch.training.step.launch import process_number

if TYPE_CHECKING:
    from cocasearch.evaluation.benchmark import EvaluationReport
    from cocasearch.training.finetune_defaults import Plan
    from cocasearch.training.results import FinetuneResult

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
Epochs = Annotated[
    float | None,
    training_option(
        metavar="X", help="Number of times that each photo is seen.", show_default="chosen by their number"
    ),
]
Rate = Annotated[float | None, training_option("--lr", metavar="RATE", help="Peak learning rate.")]
EncoderRate = Annotated[
    float | None,
    training_option("--encoder-lr", metavar="RATE", help="Peak learning rate of the image encoder; 0 freezes it."),
]
BatchSize = Annotated[int | None, training_option("--batch-size", "-b", min=2, help="Number of photos in a step.")]
Seed = Annotated[int | None, training_option(help="Random seed.", show_default="0")]


def finetune(
    data: shared_options.CaptionedData,
    out: Out = Path("runs/finetuned"),
    model: shared_options.ModelName = None,
    val: Validation = None,
    guard: Guard = None,
    keep: Keep = 0.0,
    objective: recipe_options.Objective = None,
    epochs: Epochs = None,
    learning_rate: Rate = None,
    encoder_learning_rate: EncoderRate = None,
    batch_size: BatchSize = None,
    seed: Seed = None,
    lora: recipe_options.Lora = None,
    distill: recipe_options.Distill = None,
    precision: recipe_options.Precision = None,
    report_to: recipe_options.ReportTo = None,
    remote_sync: recipe_options.RemoteSync = None,
    settings: training_settings.Settings = None,
    show_settings: training_settings.ShowSettings = False,
    image_key: shared_options.ImageKey = None,
    caption_key: shared_options.CaptionKey = None,
    label_template: shared_options.LabelTemplate = None,
    as_json: shared_options.AsJson = False,
    device: shared_options.Device = "auto",
) -> None:
    """Fine-tune a model on your captioned photos, and measure it before and after on held-out ones.

    Settings that you do not give are chosen for the model, the number of photos and the machine, and printed. The table
    at the end shows what other shares of the starting weights (--keep) would give; 'cocasearch models mix' writes one.
    """
    console.set_process_number(process_number())
    from cocasearch.training.data.training_sources import Columns
    from cocasearch.training.finetune_job import FinetuneListener, FinetuneRequest
    from cocasearch.training.finetune_job import finetune as run

    asked: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "seed": seed, "learning_rate": learning_rate}
    asked |= {"encoder_learning_rate": encoder_learning_rate, "lora_rank": lora, "distill_from": distill}
    asked |= {"precision": precision, "objective": objective}
    with training_progress() as progress:
        request = FinetuneRequest(
            data=data,
            out=out,
            model=chosen_model(model),
            validation=val,
            guard=guard,
            keep=keep,
            columns=Columns(image_key, caption_key, label_template, data_listener(progress.stage)),
            adjust=lambda config: training_settings.apply_settings(config, settings, **asked),
            reporting=recipe_options.reporting_of(report_to, remote_sync),
        )

        def planned(plan: "Plan") -> None:
            console.report(*plan.sentences())
            training_settings.print_idle_settings(plan.config, settings, asked, val=val is not None)

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
        print_proof(result, out)
    console.report(f"wrote {out}; use it with: cocasearch index PHOTOS --model {shlex.quote(str(out))} --rebuild")
    recipe_options.refuse_uncopied(result.training.not_copied, out)
