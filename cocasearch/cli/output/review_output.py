"""Unsure captions of an index, written out for a person to correct, and taken back: `caption --review`, `--apply`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.options.given_options import given_options
from cocasearch.counting import counted
from cocasearch.indexing.store.manifest import index_command, index_name

Review = Annotated[
    Path | None,
    typer.Option(
        "--review",
        metavar="FILE",
        help="Write the unsure captions of an index into a .csv, .tsv or .jsonl file, the worst first. Correct them, "
        "empty them, or write yes in the column 'right'.",
        show_default=False,
    ),
]
Apply = Annotated[
    Path | None,
    typer.Option(
        "--apply",
        metavar="FILE",
        help="Take the corrected file back. What you changed or called right is kept by all later runs.",
        show_default=False,
    ),
]

_NAMED = 10  # photos

_BESIDE = {"review": {"review", "name", "overwrite"}, "apply": {"apply", "name"}}
"""The parameters that may be given with each."""


def check_given(context: typer.Context, what: str) -> None:
    """Refuse options, and paths of photos, that have nothing to do with `what`, "review" or "apply".

    Raises:
        typer.BadParameter: One of them was given.
    """
    for name, option in given_options(context).items():
        if name not in _BESIDE[what]:
            raise typer.BadParameter(
                f"--{what} works on the captions of an index, chosen with --index, and goes without {option}"
            )


def write_review(index: Path, file: Path, *, overwrite: bool) -> None:
    """Write the unsure captions, and say how to go on."""
    from cocasearch.indexing.edit.caption_review import write_unsure

    count = write_unsure(index, file, overwrite=overwrite)
    apply = index_command(index, "--apply", shlex.quote(str(file)), command="caption")
    told = f"{counted(count, 'unsure caption')} of index '{index_name(index)}' written to {file}"
    console.say(told, f"correct them, empty them, or write yes in the column 'right', then: {apply}")


def apply_review(index: Path, file: Path) -> None:
    """Take corrections back, and say what became of them."""
    from cocasearch.indexing.edit.caption_review import apply_corrections

    with console.working("taking corrections back"):
        report = apply_corrections(index, file)
    named = [path for path in report.lost[:_NAMED] if path]
    for path in named:
        console.say(f"not stored: {console.shown(path)}: the photo is not in the index, or has changed since")
    if more := len(report.lost) - len(named):
        console.say(f"not stored: {counted(more, 'decision')}{' more' if named else ''}")
    counts = {
        "changed": report.changed,
        "confirmed": report.confirmed,
        "unchanged": report.unchanged,
        "not found": report.not_found,
    }
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    console.say(f"{told}; index '{index_name(index)}'")
    if report.replaced:
        what = counted(report.replaced, "earlier decision of yours was", "earlier decisions of yours were")
        console.say(f"{what} replaced")
