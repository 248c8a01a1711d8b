"""`cocasearch status`: what the indexes hold."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cocasearch.cli import console
from cocasearch.cli.options.option_groups import index_option, output_option
from cocasearch.cli.options.path_arguments import INDEX
from cocasearch.cli.options.shared_options import AsJson
from cocasearch.counting import pluralize
from cocasearch.errors import CocaSearchError
from cocasearch.images.excludes import as_shown
from cocasearch.indexing.store.manifest import DEFAULT_INDEX, follow_command, index_command, list_indexes
from cocasearch.paths import index_folder

if TYPE_CHECKING:
    from cocasearch.indexing.summary import IndexSummary

_SHOWN_UNREADABLE = 3


def status(
    name: Annotated[
        str | None, index_option("--index", "-i", **INDEX, help="Name or folder of the only index to show.")
    ] = None,
    bad: Annotated[bool, output_option("--bad", help="List only the files that could not be read, and why.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what is indexed: photos, captions, folders, model, size, and how many files could not be read."""
    from cocasearch.indexing.summary import summarise_index

    summaries: list[IndexSummary] = []
    damaged: list[CocaSearchError] = []
    folders = [index_folder(name)] if name else list_indexes()
    if not folders:
        new = index_folder(DEFAULT_INDEX)
        raise CocaSearchError(f"no index in {new.parent} yet", hint=index_command(new, "~/Pictures"))
    for folder in folders:
        try:
            summaries.append(summarise_index(folder))
        except CocaSearchError as error:  # the others can be shown
            damaged.append(error)
    _show(summaries, bad=bad, as_json=as_json)
    for other in damaged[1:]:
        console.fail(str(other), other.hint)
    if damaged:
        raise damaged[0]


def _show(summaries: "list[IndexSummary]", *, bad: bool, as_json: bool) -> None:
    if as_json and summaries:
        wanted = [summary.to_dict() for summary in summaries]
        if bad:
            wanted = [{"index": one["name"], **entry} for one in wanted for entry in one["unreadable"]]
        console.write_json(wanted)
    else:
        console.write_lines(*(line for summary in summaries for line in (_bad_lines if bad else _lines)(summary)))


def _bad_lines(summary: "IndexSummary") -> list[str]:
    return [f"{console.shown(path)}: {reason}" for path, reason in summary.unreadable]


def _of_captions(summary: "IndexSummary") -> str:
    unjudged = summary.captions - summary.judged - summary.by_people if summary.judged else 0
    kinds = {"unsure": summary.unsure, "by people": summary.by_people, "without a confidence": unjudged}
    return "".join(f", {count} {kind}" for kind, count in kinds.items() if count)


def _how_to_follow(summary: "IndexSummary", root: Path) -> str:
    return "" if root.is_dir() else f" (not there now; {follow_command(Path(summary.folder), root)})"


def _lines(summary: "IndexSummary") -> list[str]:
    from cocasearch.inference.generation.caption_options import CaptionOptions

    parts = ", ".join(f"{part} {size / 1e6:.2f}" for part, size in summary.bytes_by_part.items())
    lines = [
        f"{summary.name}: {pluralize(summary.photos, 'photo')}, {summary.bytes / 1e6:.2f} MB "
        f"in {console.shown(summary.folder)}",
        f"  captions {summary.captions} of {summary.photos}{_of_captions(summary)}",
        *(f"  written  {CaptionOptions(**settings)}" for settings in summary.caption_settings),
        f"  model    {summary.model}, {summary.dimension} numbers a vector",
        f"  size     {summary.bytes / 1e6:.2f} MB: {parts}",
        f"  snapshot {summary.snapshot}" + ("" if summary.snapshot == "fresh" else ": the next query makes it"),
        f"  updated  {summary.updated}",
        *(f"  folder   {root}{_how_to_follow(summary, Path(root))}" for root in summary.roots),
    ]
    if summary.rebuild:
        lines.append(f"  rebuild  with {summary.rebuild} has not been completed: index --rebuild goes on")
    if summary.excludes:
        kept_back = f"; {pluralize(summary.excluded, 'photo')} kept back" if summary.excluded else ""
        lines.append(f"  excludes {', '.join(console.shown(as_shown(one)) for one in summary.excludes)}{kept_back}")
    if summary.missing:
        lines.append(f"  missing  {summary.missing}, not found where they were")
    if summary.remarks:
        find = index_command(Path(summary.folder), "--where", '"remark is not null"', command="query")
        lines.append(f"  remarks  {pluralize(summary.remarks, 'photo')} damaged around the pixels and read: {find}")
    lines += [f"  unreadable {line}" for line in _bad_lines(summary)[:_SHOWN_UNREADABLE]]
    if (more := len(summary.unreadable) - _SHOWN_UNREADABLE) > 0:
        lines.append(f"  unreadable {more} more: cocasearch status --bad")
    return lines
