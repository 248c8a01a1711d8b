"""`cocasearch query`: photos that answer words or an example."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.console import Format
from cocasearch.cli.options import shared_options as shared
from cocasearch.cli.options.model_choice import warn_about
from cocasearch.cli.options.option_groups import output_option, search_option
from cocasearch.cli.options.path_arguments import FILE, FOLDER
from cocasearch.cli.output.query_words import report_words, shortened
from cocasearch.cli.output.unsure_captions import report_missing_confidences, shown
from cocasearch.counting import pluralize
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
_LISTED = ("taken_at", "path", "caption")
_NAMED, _LONGEST_NAME = 3, 50  # copies, and characters

Terms = Annotated[list[str] | None, typer.Argument(metavar="TERM", help="Words, or the path of a photo.")]
Texts = Annotated[
    list[str] | None,
    search_option("--text", metavar="TEXT", help="Words, even if they look like a path; may be repeated."),
]
Images = Annotated[
    list[Path] | None, search_option("--image", **FILE, help="Path of a photo, whatever its name; may be repeated.")
]
Where = Annotated[
    str | None,
    search_option(
        "--where",
        "-w",
        metavar="SQL",
        help="Only photos that match this SQL condition, such as \"taken_at >= '2024-06-01' and camera like "
        f"'%Pixel%'\". Without anything to look for, they are listed, newest first. Columns: {WHERE_HELP}.",
    ),
]
Within = Annotated[Path | None, search_option("--in", **FOLDER, help="Only photos in or below this folder.")]
TextOnly = Annotated[bool, search_option("--text-only", help="Search for the words in captions; needs no model.")]
Hybrid = Annotated[bool, search_option("--hybrid", help="Search both in photos and for the words in captions.")]
AllCaptions = Annotated[
    bool, search_option("--all-captions", help="With --text-only or --hybrid: search in unsure captions too.")
]
Sure = Annotated[bool, output_option("--sure", help="Hide unsure captions, but not their photos.")]
Top = Annotated[int, output_option("--top", "-t", "-n", min=1, help="Number of photos to show.")]
MinScore = Annotated[
    float | None,
    output_option("--min-score", min=-1, max=1, metavar="COSINE", help="Lowest score of a photo to show, -1 to 1."),
]


def query(
    terms: Terms = None,
    text: Texts = None,
    image: Images = None,
    where: Where = None,
    within: Within = None,
    text_only: TextOnly = False,
    hybrid: Hybrid = False,
    all_captions: AllCaptions = False,
    name: shared.IndexName = DEFAULT_INDEX,
    model: shared.IndexModelName = None,
    top_k: Top = 10,
    min_score: MinScore = None,
    sure: Sure = False,
    output_format: shared.OutputFormat = Format.table,
    as_json: shared.AsJson = False,
    null_separated: shared.NullSeparated = False,
) -> None:
    """Find the photos that are most similar to words or to an example, best first.

    All words make one sentence, with or without quotes. The sentence, each photo and each --text are searched for
    together, and count the same. The score is a cosine; the photo itself has 1. --text-only ranks photos by how well
    their captions match the words (BM25). --hybrid fuses both rankings (reciprocal rank fusion).

    A caption that is more likely wrong than right is marked as unsure, and is searched only with --all-captions. Exact
    copies of a photo that is searched for are not listed, but named below the results, and in JSON as its `copies`.

    In conditions, ilike ignores case.
    """
    mode = _mode(text_only, hybrid)
    asked = bool(terms or text or image)
    if within is not None:
        where = both(where, below_folder(expand_home(within)))
    if not asked and where is None:
        raise typer.BadParameter('say what to look for: cocasearch query "a dog on a beach"')
    _check_options(mode, asked=asked, has_min_score=min_score is not None, all_captions=all_captions, sure=sure)
    output_format = shared.chosen_format(output_format, as_json=as_json)
    wanted = _parsed(terms or (), text or (), image or (), name) if asked else None
    model_name = model or read_manifest(index_folder(name)).model_name
    if wanted and mode != "text":
        warn_about(model_name)
    from cocasearch.search.searcher import Searcher

    with console.working("searching"):
        searcher = Searcher(index_folder(name), model)
        hits = searcher.search(wanted, top_k, where=where, mode=mode, min_score=min_score, all_captions=all_captions)
    if wanted and mode != "text":
        report_words(searcher, wanted, model_name)
    if not hits:
        _refuse_empty_folder(searcher, within)
        unsure = searcher.unsure_captions if mode == "text" and not all_captions else 0
        raise _nothing_found(searcher, wanted, where, mode, unsure, has_min_score=min_score is not None)
    if sure and not searcher.has_confidences:
        report_missing_confidences()
    print_hits(hits, output_format, PRINTED[mode] if asked else _LISTED, null_separated=null_separated, sure=sure)
    _report_files(hits, searcher, name)


def print_hits(
    hits: "list[SearchHit]",
    output_format: Format,
    columns: Sequence[str] = PRINTED["vector"],
    *,
    null_separated: bool = False,
    sure: bool = False,
) -> None:
    """Print hits on stdout, best first; a table shows the `columns`, other layouts all fields.

    A table marks unsure captions; with `sure`, none of them is printed.
    """
    is_table = output_format is Format.table
    rows = shown((hit.to_dict() | {"is_there": hit.is_there} for hit in hits), sure=sure, is_table=is_table)
    if is_table:
        marked = (row if row["is_there"] else row | {"path": f"{row['path']} (not there)"} for row in rows)
        rows = [{column: row[column] for column in columns} for row in marked]
    console.write_rows(rows, output_format, null_separated=null_separated)


def _mode(text_only: bool, hybrid: bool) -> "Mode":
    if text_only and hybrid:
        raise typer.BadParameter("--text-only and --hybrid cannot be used together")
    return "text" if text_only else "hybrid" if hybrid else "vector"


def _check_options(mode: "Mode", *, asked: bool, has_min_score: bool, all_captions: bool, sure: bool) -> None:
    """Refuse options that have no effect in the mode, or that contradict each other."""
    if mode != "vector" and not asked:
        raise typer.BadParameter(f"--{'text-only' if mode == 'text' else 'hybrid'} searches for words: give some")
    if has_min_score and (mode == "text" or not asked):
        without = "--text-only" if asked else "--where alone"
        raise typer.BadParameter(f"--min-score is about the similarity of photos, which {without} does not compute")
    if all_captions and mode == "vector":
        raise typer.BadParameter("--all-captions needs --text-only or --hybrid, which search in captions")
    if all_captions and sure:
        raise typer.BadParameter("--sure hides the captions that --all-captions searches in: give only one of them")


def _parsed(terms: Sequence[str], texts: Sequence[str], images: Sequence[Path], index: str) -> "Query":
    """The query of these terms; hints in its errors name the same index."""
    from cocasearch.search.query_terms import is_folder_name, parse_terms

    try:
        wanted = parse_terms(terms, texts=texts, images=images)
    except CocaSearchError as error:
        if error.hint and index != DEFAULT_INDEX:
            error.hint = error.hint.replace("cocasearch query", f"cocasearch query --index {shlex.quote(index)}")
        raise
    if is_folder_name(terms):
        console.report(f"warning: these are words; to search in the folder of that name: --in {shlex.quote(terms[0])}")
    return wanted


def _refuse_empty_folder(searcher: "Searcher", within: Path | None) -> None:
    if within and not searcher.search(None, 1, where=(folder := below_folder(expand_home(within)))):
        hint = f"in this index, {searcher.values_near(folder)}"
        raise NothingFound(f"the index has no photo below {console.shown(within)}", hint=hint)


def _nothing_found(
    searcher: "Searcher", wanted: "Query | None", where: str | None, mode: "Mode", unsure: int, *, has_min_score: bool
) -> NothingFound:
    """The error that no photo answers, with the hint that helps most.

    That is how many of the `unsure` captions that were left out match, or the best score, or the values that a
    condition may ask for.
    """
    if unsure and (matches := searcher.search(wanted, unsure, where=where, mode=mode, all_captions=True)):
        captions = pluralize(len(matches), "unsure caption was", "unsure captions were")
        return NothingFound("no photo answers this query", hint=f"{captions} left out: add --all-captions")
    near = searcher.values_near(where) if where is not None else ""
    if has_min_score and mode == "vector" and (best := searcher.search(wanted, 1, where=where)):
        near = f"the best score is {best[0].score:.3f}"
    if mode == "text" and not near:
        hint = "without --text-only, the photos themselves are searched"
        return NothingFound("no caption has any of these words", hint=hint)
    return NothingFound("no photo answers this query", hint=f"in this index, {near}" if near else None)


def _report_files(hits: "Sequence[SearchHit]", searcher: "Searcher", index: str) -> None:
    """Report the exact copies of the example, and how to follow photos that have moved."""
    for hit in hits:
        if hit.copies:
            names = [shortened(console.shown(path), _LONGEST_NAME) for path in (hit.path, *hit.copies[:_NAMED])]
            more = f" and {len(hit.copies) - _NAMED:,} more" if len(hit.copies) > _NAMED else ""
            console.report(f"exact copies of {names[0]} are not listed: {', '.join(names[1:])}{more}")
    if absent := [hit for hit in hits if not hit.is_there]:
        follow = follow_command(index_folder(index), searcher.folder_of(absent[0]))
        console.report(f"{pluralize(len(absent), 'photo is', 'photos are')} not where they were indexed; {follow}")
