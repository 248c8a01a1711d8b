"""`cocasearch status`: what the indexes hold."""

from typing import TYPE_CHECKING, Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.options import AsJson
from cocasearch.errors import CocaSearchError
from cocasearch.paths import index_folder

if TYPE_CHECKING:
    from cocasearch.indexing.summary import IndexSummary


def status(
    name: Annotated[
        str | None,
        typer.Option("--index", "-i", metavar="NAME|FOLDER", help="One index, with all of it.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is indexed: photos, folders, model, and the files that could not be read."""
    from cocasearch.indexing.summary import list_indexes, summarise_index

    summaries: list[IndexSummary] = []
    damaged: list[CocaSearchError] = []
    for folder in [index_folder(name)] if name else list_indexes():
        try:
            summaries.append(summarise_index(folder))
        except CocaSearchError as error:  # the others can be shown
            damaged.append(error)
    if as_json and summaries:
        console.write_json([summary.to_dict() for summary in summaries])
    else:
        console.write("".join(f"{line}\n" for summary in summaries for line in _lines(summary)))
    for other in damaged[1:]:
        console.fail(str(other), other.hint)
    if damaged:
        raise damaged[0]


def _lines(summary: "IndexSummary") -> list[str]:
    return [
        f"{summary.name}: {summary.photos} photos, {summary.bytes / 1e6:.2f} MB in {console.shown(summary.folder)}",
        f"  model    {summary.model}, {summary.dimension} numbers a vector",
        f"  updated  {summary.updated}",
        *(f"  folder   {root}" for root in summary.roots),
        *(f"  unreadable {console.shown(path)}: {reason}" for path, reason in summary.unreadable),
    ]
