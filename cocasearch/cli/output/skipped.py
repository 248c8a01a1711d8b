"""What is skipped of captioned photos, reported as soon as it is known."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from cocasearch.cli import console
from cocasearch.counting import pluralize
from cocasearch.training.step.launch import process_number

if TYPE_CHECKING:
    from pathlib import Path

    from cocasearch.captioned_data import CaptionedData, CaptionedImage
    from cocasearch.training.data.splitting import Excluded
    from cocasearch.training.data.training_sources import DataListener

NAMED = 5  # the rest is counted


def report_skipped(data: "CaptionedData") -> None:
    """Report how much of a source was skipped or is a copy, and the first few with their reasons."""
    source = console.shown(data.source)
    if data.copies:
        merged = "copy of another photo is merged with it", "copies of other photos are merged with them"
        console.report(f"{source}: {pluralize(len(data.copies), *merged)}")
        _report_some([(copy.where, copy.reason) for copy in data.copies])
    if data.skipped:
        bad, missing = pluralize(len(data.bad_rows), "bad row"), pluralize(len(data.missing), "missing photo")
        console.report(f"{source}: skipped {bad} and {missing}")
        check = f"; all of them: cocasearch data check {shlex.quote(data.source)} --format csv"
        _report_some([(row.where, row.reason) for row in data.skipped], check)


def report_not_trained_on(excluded: "Excluded") -> None:
    """Report which photos are not trained on, because they are measured on or cannot be read."""
    for pairs, what in (
        (excluded.same, "are measured on, byte for byte"),
        (excluded.nearly_same, "are nearly the same as one that is measured on"),
        (excluded.unreadable, "cannot be read"),
    ):
        if pairs:
            console.report(f"not trained on, since they {what}: {pluralize(len(pairs), 'photo')}")
            _report_some(pairs)


def report_look_alike(count: int) -> None:
    """Report how many photos resemble measured ones and are trained on all the same."""
    console.report(
        f"{pluralize(count, 'photo is', 'photos are')} nearly the same as one that is measured on; since so many "
        "photos of this kind look alike, they are trained on all the same (--val DATA measures on others)"
    )


def report_several_labels(images: "Iterable[CaptionedImage]") -> None:
    """Report which photos have more than one label, of which the first counts."""
    labels = {image.key: list(dict.fromkeys(image.captions)) for image in images}
    several = [(key, ", ".join(names)) for key, names in labels.items() if len(names) > 1]
    if several:
        console.report(
            f"{pluralize(len(several), 'photo has', 'photos have')} several labels, of which the first counts"
        )
        _report_some(several)


def _report_file(file: "Path", count: int) -> None:
    if count:
        console.report(f"{count:,} in all, with the reasons: {console.shown(str(file))}")


def data_listener(progress: Callable[[str, int, int], None]) -> "DataListener":
    """Reports what is skipped in training, and the progress of comparing photos; of several processes, one does."""
    from cocasearch.training.data.training_sources import DataListener

    if process_number() > 0:
        return DataListener()
    return DataListener(
        report_skipped, report_not_trained_on, report_look_alike, _report_file, progress, _report_resumed
    )


def _report_resumed(step: int) -> None:
    console.report(f"going on from step {step}")


def _report_some(named: Sequence[tuple[str, str]], how_to_see_all: str = "") -> None:
    for where, reason in named[:NAMED]:
        console.report(f"  {console.shown(where)}: {reason}")
    if len(named) > NAMED:
        console.report(f"  and {len(named) - NAMED:,} more{how_to_see_all}")
