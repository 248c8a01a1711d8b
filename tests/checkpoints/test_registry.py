"""Which folder a model's name stands for."""

import json
import shutil
from pathlib import Path

import pytest

from cocasearch.checkpoints.hub.catalogue import COCO, LAION
from cocasearch.checkpoints.registry import best_model, list_known_models, list_models, name_of, resolve_model
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


def test_a_model_is_there_after_a_kill_in_the_middle_of_its_replacement(home: Path) -> None:
    holiday = home / "home" / "models" / "holiday"
    for by in (list_models, lambda: resolve_model(holiday)):
        (holiday.parent / ".holiday.old.x1y2z3w4").mkdir()
        holiday.rename(holiday.parent / ".holiday.old.x1y2z3w4" / "new")
        by()
        assert resolve_model("holiday") == holiday
        (holiday.parent / ".holiday.old.x1y2z3w4").rmdir()


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


def put(home: Path, name: str, **provenance: str) -> Path:
    """A model folder of that name, as far as its config goes."""
    folder = home / "home" / "models" / name
    shutil.copytree(bundled_model_folder(), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "provenance": provenance}))
    return folder


def imported(home: Path, name: str) -> Path:
    return put(home, name, imported_from="open_clip_pytorch_model.bin", architecture=name[:13])


def test_the_best_published_model_here_is_taken(home: Path) -> None:
    assert best_model().name == "coca-mini"
    for name in ("coca_ViT-B-32", f"coca_ViT-L-14-{LAION}", "coca_ViT-L-14"):  # from good to best
        folder = imported(home, name)
        assert best_model().name == name
        assert resolve_model(None) == folder


def test_no_model_is_taken_unasked_whose_worth_nobody_knows(home: Path) -> None:
    put(home, "best", training="of my own")
    put(home, "coca_ViT-L-14", training="of my own")  # by a published name
    imported(home, f"coca_ViT-B-32-{COCO}")  # warned about
    imported(home, ".coca_ViT-B-32.x1y2")  # half written
    (home / "home" / "models" / "coca_ViT-B-32").mkdir()  # empty
    assert resolve_model(None) == bundled_model_folder()


def test_known_models_are_those_here_and_then_those_to_be_had(home: Path) -> None:
    imported(home, "coca_ViT-B-32")
    models = {model.name: model for model in list_known_models()}
    assert list(models)[:4] == ["coca-mini", "coca_ViT-B-32", "holiday", "coca_ViT-L-14"]
    assert len(models) == 6
    assert models["coca_ViT-L-14"].folder is None
    assert models["coca_ViT-L-14"].size == 2_553_800_708
    assert models["coca_ViT-B-32"].folder is not None
    assert models["holiday"].published is None


def test_a_published_model_that_is_not_here_is_offered(home: Path) -> None:
    with pytest.raises(CocaSearchError, match="'coca_ViT-L-14' is not on this machine yet") as caught:
        resolve_model("coca_vit-l-14")
    assert caught.value.hint == "cocasearch models pull coca_ViT-L-14"
