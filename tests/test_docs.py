"""README and the pages agree with the program: every command that they show is known to it, and most are run."""

import ast
import importlib
import re
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from documented_commands import PAGES, README, ROOT, links, name_of, shell_lines, shown_commands
from documented_world import HERE, HOME, write_world
from generated_lists import commands, list_of_commands, list_of_settings, settings
from typer.testing import CliRunner

from cocasearch.cli.app import app

EVERY_COMMAND = {command.line: command for page in PAGES for command in shown_commands(page)}.values()
SETTINGS = settings()
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
SHORTEST_QUOTE = 7  # letters: less says nothing

# What a test has not: a network, other processes, a drive, enough captioned photos, a model that has learned, or the
# time that a preset takes.
NOT_RUN = re.compile(
    r"models (pull|import|calibrate|mix)|torchrun|s3://|/media/|roberta|cocasearch train (?!.*--model|--settings)"
)
# Nothing may be found, or something be wrong.
OUTCOMES = {"query": {0, 3}, "caption": {0, 3}, "export": {0, 3}, "data": {0, 1}}

SHORT = {"finetune": ("--epochs", "1"), "train": ("--set", "epochs=1")}  # instead of what a command takes without


@cache
def silent_program() -> Any:
    """The program with commands that do nothing."""
    program = typer.main.get_command(app)
    for _, command in commands(program):
        command.callback = lambda **_: None
    return program


def parse(words: Sequence[str]) -> None:
    """Have the program read a command line and do nothing.

    Raises:
        Exception: Typer's, if it does not understand it.
    """
    silent_program().main(list(words), prog_name="cocasearch", standalone_mode=False)


@pytest.mark.quick
@pytest.mark.parametrize("command", EVERY_COMMAND, ids=lambda command: command.line)
def test_a_shown_command_is_understood(command, tmp_path, monkeypatch):
    for folder in ("val2017", "Images", "set"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    parse(command.expanded())


@pytest.mark.quick
@pytest.mark.parametrize("wrong", ["qeury a", "query a --tpo 3", "caption --strategy bean", "index --batch-size x"])
def test_what_the_program_does_not_know_is_found(wrong):
    with pytest.raises(Exception, match=r"No such|is not one of|valid integer"):
        parse(wrong.split())


@pytest.mark.quick
def test_every_command_is_shown():
    shown = {" ".join(command.words) for command in EVERY_COMMAND}
    missing = [name for name, _ in commands() if not any(f"{words} ".startswith(f"{name} ") for words in shown)]
    assert missing == []


@pytest.mark.quick
@pytest.mark.parametrize("page", [*PAGES, CONTRIBUTING], ids=name_of)
def test_a_page_shows_commands_and_its_links_lead_somewhere(page):
    assert shown_commands(page) or page.name in ("python.md", CONTRIBUTING.name)
    for target in links(page):
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{target} in {name_of(page)}"
        assert not anchor or anchor in anchors(there), f"{target} in {name_of(page)}"


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.quick
def test_files_that_contributors_are_sent_to_exist():
    text = CONTRIBUTING.read_text(encoding="utf-8")
    files = re.findall(r"`([\w/]+(?:\.py|/))`", text)
    assert len(files) > 20
    assert [file for file in files if not any((base / file).exists() for base in (ROOT, ROOT / "cocasearch"))] == []


@pytest.mark.quick
def test_every_page_is_in_the_contents():
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page != README}
    assert set(re.findall(r"[\w/-]+\.md", contents)) == pages
    assert "font: false" in contents and "http" not in contents  # nothing is fetched from elsewhere


@pytest.mark.quick
def test_named_settings_targets_and_extras_exist():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    training = "".join(page.read_text(encoding="utf-8") for page in PAGES if page.parent.name == "training")
    named = set(re.findall(r"--set (?:\w+\.)?([a-z]\w*)=", text))
    named |= set(re.findall(r"`(?:\w+\.)?([a-z]\w+)=[^`\s]+`", training))
    assert len(named) > 20
    assert [name for name in named if name not in SETTINGS] == []
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {
        line.split()[1] for page in [*PAGES, CONTRIBUTING] for line in shell_lines(page) if line.startswith("make ")
    } <= targets
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = [name for names in re.findall(r"'\.\[([\w,]+)\]'", text) for name in names.split(",")]
    assert wanted and set(wanted) <= set(extras)


@pytest.mark.quick
def test_the_lists_have_every_setting_and_option():
    lists = list_of_settings()
    assert len(SETTINGS) > 90
    assert [name for name in SETTINGS if f"| `{name}` |" not in lists] == []
    sections = list_of_commands().split("### ")[1:]
    assert [section.splitlines()[0] for section in sections] == [name for name, _ in commands()]
    (pull,) = (section for section in sections if section.startswith("models pull"))
    assert "--image-size" in pull and "--tokenizer" in pull
    rows = re.findall(r"^\|.*", "".join(sections), re.MULTILINE)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}


@pytest.mark.quick
def test_quoted_messages_are_those_of_the_program():
    text = (ROOT / "docs" / "reference" / "troubles.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    quoted = [
        part.strip(" '") for cell in cells for quote in re.findall(r"`([^`]+)`", cell) for part in quote.split("…")
    ]
    quoted = [part for part in quoted if len(part) > SHORTEST_QUOTE]
    assert len(quoted) > 25
    said = "\n".join(words for file in (ROOT / "cocasearch").rglob("*.py") for words in literals(file))
    assert [part for part in quoted if part not in said] == []


def literals(file: Path) -> Iterator[str]:
    """The texts in a module, with an ellipsis for each value that one is made with."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)


@pytest.mark.quick
def test_documented_names_can_be_imported():
    text = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    names = re.findall(r"^::: (\S+)$", text, re.MULTILINE)
    public = {f"cocasearch.{name}" for name in importlib.import_module("cocasearch").__all__}
    assert public <= set(names)
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__


@pytest.fixture(scope="module")
def world(tmp_path_factory, tiny_model_folder):
    """Home, photos, data and two indexes, ready to be copied."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, tiny_model_folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        live_in(folder, monkeypatch)
        for index in ("default", "fast"):
            assert run("index", str(folder / HOME / "Pictures"), "--index", index).exit_code == 0
    return folder


def live_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOME", "USERPROFILE", "COCASEARCH_HOME"):
        monkeypatch.setenv(variable, str(folder / HOME))
    monkeypatch.delenv("COCASEARCH_INDEXES", raising=False)
    monkeypatch.chdir(folder / HERE)


def run(*words: str, variables: dict[str, str] | None = None):
    return CliRunner().invoke(app, words, prog_name="cocasearch", env=variables)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_of_a_page_run(page, world, tmp_path, monkeypatch):
    shutil.copytree(world, tmp_path / "world")
    live_in(tmp_path / "world", monkeypatch)
    to_run = [command for command in shown_commands(page) if not NOT_RUN.search(command.line)]
    for command in to_run:
        short = () if "epochs" in command.line else SHORT.get(command.words[0], ())
        result = run(*command.expanded(), *short, variables=command.variables)
        assert result.exit_code in OUTCOMES.get(command.words[0], {0}), f"{command.line}\n{result.output}"
        assert result.output.strip(), command.line
    assert to_run or page.name == "python.md"


def test_the_python_of_the_pages_runs(photo_folder, monkeypatch):
    text = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks[0] in README.read_text(encoding="utf-8")  # where it is run
    monkeypatch.chdir(photo_folder.parent)
    for block in blocks[1:]:
        exec(compile(ast.parse(block), "python.md", "exec"), {})
