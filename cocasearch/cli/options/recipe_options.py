"""Options of training commands for the recipes that are asked for most; `--set` reaches every other setting."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cocasearch.errors import CocaSearchError
from cocasearch.training.config_groups import ObjectiveName, PrecisionName

if TYPE_CHECKING:
    from cocasearch.training.run_folder.run_record import Reporting

Lora = Annotated[
    int | None,
    typer.Option(
        "--lora", min=1, metavar="RANK", help="Rank of adapters, trained instead of weights.", show_default=False
    ),
]
Distill = Annotated[
    str | None,
    typer.Option("--distill", metavar="NAME|FOLDER", help="Model to learn from as well.", show_default=False),
]
Precision = Annotated[
    PrecisionName | None, typer.Option(help="Number type of a step.", show_default="bfloat16 where that is faster")
]
Objective = Annotated[
    ObjectiveName | None,
    typer.Option(help="Train both halves, or the one that finds, or the one that writes.", show_default="coca"),
]
ReportTo = Annotated[
    str | None,
    typer.Option("--report-to", metavar="NAMES", help="Trackers: tensorboard, wandb, or both.", show_default=False),
]
RemoteSync = Annotated[
    str | None,
    typer.Option(
        "--remote-sync",
        metavar="FOLDER|ADDRESS",
        help="Place of a copy of the run (a folder, s3://…), to go on from.",
        show_default=False,
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
