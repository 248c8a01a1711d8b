"""Tables of the pages that the code itself fills when the pages are built: every setting and every command.

MkDocs calls `on_page_markdown` for each page; nothing here needs MkDocs, so tests call the rest.
"""

import ast
import dataclasses
import inspect
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, get_type_hints

import typer

from cocasearch.cli.app import app
from cocasearch.training.config import TrainingConfig


class Setting(NamedTuple):
    """One setting of a training run, as `--set NAME=VALUE` takes it."""

    name: str
    kind: str
    default: str
    meaning: str


def settings(config: type = TrainingConfig, prefix: str = "") -> Iterator[Setting]:
    """Every setting of a configuration, those of its nested parts under the part's name."""
    meanings, kinds = _meanings(config), get_type_hints(config)
    for item in dataclasses.fields(config):
        if dataclasses.is_dataclass(kinds[item.name]):
            yield from settings(kinds[item.name], f"{prefix}{item.name}.")
        else:
            yield Setting(prefix + item.name, _kind(kinds[item.name]), _value(item.default), meanings[item.name])


def table_of_settings() -> str:
    """The settings as a table of Markdown."""
    rows = [f"| `{each.name}` | {each.kind} | {each.default} | {_cell(each.meaning)} |" for each in settings()]
    return "\n".join(["| setting | takes | default | what it does |", "| --- | --- | --- | --- |", *rows])


def list_of_commands() -> str:
    """Every command with its arguments and options, as sections of Markdown."""
    return "\n\n".join(_section(name, command) for name, command in commands())


def commands() -> Iterator[tuple[str, Any]]:
    """The program's commands by the words that call them, such as "models pull"."""
    for name, command in typer.main.get_command(app).commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", each) for inner, each in command.commands.items())
        else:
            yield name, command


_PLAIN_TYPE = re.compile(r" <(?:list\[\w+\]|\w+( range)?)>")  # which says less than the words behind it


_FILLED: dict[str, Callable[[], str]] = {
    "<!-- every setting -->": table_of_settings,
    "<!-- every command -->": list_of_commands,
}


def on_page_markdown(markdown: str, **_: object) -> str:
    """The page with its tables in the places of their marks."""
    for mark, fill in _FILLED.items():
        if mark in markdown:
            markdown = markdown.replace(mark, fill())
    return markdown


def _section(name: str, command: Any) -> str:
    context = command.context_class(command, info_name=name)
    records = [each.get_help_record(context) for each in command.params if each.name not in ("help", "debug")]
    rows = [f"| `{_cell(_PLAIN_TYPE.sub('', names))}` | {_cell(meaning)} |" for names, meaning in filter(None, records)]
    table = ["| argument or option | what it does |", "| --- | --- |", *rows]
    return "\n\n".join([f"### {name}", inspect.cleandoc(command.help), "\n".join(table)])


def _meanings(config: type) -> dict[str, str]:
    """What each field of a dataclass means: its metadata, its line in the docstring, or the comment behind it."""
    source = inspect.getsource(config)
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    behind = {
        node.target.id: " ".join(comments[line] for line in range(node.lineno, node.end_lineno + 1) if line in comments)
        for node in definition.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.end_lineno
    }
    described = dict(re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", inspect.getdoc(config) or "", re.MULTILINE))
    return {
        item.name: " ".join(
            (item.metadata.get("help") or described.get(item.name) or behind.get(item.name, "")).split()
        )
        for item in dataclasses.fields(config)
    }


def _kind(hint: Any) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return words.get(hint) or ", ".join(f"`{choice}`" if choice else "nothing" for choice in hint.__args__)


def _value(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
