import shutil
from pathlib import Path
from typing import Protocol

import pytest
from typer.testing import CliRunner

from cocasearch.cli.app import app


class Result(Protocol):
    exit_code: int
    stdout: str
    stderr: str


class Prompt:
    """A shell prompt in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *args: str) -> Result:
        return CliRunner().invoke(app, args, prog_name="cocasearch")


@pytest.fixture
def prompt(tmp_path: Path, photo_folder: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Prompt:
    """A prompt in a folder with `photos`, with one model, `tiny`, and no index yet."""
    models = tmp_path / "home" / "models"
    models.mkdir(parents=True)
    shutil.copytree(tiny_model_folder, models / "tiny")
    monkeypatch.setenv("COCASEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COCASEARCH_INDEXES", raising=False)
    monkeypatch.chdir(tmp_path)
    return Prompt(tmp_path)


@pytest.fixture
def indexed(prompt: Prompt) -> Prompt:
    """The same with `photos` in the default index."""
    assert prompt("index", "photos", "--model", "tiny").exit_code == 0
    return prompt
