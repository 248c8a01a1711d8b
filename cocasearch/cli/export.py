"""`cocasearch export` and `import`: indexes for other tools, and other tools' vectors as indexes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cocasearch.cli import console
from cocasearch.cli.options import IndexName
from cocasearch.errors import CocaSearchError
from cocasearch.indexing.manifest import DEFAULT_INDEX, index_name
from cocasearch.paths import index_folder


def export(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A Parquet file, or a folder for clip-retrieval.")],
    name: IndexName = DEFAULT_INDEX,
    layout: Annotated[
        Literal["parquet", "clip-retrieval"], typer.Option(help="One file with all columns, or img_emb and metadata.")
    ] = "parquet",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write an index for other tools: every column and vector into one Parquet file, or clip-retrieval's layout."""
    from cocasearch.indexing.export import export_clip_retrieval, export_parquet

    if out.exists() and not overwrite:
        raise CocaSearchError(f"{out} exists already", hint="another name, or the same command with --overwrite")
    if layout == "parquet" and out.is_dir():
        raise CocaSearchError(f"{out} is a folder", hint=f"cocasearch export {out / 'index.parquet'}")
    write = export_parquet if layout == "parquet" else export_clip_retrieval
    with console.progress("exporting", "photos") as advance:
        count = write(index_folder(name), out, progress=advance)
    console.say(f"{count} photos of index '{index_name(index_folder(name))}' are in {out}")
