"""The program `cocasearch`: its commands under one name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cocasearch import __version__
from cocasearch.cli import console
from cocasearch.cli.commands.caption import OverwriteAllInTwoWords, caption
from cocasearch.cli.commands.data import check, coco, flickr, sidecars
from cocasearch.cli.commands.demo import demo
from cocasearch.cli.commands.evaluate import evaluate
from cocasearch.cli.commands.export import export
from cocasearch.cli.commands.finetune import finetune
from cocasearch.cli.commands.index import index
from cocasearch.cli.commands.models.calibrate import calibrate
from cocasearch.cli.commands.models.listing import info, list_
from cocasearch.cli.commands.models.mix import mix
from cocasearch.cli.commands.models.pull import import_ as import_weights
from cocasearch.cli.commands.models.pull import pull
from cocasearch.cli.commands.probe import probe
from cocasearch.cli.commands.query import query
from cocasearch.cli.commands.remove import remove, reroot
from cocasearch.cli.commands.status import status
from cocasearch.cli.commands.train import train
from cocasearch.cli.commands.verify import verify
from cocasearch.cli.exit_codes import reporting


class _Commands(TyperGroup):
    """The commands; what is wrong with their words is said in messages of bounded length."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        with _in_short():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        with _in_short():
            return super().invoke(ctx)


@contextmanager
def _in_short() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if hasattr(error, "message"):  # Typer's refusals, which quote whole words
            error.message = console.message(error.message.replace("Value error, ", ""))  # Pydantic's words
        raise


app = typer.Typer(
    name="cocasearch",
    cls=_Commands,
    help="Search your photos by words or by example, offline; captions come with it.",
    epilog="Begin with 'cocasearch index ~/Pictures', then ask: cocasearch query 'a dog on a beach'",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(help="Captioned photos: looked over, and turned into tables.", no_args_is_help=True)
models = typer.Typer(help="The models at hand, and how others get here.", no_args_is_help=True)

app.command()(reporting(index, goes_on=True))
app.command()(reporting(query))
app.command(cls=OverwriteAllInTwoWords)(reporting(caption, goes_on=True))
app.command()(reporting(finetune, goes_on=True))
app.command()(reporting(train, goes_on=True))
app.command("eval")(reporting(evaluate))
app.command()(reporting(probe))
app.add_typer(data, name="data")
data.command()(reporting(check))
data.command()(reporting(coco))
data.command()(reporting(flickr))
data.command()(reporting(sidecars))
app.add_typer(models, name="models")
models.command("list")(reporting(list_))
models.command()(reporting(info))
models.command()(reporting(pull, goes_on=True))
models.command("import")(reporting(import_weights))
models.command()(reporting(mix))
models.command()(reporting(calibrate))
app.command()(reporting(status))
app.command()(reporting(verify))
app.command()(reporting(remove))
app.command()(reporting(reroot))
app.command()(reporting(export))
app.command()(reporting(demo, goes_on=True))


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
