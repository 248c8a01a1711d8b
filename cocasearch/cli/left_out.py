"""What had to be left out of captioned photos, told as soon as they are read."""

from typing import TYPE_CHECKING

from cocasearch.cli import console

if TYPE_CHECKING:
    from cocasearch.captioned_data import CaptionedData

NAMED = 5  # the rest is counted


def name_left_out(data: "CaptionedData") -> None:
    """How much was left out of a source, and the first few with their reasons, on stderr."""
    if not data.left_out:
        return
    console.say(
        f"{console.shown(data.source)}: left out {len(data.bad_rows):,} rows that lack something or make no sense, "
        f"and {len(data.missing):,} photos that are not there"
    )
    for bad in data.left_out[:NAMED]:
        console.say(f"  {console.shown(bad.where)}: {bad.reason}")
    if len(data.left_out) > NAMED:
        more = len(data.left_out) - NAMED
        console.say(f"  and {more:,} more; all of them: cocasearch data check {data.source} --format csv")
