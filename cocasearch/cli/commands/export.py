"""`cocasearch export`: an index for other tools."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cocasearch.cli import console
from cocasearch.cli.options.shared_options import IndexName
from cocasearch.cli.output.unsure_captions import tell_all_count_as_sure
from cocasearch.counting import counted
from cocasearch.indexing.store.manifest import DEFAULT_INDEX, index_name
from cocasearch.paths import index_folder


def export(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .parquet, .csv or .jsonl file, or a folder for clip-retrieval.")
    ],
    name: IndexName = DEFAULT_INDEX,
    layout: Annotated[
        Literal["parquet", "clip-retrieval"], typer.Option(help="One file with all columns, or img_emb and metadata.")
    ] = "parquet",
    sure: Annotated[
        bool, typer.Option("--sure", help="Leave out photos whose caption is more likely wrong than right.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export, and nothing else.")
    ] = False,
) -> None:
    """Write an index for other tools: every column and vector into one file, or clip-retrieval's layout."""
    from cocasearch.indexing.exchange.index_export import count_unsure, export_clip_retrieval, export_file

    write = export_file if layout == "parquet" else export_clip_retrieval
    excluded = count_unsure(index_folder(name), with_missing=layout == "parquet") if sure else 0
    if excluded is None:
        tell_all_count_as_sure()
    with console.progress("exporting", "photos") as advance:
        count = write(index_folder(name), out, only_sure=sure, overwrite=overwrite, progress=advance)
    without = f", {excluded:,} unsure and left out" if excluded else ""
    console.say(f"{counted(count, 'photo')} of index '{index_name(index_folder(name))}' written to {out}{without}")
