"""`cocasearch remove` and `reroot`: what an index covers, and where that lies."""

from pathlib import Path
from typing import Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.options.shared_options import IndexName
from cocasearch.counting import counted
from cocasearch.indexing.store.manifest import DEFAULT_INDEX, index_name
from cocasearch.paths import expand_home, index_folder


def remove(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Photos, or folders with all below.", show_default=False)
    ],
    name: IndexName = DEFAULT_INDEX,
) -> None:
    """Take photos or folders out of the index, for good; the files themselves stay.

    Later runs leave them out, too, until 'cocasearch index' is given their own path.
    """
    from cocasearch.indexing.edit.removal import remove_paths

    index = index_folder(name)
    with console.working("removing"):
        report = remove_paths(index, [expand_home(path) for path in paths])
    for folder in report.roots:
        console.say(f"no longer indexed: {console.shown(folder)}")
    for path in report.excluded:
        console.say(
            f"left out from now on: {console.shown(path)}; to take it in again: cocasearch index, with its path"
        )
    unreadable = f", {report.forgotten} unreadable forgotten" if report.forgotten else ""
    console.say(
        f"{report.removed} removed{unreadable}; index '{index_name(index)}' holds {counted(report.total, 'photo')}"
    )


def reroot(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Where photos lay; it need not be there any more.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Where they lie now.")],
    name: IndexName = DEFAULT_INDEX,
) -> None:
    """Tell the index that a folder has moved: photos keep vectors and captions, and none is read."""
    from cocasearch.indexing.edit.rerooting import reroot as follow

    index = index_folder(name)
    with console.working("moving"):
        count = follow(index, expand_home(old), expand_home(new))
    console.say(f"{counted(count, 'photo')} of index '{index_name(index)}' moved to {console.shown(new)}")
