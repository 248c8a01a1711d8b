"""README and program agree: commands and options, the quick start, and the figures of the bundled model."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cocasearch.cli.app import app
from cocasearch.paths import bundled_model_folder

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```(?:console|sh|shell)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """The `cocasearch …` lines of README's shell blocks, without prompt, comment or pipe."""
    text = README.read_text(encoding="utf-8")
    lines = [line.removeprefix("$ ") for block in BLOCK.findall(text) for line in block.splitlines()]
    return [re.split(r" [|>#] ?", line)[0] for line in lines if line.startswith("cocasearch ")]


def help_of(*command: str) -> str:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "300"})
    assert result.exit_code == 0, f"{command} does not exist"
    return result.output


def split(line: str) -> tuple[list[str], list[str]]:
    """A command line's commands and its options."""
    words = shlex.split(line)[1:]
    depth = 2 if words[0] in ("models", "data") else 1
    return words[:depth], [word for word in words[depth:] if word.startswith("-")]


@pytest.mark.parametrize("line", commands())
def test_shown_command_and_options_exist(line):
    command, options = split(line)
    known = help_of(*command)
    for option in options:
        assert re.search(rf"(?<![\w-]){re.escape(option.split('=')[0])}(?![\w-])", known), f"{option} in: {line}"


def test_every_command_is_shown():
    existing = set(re.findall(r"^│ (\w+) +\S", help_of(), re.MULTILINE))
    assert existing == {split(line)[0][0] for line in commands()}


def test_quick_start_runs(photo_folder, monkeypatch, capsys):
    (code,) = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(photo_folder.parent)
    exec(compile(code, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_figures_are_those_of_the_model_card():
    card = (bundled_model_folder() / "README.md").read_text(encoding="utf-8")
    rows = [
        line.split("|")[2] for line in README.read_text(encoding="utf-8").splitlines() if "`cocasearch eval" in line
    ]
    figures = [figure for row in rows for figure in re.findall(r"\d+\.\d+", row)]
    assert len(figures) >= 11
    assert [figure for figure in figures if figure not in card] == []


def test_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 330
