"""`cocasearch query`: photos that answer words or an example."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.console import Format
from cocasearch.cli.options.model_choice import warn_about
from cocasearch.cli.options.shared_options import (
    AsJson,
    IndexName,
    ModelName,
    NullSeparated,
    OutputFormat,
    chosen_format,
)
from cocasearch.cli.output.query_words import shortened, tell_about_words
from cocasearch.cli.output.unsure_captions import shown, tell_all_count_as_sure
from cocasearch.counting import counted
from cocasearch.errors import CocaSearchError, NothingFound
from cocasearch.indexing.store.manifest import DEFAULT_INDEX, follow_command, read_manifest
from cocasearch.indexing.store.records import WHERE_HELP
from cocasearch.indexing.store.where_clause import below_folder, both
from cocasearch.paths import expand_home, index_folder

if TYPE_CHECKING:
    from cocasearch.search.hits import SearchHit
    from cocasearch.search.query_terms import Query
    from cocasearch.search.ranking import Mode
    from cocasearch.search.searcher import Searcher

PRINTED: "dict[Mode, tuple[str, ...]]" = {
    "vector": ("score", "path", "caption"),
    "text": ("text_score", "path", "caption"),
    "hybrid": ("score", "text_score", "vector_rank", "text_rank", "path", "caption"),
}
_NAMED, _LONGEST_NAME = 3, 50  # copies, and characters

PRINTED_OF_A_LIST = ("taken_at", "path", "caption")

Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        "-w",
        metavar="SQL",
        help="Only photos of which this is true: \"taken_at >= '2024-06-01' and camera like '%Pixel%'\". "
        f"Alone, it lists them, newest first. Columns: {WHERE_HELP}.",
        show_default=False,
    ),
]
Within = Annotated[
    Path | None,
    typer.Option(
        "--in", metavar="FOLDER", help="Only photos somewhere below it; alone, as --where.", show_default=False
    ),
]
TextOnly = Annotated[bool, typer.Option("--text-only", help="Look for the words in captions; loads no model.")]
Hybrid = Annotated[bool, typer.Option("--hybrid", help="Look both at photos and for the words in captions.")]
AllCaptions = Annotated[
    bool, typer.Option("--all-captions", help="With --text-only or --hybrid: look in unsure captions, too.")
]
Sure = Annotated[bool, typer.Option("--sure", help="Hide unsure captions; their photos are shown.")]
MinScore = Annotated[
    float | None,
    typer.Option("--min-score", min=-1, max=1, metavar="COSINE", help="Smallest score of a hit.", show_default=False),
]


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
    where: Where = None,
    within: Within = None,
    text_only: TextOnly = False,
    hybrid: Hybrid = False,
    all_captions: AllCaptions = False,
    sure: Sure = False,
    top_k: Annotated[int, typer.Option("--top", "-t", "-n", min=1, metavar="N", help="So many photos at most.")] = 10,
    min_score: MinScore = None,
    name: IndexName = DEFAULT_INDEX,
    model: ModelName = None,
    output_format: OutputFormat = Format.table,
    as_json: AsJson = False,
    null_separated: NullSeparated = False,
) -> None:
    """Find the photos that are most like words or an example, best first.

    Words one after another are one sentence, quoted or not. It, each photo and each --text are looked for together,
    counting the same. The score is a cosine: 1 is the photo itself. --text-only orders by how well the words fit the
    caption (BM25), --hybrid by the places in both orders (reciprocal rank fusion).

    A caption that is more likely wrong than right is marked as unsure, and words are looked for in it only with
    --all-captions.

    Exact copies of a photo that is looked for take no places; they are named, and JSON has them under its `copies`.

    In conditions, ilike ignores case.
    """
    asked = bool(terms or text or image)
    if within is not None:
        where = both(where, below_folder(expand_home(within)))
    if not asked and where is None:
        raise typer.BadParameter('say what to look for: cocasearch query "a dog on a beach"')
    mode = _mode(text_only, hybrid)
    _check_caption_options(mode, all_captions=all_captions, sure=sure)
    _check_what_is_compared(mode, asked=asked, has_min_score=min_score is not None)
    wanted = _parsed(terms or (), text or (), image or (), name) if asked else None
    model_name = model or read_manifest(index_folder(name)).model_name
    if wanted and mode != "text":
        warn_about(model_name)
    from cocasearch.search.searcher import Searcher

    with console.working("searching"):
        searcher = Searcher(index_folder(name), model)
        hits = searcher.search(wanted, top_k, where=where, mode=mode, min_score=min_score, all_captions=all_captions)
    if wanted and mode != "text":
        tell_about_words(searcher, wanted, model_name)
    if not hits:
        left_out = 0
        if mode == "text" and not all_captions and (unsure := searcher.unsure_captions):
            left_out = len(searcher.search(wanted, unsure, where=where, mode=mode, all_captions=True))
        if within is not None and not searcher.search(None, 1, where=below_folder(expand_home(within))):
            hint = f"in this index, {searcher.values_near(below_folder(expand_home(within)))}"
            raise NothingFound(f"the index shows no photo below {console.shown(within)}", hint=hint)
        near = searcher.values_near(where) if where is not None else ""
        if min_score is not None and mode == "vector" and (best := searcher.search(wanted, 1, where=where)):
            near = f"the best score is {best[0].score:.3f}"
        raise _nothing_found(left_out, near, is_words_alone=mode == "text")
    if sure and not searcher.has_confidences:
        tell_all_count_as_sure()
    columns = PRINTED[mode] if asked else PRINTED_OF_A_LIST
    output_format = chosen_format(output_format, as_json=as_json)
    print_hits(hits, output_format, columns, null_separated=null_separated, sure=sure)
    _tell_of_files(hits, searcher, name)


def _tell_of_files(hits: "Sequence[SearchHit]", searcher: "Searcher", index: str) -> None:
    """Name the exact copies of what was looked for, and how to follow photos that have moved."""
    for hit in hits:
        if hit.copies:
            console.say(_about_copies(hit))
    if absent := [hit for hit in hits if not hit.is_there]:
        follow = follow_command(index_folder(index), searcher.folder_of(absent[0]))
        console.say(f"{counted(len(absent), 'photo is', 'photos are')} not where they were indexed; {follow}")


def _about_copies(hit: "SearchHit") -> str:
    names = [shortened(console.shown(path), _LONGEST_NAME) for path in (hit.path, *hit.copies[:_NAMED])]
    more = f" and {len(hit.copies) - _NAMED:,} more" if len(hit.copies) > _NAMED else ""
    return f"byte for byte the same as {names[0]}, and not listed: {', '.join(names[1:])}{more}"


def _parsed(terms: Sequence[str], texts: Sequence[str], images: Sequence[Path], index: str) -> "Query":
    """What is asked for; hints of what is wrong with it are for the same index."""
    from cocasearch.search.query_terms import is_folder_name, parse_terms

    try:
        wanted = parse_terms(terms, texts=texts, images=images)
    except CocaSearchError as error:
        if error.hint and index != DEFAULT_INDEX:
            error.hint = error.hint.replace("cocasearch query", f"cocasearch query --index {shlex.quote(index)}")
        raise
    if is_folder_name(terms):
        console.say(f"mind: these are words; to search in the folder of that name: --in {shlex.quote(terms[0])}")
    return wanted


def _nothing_found(left_out: int, near: str, *, is_words_alone: bool) -> NothingFound:
    """That no photo answers, how many would by the words of an unsure caption, and what a condition might ask for."""
    if is_words_alone and not (left_out or near):
        hint = "without --text-only, photos are looked at, not captions alone"
        return NothingFound("no caption has any of these words", hint=hint)
    told = f"{counted(left_out, 'unsure caption was', 'unsure captions were')} left out: add --all-captions"
    return NothingFound(
        "no photo answers this query", hint=told if left_out else f"in this index, {near}" if near else None
    )


def print_hits(
    hits: "list[SearchHit]",
    output_format: Format,
    columns: Sequence[str] = PRINTED["vector"],
    *,
    null_separated: bool = False,
    sure: bool = False,
) -> None:
    """Print hits on stdout, best first; a table shows the `columns`, other layouts all fields.

    A table marks unsure captions; none is printed at all where only sure ones are wanted.
    """
    rows = shown(
        (hit.to_dict() | {"is_there": hit.is_there} for hit in hits), sure=sure, is_table=output_format is Format.table
    )
    if output_format is Format.table:
        marked = (row if row["is_there"] else row | {"path": f"{row['path']} (not there)"} for row in rows)
        rows = [{column: row[column] for column in columns} for row in marked]
    console.write_rows(rows, output_format, null_separated=null_separated)


def _check_caption_options(mode: "Mode", *, all_captions: bool, sure: bool) -> None:
    if all_captions and mode == "vector":
        raise typer.BadParameter("--all-captions goes with --text-only or --hybrid, which look for words in captions")
    if all_captions and sure:
        raise typer.BadParameter("--sure hides what --all-captions looks in: give one of them")


def _check_what_is_compared(mode: "Mode", *, asked: bool, has_min_score: bool) -> None:
    if mode != "vector" and not asked:
        raise typer.BadParameter(f"--{'text-only' if mode == 'text' else 'hybrid'} looks for words: give some")
    if has_min_score and (mode == "text" or not asked):
        without = "--text-only" if asked else "--where alone"
        raise typer.BadParameter(f"--min-score is about how alike a photo is, which {without} does not look at")


def _mode(text_only: bool, hybrid: bool) -> "Mode":
    if text_only and hybrid:
        raise typer.BadParameter("--text-only and --hybrid exclude each other")
    return "text" if text_only else "hybrid" if hybrid else "vector"
