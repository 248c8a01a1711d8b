"""How commands are found, parsed and explained: what Typer leaves to the program."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from cocasearch.cli import console
from cocasearch.cli.exit_codes import reporting


class Entry(NamedTuple):
    """Where a command is: the module below `commands` and the function in it, its group in the help, how it ends."""

    module: str
    function: str
    panel: str | None = None
    resumes: bool = False  # after Ctrl-C, the same command goes on from there


class Command(TyperCommand):
    """A command whose help has a short name for every value and none for flags."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, as the help shows them; those of the program itself come last."""
        params: list[Any] = super().get_params(ctx)
        for param in params:
            _simplify(param)
            if {"--help", "--debug"}.intersection(param.opts):
                param.rich_help_panel = "General"
        return params

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read `--overwrite all` as two flags: Typer has no option whose value may be left out."""
        if any("--overwrite-all" in param.opts for param in self.params):
            for at, pair in enumerate(pairwise(args)):
                if pair == ("--overwrite", "all"):
                    args = [*args[: at + 1], "--overwrite-all", *args[at + 2 :]]
        return super().parse_args(ctx, args)


class Commands(TyperGroup):
    """A group that imports a command when it is asked for; its messages have a bounded length."""

    entries: ClassVar[Mapping[str, Entry]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands, in the order of the entries."""
        return [*self.entries, *(name for name in self.commands if name not in self.entries)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name; of an unknown name, Typer suggests others, for which it needs all of them."""
        for name in [cmd_name] if cmd_name in self.entries else self.entries:
            if name not in self.commands:
                self.commands[name] = _load(name, self.entries[name])
        return super().get_command(ctx, cmd_name)

    def get_params(self, ctx: Any) -> list[Any]:
        """The options, as the help shows them."""
        params = super().get_params(ctx)
        for param in params:
            _simplify(param)
        return params

    def make_context(self, *args: Any, **options: Any) -> Any:
        """The same as Typer's, with short messages."""
        with _short_messages():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """The same as Typer's, with short messages."""
        with _short_messages():
            return super().invoke(ctx)


def group(entries: Mapping[str, Entry]) -> type[Commands]:
    """The class of a group with these commands."""
    return type("Group", (Commands,), {"entries": entries})


def _load(name: str, entry: Entry) -> Any:
    function = getattr(import_module(f"cocasearch.cli.commands.{entry.module}"), entry.function)
    alone = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})
    alone.command(name, cls=Command, rich_help_panel=entry.panel)(reporting(function, resumes=entry.resumes))
    return typer.main.get_command(alone)


def _simplify(param: Any) -> None:
    """Have the help of a parameter leave out its Python type and range, which its metavar and its sentence give."""
    param.min = param.max = None
    if param.param_type_name == "argument":
        param.display_type_rich = lambda ctx: None
    else:
        param.metavar = "" if param.is_flag else param.metavar or "N"


@contextmanager
def _short_messages() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if hasattr(error, "message"):  # Typer's refusals, which quote whole words
            error.message = console.message(error.message.replace("Value error, ", ""))  # Pydantic's words
        raise
