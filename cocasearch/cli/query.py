"""`cocasearch query`: photos that answer words or an example."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.console import Format
from cocasearch.cli.model_choice import warn_about
from cocasearch.cli.options import IndexName, ModelName, NullSeparated, OutputFormat
from cocasearch.errors import NothingFound
from cocasearch.indexing.manifest import DEFAULT_INDEX, read_manifest
from cocasearch.paths import index_folder

if TYPE_CHECKING:
    from cocasearch.search.searcher import SearchHit

PRINTED = ("score", "path", "caption")


def query(
    terms: Annotated[
        list[str] | None,
        typer.Argument(metavar="TERM", help="Words, or the path of a photo.", show_default=False),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="Words, whatever they look like; may be repeated.", show_default=False),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option("--image", metavar="FILE", help="A photo, whatever its name; likewise.", show_default=False),
    ] = None,
    top_k: Annotated[int, typer.Option("--top", "-t", min=1, metavar="N", help="So many photos at most.")] = 10,
    name: IndexName = DEFAULT_INDEX,
    model: ModelName = None,
    output_format: OutputFormat = Format.table,
    null_separated: NullSeparated = False,
) -> None:
    """Find the photos that are most like words or an example, best first.

    Words one after another are one sentence, quoted or not. It, each photo and each --text are looked for together,
    counting the same. The score is a cosine: 1 is the photo itself.
    """
    if not (terms or text or image):
        raise typer.BadParameter('say what to look for: cocasearch query "a dog on a beach"')
    from cocasearch.search.query import parse_terms

    wanted = parse_terms(terms or (), texts=text or (), images=image or ())
    warn_about(model or read_manifest(index_folder(name)).model_name)
    from cocasearch.search.searcher import Searcher

    with console.working("searching"):
        hits = Searcher(index_folder(name), model).search(wanted, top_k)
    if not hits:
        raise NothingFound("no photo answers this query")
    print_hits(hits, output_format, null_separated=null_separated)


def print_hits(hits: "list[SearchHit]", output_format: Format, *, null_separated: bool = False) -> None:
    """Print hits on stdout, best first; a table shows score, path and caption, other layouts all fields."""
    rows = [hit.to_dict() for hit in hits]
    if output_format is Format.table:
        rows = [{column: row[column] for column in PRINTED} for row in rows]
    console.write_rows(rows, output_format, null_separated=null_separated)
