"""The help of every command, what shells complete, and what the parameters of commands have in common."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import typer
from typer.testing import CliRunner

from cocasearch.cli.app import COMMANDS, DATA_COMMANDS, MODEL_COMMANDS, app
from cocasearch.cli.options import path_arguments

LINES = [
    (),
    ("data",),
    ("models",),
    *((name,) for name in COMMANDS),
    *(("data", name) for name in DATA_COMMANDS),
    *(("models", name) for name in MODEL_COMMANDS),
]
SENTENCE = re.compile(r"[A-Z].*[.]", re.DOTALL)
COMPLETE = """
import sys
from cocasearch.cli.app import app
try:
    app(prog_name="cocasearch")
finally:
    print(*sys.modules, file=sys.stderr)
"""


def command_of(line):
    command = typer.main.get_command(app)
    for name in line:
        command = command.get_command(None, name)
    return command


def parameters(line):
    command = command_of(line)
    return command.get_params(command.make_context("x", [], resilient_parsing=True))


def annotations():
    """Every parameter of every command: its command, its name and its annotation."""
    for entry in {*COMMANDS.values(), *DATA_COMMANDS.values(), *MODEL_COMMANDS.values()}:
        function = getattr(importlib.import_module(f"cocasearch.cli.commands.{entry.module}"), entry.function)
        for parameter in inspect.signature(function).parameters.values():
            if get_args(parameter.annotation):
                yield f"{entry.function} {parameter.name}", parameter.annotation


def shown(*line):
    result = CliRunner().invoke(app, [*line, "--help"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_help_fits_80_columns_with_whole_names_and_without_types_of_python(line):
    text = shown(*line)
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"…|<(bool|int|float|str|list|[\w|]+\|)", text)
    for param in parameters(line):
        if not param.hidden and param.param_type_name == "option":
            for name in (*param.opts, *param.secondary_opts):
                assert re.search(rf"(?<![\w-]){name}(?![\w-])", text), name


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_every_command_and_parameter_is_explained_in_a_sentence(line):
    command = command_of(line)
    assert SENTENCE.fullmatch(command.help)
    for param in parameters(line):
        assert param.hidden or SENTENCE.fullmatch(param.help), param.name


@pytest.mark.parametrize("line", LINES[3:], ids=" ".join)
def test_options_are_in_groups_and_name_their_choices(line):
    for param in parameters(line):
        if param.param_type_name == "option" and not param.hidden:
            assert param.rich_help_panel, param.name
            for choice in param.type_descriptor.choices or ():
                assert re.search(rf"\b{getattr(choice, 'value', choice)}\b", param.help), (param.name, choice)


def test_every_path_is_checked():
    checks = {path_arguments.read_path, path_arguments.read_existing_file, path_arguments.read_existing_folder}
    found = {name: note for name, annotation in annotations() if Path in flat(annotation) for note in flat(annotation)}
    assert len(found) > 20
    assert [name for name, note in found.items() if getattr(note, "parser", None) not in checks] == []


def flat(annotation):
    """The parts of an annotation, the nested ones too; what Typer says of it last."""
    parts = get_args(annotation)
    return [annotation] if not parts else [part for inner in parts for part in flat(inner)]


def test_every_name_of_an_index_or_a_model_is_checked_and_completed():
    named = [
        (name, flat(annotation)[-1])
        for name, annotation in annotations()
        if getattr(flat(annotation)[-1], "metavar", None) in ("INDEX", "MODEL")
    ]
    assert len(named) > 20
    assert [
        name for name, info in named if info.parser is not path_arguments.read_name or not info.autocompletion
    ] == []


def completed(prompt, words):
    """What bash is told to complete."""
    environment = {
        "COMP_WORDS": f"cocasearch {words}",
        "COMP_CWORD": str(len(f"{words}|".split(" "))),
        "_COCASEARCH_COMPLETE": "complete_bash",
    }
    command = [sys.executable, "-c", COMPLETE]
    done = subprocess.run(
        command, env=os.environ | environment, cwd=prompt.folder, capture_output=True, text=True, check=True
    )
    assert not {"torch", "faiss", "lancedb", "pyarrow", "numpy"}.intersection(done.stderr.split()), done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("qu", ["query"]),
        ("models inf", ["info"]),
        ("query --hyb", ["--hybrid"]),
        ("query --index def", ["default"]),
        ("query --index nothing", []),
        ("index --model ti", ["tiny"]),
        ("models info coca-m", ["coca-mini"]),
        ("models pull coca_ViT-B", ["coca_ViT-B-32", "coca_ViT-B-32-mscoco_finetuned_laion2b_s13b_b90k"]),
        ("eval --device c", ["cpu", "cuda"]),
        ("query --format js", ["json", "jsonl"]),
    ],
)
def test_shells_complete_commands_options_and_names(prompt, words, expected):
    index = prompt.folder / "indexes" / "default"
    index.mkdir(parents=True)
    (index / "manifest.json").touch()
    assert completed(prompt, words) == expected


def test_a_command_waits_for_no_other():
    code = "import sys; from cocasearch.cli.app import app; app(standalone_mode=False); print(*sys.modules)"
    command = [sys.executable, "-c", code, "query", "--help"]
    modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1].split()
    loaded = {name.rsplit(".")[-1] for name in modules if name.startswith("cocasearch.cli.commands.")}
    assert loaded == {"query"}


def test_a_device_that_nothing_is_called_is_wrong_usage(prompt):
    assert prompt("eval", "x.csv", "--device", "tpu").exit_code == 2
