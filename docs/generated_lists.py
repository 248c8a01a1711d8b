"""Lists on the pages that the code itself fills when the pages are built: every setting and every command.

MkDocs calls `on_page_markdown` for each page; nothing here needs MkDocs, so that tests call the rest.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import typer

from cocasearch.cli.app import app
from cocasearch.training.config import TrainingConfig
from cocasearch.training.setting_fields import as_written
from cocasearch.training.settings_page import settings_page


def on_page_markdown(markdown: str, **_: object) -> str:
    """The page with its lists in the places of their marks."""
    for mark, fill in _FILLED.items():
        if mark in markdown:
            markdown = markdown.replace(mark, fill())
    return markdown


def settings() -> dict[str, str]:
    """The default of every setting of a training run, by its name."""
    return {name: as_written(value) for name, value in TrainingConfig().values().items()}


def list_of_settings() -> str:
    """Every setting of a training run, as tables of Markdown."""
    return settings_page().partition("\n")[2]  # the title is the page's own


def list_of_commands() -> str:
    """Every command with its arguments and options, as sections of Markdown."""
    return "\n\n".join(_section(name, command) for name, command in commands())


def commands(group: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The commands of a program, or of cocasearch, by the words that call them, such as "models pull"."""
    group = group or typer.main.get_command(app)
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


_FILLED: dict[str, Callable[[], str]] = {
    "<!-- every setting -->": list_of_settings,
    "<!-- every command -->": list_of_commands,
}


def _section(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=name)
    params = [each for each in command.get_params(context) if each.name not in ("help", "debug")]
    records = [each.get_help_record(context) for each in params]
    rows = [f"| `{_cell(names)}` | {_cell(text)} |" for names, text in filter(None, records)]
    table = ["| argument or option | what it does |", "| --- | --- |", *rows]
    return "\n\n".join([f"### {name}", inspect.cleandoc(command.help), "\n".join(table)])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
