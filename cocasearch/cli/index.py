"""`cocasearch index`: photos become searchable."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cocasearch.cli import console
from cocasearch.cli.model_choice import chosen_model
from cocasearch.cli.options import (
    PHOTOS_HELP,
    BatchSize,
    Compat,
    Device,
    IndexName,
    MaxMegapixels,
    ModelName,
    NoCaptions,
    default_caption_options,
)
from cocasearch.errors import NothingFound
from cocasearch.images.limits import MAX_MEGAPIXELS
from cocasearch.indexing.manifest import (
    DEFAULT_INDEX,
    MANIFEST_FILE,
    UNKNOWN_MODEL,
    find_manifest,
    index_command,
    index_name,
    read_manifest,
)
from cocasearch.paths import index_folder

if TYPE_CHECKING:
    from cocasearch.indexing.builder import BuildReport


def index(
    paths: Annotated[list[Path] | None, typer.Argument(metavar="PATH", help=PHOTOS_HELP, show_default=False)] = None,
    name: IndexName = DEFAULT_INDEX,
    model: ModelName = None,
    no_captions: NoCaptions = False,
    compat: Compat = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Everything anew: what is given and what was indexed before.")
    ] = False,
    max_megapixels: MaxMegapixels = MAX_MEGAPIXELS,
    batch_size: BatchSize = 32,
    device: Device = "auto",
) -> None:
    """Make photos searchable and write their captions.

    Run again, it adds what is new, takes in what has changed and drops what is gone.
    """
    if not paths and not rebuild:
        raise typer.BadParameter("give a folder or a photo: cocasearch index ~/Pictures")
    options = default_caption_options(compat, no_captions=no_captions)
    folder = index_folder(name)
    _look_at(paths, folder)
    from cocasearch.indexing.builder import IndexBuilder
    from cocasearch.inference.loaded_model import load_model

    name_or_folder = chosen_model(model or _present_model(folder))
    with console.working("loading the model"):
        loaded = load_model(name_or_folder, device=device)
    builder = IndexBuilder(
        folder, loaded, caption_options=options, batch_size=batch_size, max_megapixels=max_megapixels
    )
    with console.progress("indexing", "photos") as advance:
        report = builder.build(paths or (), rebuild=rebuild, progress=advance)
    summarise(report, folder)


def _look_at(paths: list[Path] | None, folder: Path) -> None:
    """Refuse, before a model is loaded for them, paths without photos, or none where there is no index either."""
    if not paths:
        read_manifest(folder)
        return
    from cocasearch.images.discovery import discover_images, expand_home

    first = [next(discover_images(expand_home(path), lambda *_: None), None) for path in paths]
    if not any(first):
        raise NothingFound(f"no pictures found in {', '.join(map(str, paths))}")


def _present_model(folder: Path) -> str | None:
    """The model that an index was made with; None for an index to be, or one whose model nobody knows."""
    manifest = find_manifest(folder / MANIFEST_FILE)
    return manifest.model_name if manifest and manifest.model_name != UNKNOWN_MODEL else None


def summarise(report: "BuildReport", folder: Path) -> None:
    """Say on stderr what a run did, and what can be done now.

    Raises:
        NothingFound: Not one photo is in the index.
    """
    console.name_unreadable(report.failed)
    for path in report.empty:
        console.say(f"no photos in {path}")
    counts = {
        "added": report.added,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "unreadable": len(report.failed),
        "unreadable as before": report.known_bad,
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing to do"
    speed = (
        f" in {report.seconds:.1f} s, {report.images_per_second:.1f} photos/s" if report.added + report.updated else ""
    )
    console.say(f"{told}{speed}; index '{index_name(folder)}' holds {report.total} photos")
    if report.captionless:
        write_them = index_command(folder, "--rebuild")
        console.say(f"{report.captionless} photos have no caption; write them with: {write_them}")
    if not report.total:
        raise NothingFound("none of the photos could be read")
