"""What had to be left out of captioned photos, told as soon as it is known."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from cocasearch.cli import console
from cocasearch.counting import counted
from cocasearch.training.step.launch import process_number

if TYPE_CHECKING:
    from pathlib import Path

    from cocasearch.captioned_data import CaptionedData, CaptionedImage
    from cocasearch.training.data.splitting import Excluded
    from cocasearch.training.data.training_sources import DataListener

NAMED = 5  # the rest is counted


def name_left_out(data: "CaptionedData") -> None:
    """How much was left out of a source and put together, and the first few with their reasons, on stderr."""
    if data.copies:
        console.say(
            f"{console.shown(data.source)}: "
            + counted(
                len(data.copies),
                "photo is another one under a second name, and counts as one with it",
                "photos are another one under a second name, and count as one with it",
            )
        )
        _name_some([(copy.where, copy.reason) for copy in data.copies])
    if not data.skipped:
        return
    console.say(
        f"{console.shown(data.source)}: left out "
        + counted(
            len(data.bad_rows),
            "row that lacks something or makes no sense",
            "rows that lack something or make no sense",
        )
        + f", and {counted(len(data.missing), 'photo that is not there', 'photos that are not there')}"
    )
    check = f"; all of them: cocasearch data check {shlex.quote(data.source)} --format csv"
    _name_some([(bad.where, bad.reason) for bad in data.skipped], check)


def name_not_trained_on(left_out: "Excluded") -> None:
    """Which photos are not trained on because they are measured on, or cannot be read, on stderr."""
    for pairs, what in (
        (left_out.same, "are measured on, byte for byte"),
        (left_out.nearly_same, "are nearly the same as one that is measured on"),
        (left_out.unreadable, "cannot be read"),
    ):
        if pairs:
            console.say(f"not trained on, since they {what}: {counted(len(pairs), 'photo')}")
            _name_some(pairs)


def name_look_alike(count: int) -> None:
    console.say(
        f"{counted(count, 'photo is', 'photos are')} nearly the same as one that is measured on; so many, the kind "
        "looks alike, and they are trained on (--val DATA measures on others)"
    )


def name_several_labels(images: "Iterable[CaptionedImage]") -> None:
    """Which photos have more than one label, of which the first counts, on stderr."""
    labels = {image.key: list(dict.fromkeys(image.captions)) for image in images}
    several = [(key, ", ".join(names)) for key, names in labels.items() if len(names) > 1]
    if several:
        console.say(f"{counted(len(several), 'photo has', 'photos have')} several labels, of which the first counts")
        _name_some(several)


def _name_file(file: "Path", count: int) -> None:
    if count:
        console.say(f"all {count:,} of them, with the reasons: {console.shown(str(file))}")


def data_listener(progress: Callable[[str, int, int], None]) -> "DataListener":
    """Tells all that is left out of training, and how far the comparison of photos is; of many processes, one does."""
    from cocasearch.training.data.training_sources import DataListener

    if process_number() > 0:
        return DataListener()
    return DataListener(name_left_out, name_not_trained_on, name_look_alike, _name_file, progress, _going_on)


def _going_on(step: int) -> None:
    console.say(f"going on from step {step}")


def _name_some(named: Sequence[tuple[str, str]], how_to_see_all: str = "") -> None:
    for where, reason in named[:NAMED]:
        console.say(f"  {console.shown(where)}: {reason}")
    if len(named) > NAMED:
        console.say(f"  and {len(named) - NAMED:,} more{how_to_see_all}")
