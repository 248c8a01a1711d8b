"""The program `cocasearch`: the names of its commands and where each is; they are imported when they are asked for."""

from typing import Annotated

import typer

from cocasearch import __version__
from cocasearch.cli import console
from cocasearch.cli.command_line import Entry, group

_PHOTOS, _MODELS, _INDEXES = "Search", "Models", "Indexes"

COMMANDS = {
    "index": Entry("index", "index", _PHOTOS, resumes=True),
    "query": Entry("query", "query", _PHOTOS),
    "caption": Entry("caption", "caption", _PHOTOS, resumes=True),
    "demo": Entry("demo", "demo", _PHOTOS, resumes=True),
    "status": Entry("status", "status", _INDEXES),
    "verify": Entry("verify", "verify", _INDEXES),
    "remove": Entry("remove", "remove", _INDEXES),
    "reroot": Entry("remove", "reroot", _INDEXES),
    "export": Entry("export", "export", _INDEXES),
    "finetune": Entry("finetune", "finetune", _MODELS, resumes=True),
    "train": Entry("train", "train", _MODELS, resumes=True),
    "eval": Entry("evaluate", "evaluate", _MODELS),
    "probe": Entry("probe", "probe", _MODELS),
}
DATA_COMMANDS = {name: Entry("data", name) for name in ("check", "coco", "flickr", "sidecars")}
MODEL_COMMANDS = {
    "list": Entry("models.listing", "list_"),
    "info": Entry("models.listing", "info"),
    "pull": Entry("models.pull", "pull", resumes=True),
    "import": Entry("models.pull", "import_"),
    "mix": Entry("models.mix", "mix"),
    "calibrate": Entry("models.calibrate", "calibrate"),
}

app = typer.Typer(
    name="cocasearch",
    cls=group(COMMANDS),
    help="Search your photos by words or by example, offline, and write captions for them.",
    epilog="Begin with 'cocasearch index ~/Pictures', then ask: cocasearch query 'a dog on a beach'",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(
    typer.Typer(cls=group(DATA_COMMANDS), no_args_is_help=True, callback=lambda: None),
    name="data",
    help="Check captioned photos, and convert annotations into tables.",
    rich_help_panel=_MODELS,
)
app.add_typer(
    typer.Typer(cls=group(MODEL_COMMANDS), no_args_is_help=True, callback=lambda: None),
    name="models",
    help="List, download, import, mix and calibrate models.",
    rich_help_panel=_MODELS,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.write_lines(f"cocasearch {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the program itself; `--version` has been dealt with when this runs."""
