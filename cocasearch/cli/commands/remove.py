"""`cocasearch remove` and `reroot`: what an index covers, and where that lies."""

from pathlib import Path
from typing import Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.options.path_arguments import PATH, read_path
from cocasearch.cli.options.shared_options import IndexName
from cocasearch.counting import pluralize
from cocasearch.indexing.store.manifest import DEFAULT_INDEX, index_name
from cocasearch.paths import expand_home, index_folder


def remove(
    paths: Annotated[list[Path], typer.Argument(**PATH, help="Photos, or folders with all photos below them.")],
    name: IndexName = DEFAULT_INDEX,
) -> None:
    """Remove photos or folders from the index for good; the files themselves stay.

    Later runs skip them, until 'cocasearch index' is given their own path.
    """
    from cocasearch.indexing.edit.removal import remove_paths

    index = index_folder(name)
    with console.working("removing"):
        report = remove_paths(index, [expand_home(path) for path in paths])
    for folder in report.roots:
        console.report(f"no longer indexed: {console.shown(folder)}")
    for excluded in report.excluded:
        console.report(
            f"left out from now on: {console.shown(excluded)}; to take it in again: cocasearch index, with its path"
        )
    unreadable = f", {report.forgotten} unreadable forgotten" if report.forgotten else ""
    console.report(
        f"{report.removed} removed{unreadable}; index '{index_name(index)}' holds {pluralize(report.total, 'photo')}"
    )


def reroot(
    old: Annotated[
        Path, typer.Argument(metavar="OLD", parser=read_path, help="Old folder of the photos, even if gone.")
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW", parser=read_path, help="New folder of the photos.")],
    name: IndexName = DEFAULT_INDEX,
) -> None:
    """Follow a folder of photos that has moved; vectors and captions stay, and no photo is read."""
    from cocasearch.indexing.edit.rerooting import reroot as follow

    index = index_folder(name)
    with console.working("moving"):
        count = follow(index, expand_home(old), expand_home(new))
    console.report(f"{pluralize(count, 'photo')} of index '{index_name(index)}' moved to {console.shown(new)}")
