"""`cocasearch export`: an index for other tools."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cocasearch.cli import console
from cocasearch.cli.options.option_groups import output_option
from cocasearch.cli.options.path_arguments import read_path
from cocasearch.cli.options.shared_options import IndexName
from cocasearch.cli.output.unsure_captions import report_missing_confidences
from cocasearch.counting import pluralize
from cocasearch.indexing.store.manifest import DEFAULT_INDEX, index_name
from cocasearch.paths import index_folder


def export(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", parser=read_path, help="File (.parquet, .csv or .jsonl), or folder for clip-retrieval."
        ),
    ],
    name: IndexName = DEFAULT_INDEX,
    layout: Annotated[
        Literal["parquet", "clip-retrieval"],
        output_option(metavar="NAME", help="Layout: one file with all columns (parquet), or clip-retrieval's folders."),
    ] = "parquet",
    sure: Annotated[
        bool, output_option("--sure", help="Leave out photos whose caption is more likely wrong than right.")
    ] = False,
    overwrite: Annotated[
        bool, output_option("--overwrite", help="Replace an earlier export, but nothing else.")
    ] = False,
) -> None:
    """Export an index for other tools, with every column and vector, as one file or in clip-retrieval's layout."""
    from cocasearch.indexing.exchange.index_export import count_unsure, export_clip_retrieval, export_file

    write = export_file if layout == "parquet" else export_clip_retrieval
    excluded = count_unsure(index_folder(name), with_missing=layout == "parquet") if sure else 0
    if excluded is None:
        report_missing_confidences()
    with console.progress("exporting", "photos") as advance:
        count = write(index_folder(name), out, only_sure=sure, overwrite=overwrite, progress=advance)
    without = f", {excluded:,} unsure and left out" if excluded else ""
    console.report(f"{pluralize(count, 'photo')} of index '{index_name(index_folder(name))}' written to {out}{without}")
