"""Unsure captions of an index, written for a person to correct and read back: `caption --review` and `--apply`."""

import shlex
from pathlib import Path

from cocasearch.cli import console
from cocasearch.counting import pluralize
from cocasearch.indexing.store.manifest import index_command, index_name

_NAMED = 10  # photos


def exchange_captions(index: Path, review: Path | None, apply: Path | None, *, overwrite: bool) -> None:
    """Write unsure captions into the file `review`, or else read the corrected file `apply` back."""
    if review:
        _write_review(index, review, overwrite=overwrite)
    elif apply:
        _apply_review(index, apply)


def _write_review(index: Path, file: Path, *, overwrite: bool) -> None:
    """Write the unsure captions, and report how to go on."""
    from cocasearch.indexing.edit.caption_review import write_unsure

    count = write_unsure(index, file, overwrite=overwrite)
    apply = index_command(index, "--apply", shlex.quote(str(file)), command="caption")
    console.report(
        f"{pluralize(count, 'unsure caption')} of index '{index_name(index)}' written to {file}",
        f"correct them, empty them, or write yes in the column 'right', then: {apply}",
    )


def _apply_review(index: Path, file: Path) -> None:
    """Read corrections back, and report what became of them."""
    from cocasearch.indexing.edit.caption_review import apply_corrections

    with console.working("reading corrections"):
        report = apply_corrections(index, file)
    named = [path for path in report.lost[:_NAMED] if path]
    for path in named:
        console.report(f"not stored: {console.shown(path)}: the photo is not in the index, or has changed since")
    if more := len(report.lost) - len(named):
        console.report(f"not stored: {pluralize(more, 'decision')}{' more' if named else ''}")
    counts = {
        "changed": report.changed,
        "confirmed": report.confirmed,
        "unchanged": report.unchanged,
        "not found": report.not_found,
    }
    listed = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    console.report(f"{listed}; index '{index_name(index)}'")
    if report.replaced:
        what = pluralize(report.replaced, "earlier decision of yours was", "earlier decisions of yours were")
        console.report(f"{what} replaced")
