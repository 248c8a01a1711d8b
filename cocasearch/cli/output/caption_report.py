"""The results of `cocasearch caption`: captions on stdout, and counts and hints on stderr."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cocasearch.cli import console
from cocasearch.cli.console import Format
from cocasearch.cli.output.unsure_captions import IS_SURE, shown
from cocasearch.counting import pluralize
from cocasearch.errors import NothingFound
from cocasearch.indexing.store.manifest import index_command, index_name

if TYPE_CHECKING:
    from cocasearch.indexing.edit.caption_filling import FillReport
    from cocasearch.inference.caption_files.caption_sidecars import Sidecars
    from cocasearch.inference.caption_files.caption_sinks import CaptionRecord
    from cocasearch.inference.caption_files.file_captioner import CaptionReport

_COLUMNS = ("caption_score", "path", "caption")
_NAMED = 10  # side-cars


def print_captions(records: "Iterable[CaptionRecord]", output_format: Format, *, sure: bool) -> None:
    """Print captions on stdout; a table marks unsure ones, and with `sure` none of them is printed."""
    from cocasearch.inference.caption_confidence import is_sure

    is_table = output_format is Format.table
    marked = (vars(record) | {IS_SURE: is_sure(record.caption_confidence)} for record in records)
    rows = shown(marked, sure=sure, is_table=is_table)
    if is_table:
        rows = [{name: row[name] for name in _COLUMNS} for row in rows]
    if rows:
        console.write_rows(rows, output_format)


def report_run(report: "CaptionReport", *, only_empty: bool) -> None:
    """Report unreadable photos and counts.

    Raises:
        NothingFound: No caption was written or is there already.
    """
    console.name_unreadable([(error.path, error.reason) for error in report.failed])
    counts = {"captioned": report.written, "captioned before": report.kept}
    console.report(_listed(counts | {"unsure and left out": report.skipped_unsure, "unreadable": len(report.failed)}))
    if not report.written and not report.kept:
        which = "the photos without a caption" if only_empty else "the photos"
        raise NothingFound("no caption is sure" if report.skipped_unsure else f"none of {which} could be read")


def report_sidecars(sink: "Sidecars") -> None:
    """Report the side-cars by people, those that were replaced, and those that belong to no photo any more."""
    if sink.kept:
        captions = pluralize(len(sink.kept), "caption is", "captions are")
        console.report(f"{captions} by a person or of unknown origin, and stayed; to replace such too: --overwrite all")
    if sink.set_aside:
        captions = pluralize(len(sink.set_aside), "caption of a person was", "captions of people were")
        console.report(f"{captions} replaced; a copy is beside each: {console.shown(sink.set_aside[0])}")
    for text in sorted(sink.nobodys)[:_NAMED]:
        console.report(f"{console.shown(text)} could belong to several photos, so it is read for none of them")


def report_filled(report: "FillReport", index: Path) -> None:
    """Report what became of the missing captions of an index.

    Raises:
        NothingFound: None of the photos without one could be read.
    """
    console.name_unreadable(report.failed)
    counts = {
        "captioned": report.written,
        "captioned before": report.captions - report.written,
        "given a confidence": report.judged,
        "unreadable": len(report.failed),
        "changed or gone": report.outdated,
    }
    console.report(f"{_listed(counts) or 'no photos'}; index '{index_name(index)}'")
    if report.outdated:
        console.report(f"to update changed photos: {index_command(index)}")
    if report.unjudged:
        captions = pluralize(report.unjudged, "caption has", "captions have")
        console.report(
            f"{captions} no confidence, which needs the caption options that the model was calibrated with; to "
            f"rewrite all captions: {index_command(index, '--rebuild')}"
        )
    if report.failed and not report.captions:
        raise NothingFound("none of the photos could be read")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)
