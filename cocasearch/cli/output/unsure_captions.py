"""Captions that are more likely wrong than right: marked, or hidden."""

from collections.abc import Iterable, Mapping
from typing import Any

from cocasearch.cli import console

IS_SURE = "caption_is_sure"
"""The field of a row for whether its caption is sure; None without a caption."""

_MARK = "unsure: "


def shown(rows: Iterable[Mapping[str, Any]], *, sure: bool, is_table: bool) -> list[dict[str, Any]]:
    """Rows as they are printed: without unsure captions if only sure ones are wanted, else marked in a table."""
    if sure:
        return list(map(without_unsure, rows))
    return [marked(row) if is_table else dict(row) for row in rows]


def marked(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with a caption as people are shown it: with a mark before an unsure one."""
    return {**row, "caption": f"{_MARK}{row['caption']}"} if row[IS_SURE] is False else dict(row)


def without_unsure(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its caption only if that is sure."""
    return {**row, "caption": None} if row[IS_SURE] is False else dict(row)


def report_missing_confidences() -> None:
    """Report that --sure does nothing, since no caption has a confidence."""
    console.report(
        "warning: no caption here has a confidence, so all count as sure; see: cocasearch models calibrate --help"
    )
