import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from typer.testing import CliRunner

from cocasearch.cli.app import app
from cocasearch.indexing.store.records import StoredCaption, record_id
from cocasearch.indexing.store.table import IndexTable


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
    """A prompt in a folder with `photos`, with one model, `tiny`, and an empty `indexes`."""
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


@pytest.fixture
def judge(indexed: Prompt) -> Callable[..., None]:
    """Gives photos of the default index, by the names of their files, captions of some confidence."""

    def run(**captions: tuple[str, float | None]) -> None:
        paths = {"circle": "blue-circle.png", "square": "red-square.jpg", "triangle": "sub/yellow-triangle.jpg"}
        IndexTable(indexed.folder / "indexes" / "default", "images-1").set_captions(
            {
                record_id("1", paths[name]): StoredCaption(words, 0.5, -1.0, confidence, "model")
                for name, (words, confidence) in captions.items()
            }
        )

    return run
