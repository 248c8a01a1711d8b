"""Options of training commands for the recipes that are asked for most; `--set` reaches every other setting."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cocasearch.cli.options.option_groups import output_option, training_option
from cocasearch.cli.options.path_arguments import MODEL
from cocasearch.errors import CocaSearchError
from cocasearch.training.config_groups import ObjectiveName, PrecisionName

if TYPE_CHECKING:
    from cocasearch.training.run_folder.run_record import Reporting

Lora = Annotated[
    int | None,
    training_option("--lora", min=1, metavar="RANK", help="Train LoRA adapters of this rank instead of the weights."),
]
Distill = Annotated[
    str | None, training_option("--distill", **MODEL, help="Name or folder of a teacher model to distill from.")
]
Precision = Annotated[
    PrecisionName | None,
    training_option(
        metavar="TYPE",
        help="Number type of a step: auto, float32, bfloat16, pure_bfloat16 or float16.",
        show_default="bfloat16 where that is faster",
    ),
]
Objective = Annotated[
    ObjectiveName | None,
    training_option(
        metavar="NAME", help="Losses to train with: both (coca), or contrastive or caption alone.", show_default="coca"
    ),
]
ReportTo = Annotated[
    str | None,
    output_option(
        "--report-to", metavar="NAMES", help="Services to report to: tensorboard, wandb, or both with a comma."
    ),
]
RemoteSync = Annotated[
    str | None,
    output_option(
        "--remote-sync",
        metavar="ADDRESS",
        help="Folder or s3:// address that gets a copy of the run, to resume from elsewhere.",
    ),
]


def reporting_of(report_to: str | None, remote_sync: str | None) -> "Reporting":
    """Who else is to see the run."""
    from cocasearch.training.run_folder.run_record import Reporting

    names = [name.strip() for name in (report_to or "").split(",")]
    return Reporting([name for name in names if name], remote_sync or "")


def refuse_uncopied(reason: str, out: Path) -> None:
    """End with an error if a run that is finished here could not be copied to its remote place.

    Raises:
        CocaSearchError: It could not.
    """
    if reason:
        raise CocaSearchError(reason, hint=f"all of it is here: copy {out} and {out}.run")
