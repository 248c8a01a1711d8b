"""Which folder a model's name stands for."""

import shutil
from pathlib import Path

import pytest

from cocasearch.checkpoints.registry import list_models, name_of, resolve_model
from cocasearch.errors import CocaSearchError
from cocasearch.paths import bundled_model_folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one model, `holiday`."""
    monkeypatch.setenv("COCASEARCH_HOME", str(tmp_path / "home"))
    shutil.copytree(bundled_model_folder(), tmp_path / "home" / "models" / "holiday")
    return tmp_path


def test_the_bundled_model_is_the_default_and_comes_first(home: Path) -> None:
    assert resolve_model(None) == resolve_model("coca-mini") == bundled_model_folder()
    assert [model.name for model in list_models()] == ["coca-mini", "holiday"]
    assert 10_000_000 < list_models()[0].size <= 20_000_000


def test_names_and_folders(home: Path) -> None:
    holiday = home / "home" / "models" / "holiday"
    assert resolve_model("holiday") == resolve_model(holiday) == resolve_model(str(holiday)) == holiday


def test_a_model_is_found_again_by_its_name_from_anywhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(home / "home" / "models" / "holiday", home / "runs" / "mine")
    monkeypatch.chdir(home)
    assert name_of(bundled_model_folder()) == "coca-mini"
    assert name_of(Path("home/models/holiday")) == "holiday"
    name = name_of(Path("runs/mine"))
    monkeypatch.chdir("/")
    assert resolve_model(name) == home / "runs" / "mine"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("holyday", "unknown model 'holyday'; did you mean 'holiday'"),
        ("xyzzy", "unknown model 'xyzzy'; there are: coca-mini, holiday"),
        ("./holiday", "there is no model folder holiday"),
    ],
)
def test_unknown_models_are_named(home: Path, name: str, sentence: str) -> None:
    with pytest.raises(CocaSearchError, match=sentence) as caught:
        resolve_model(name)
    assert caught.value.hint == "cocasearch models list"
