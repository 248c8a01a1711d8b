from collections.abc import Callable
from pathlib import Path

import pytest

from cocasearch.checkpoints.foreign.openclip_configs import read_architecture
from cocasearch.checkpoints.registry import resolve_model
from cocasearch.errors import CocaSearchError
from cocasearch.paths import index_folder, indexes_homes, models_home


def test_homes_may_start_with_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COCASEARCH_INDEXES", "~/mine")
    monkeypatch.setenv("COCASEARCH_HOME", "~/coca")
    assert index_folder("trip") == Path.home() / "mine" / "trip"
    assert models_home() == Path.home() / "coca" / "models"


def test_an_index_is_looked_for_in_one_place_after_the_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("COCASEARCH_INDEXES", raising=False)
    monkeypatch.setenv("COCASEARCH_HOME", str(tmp_path / "home"))
    (tmp_path / "project" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project" / "inner")
    at_home = tmp_path / "home" / "indexes" / "trip"
    assert index_folder("trip") == at_home
    around = tmp_path / "project" / "indexes" / "trip"
    around.parent.mkdir()
    assert index_folder("trip") == at_home  # a new one is not made in a folder that is not the current one's
    around.mkdir()
    at_home.mkdir(parents=True)
    assert index_folder("trip") == around
    (tmp_path / "project" / "inner" / "indexes").mkdir()
    assert index_folder("trip") == at_home  # the nearest `indexes` alone
    assert index_folder("new") == Path("indexes/new")
    monkeypatch.setenv("COCASEARCH_INDEXES", str(tmp_path / "given"))
    assert index_folder("new") == tmp_path / "given" / "new"
    assert index_folder("trip") == at_home
    (tmp_path / "given" / "trip").mkdir(parents=True)
    assert index_folder("trip") == tmp_path / "given" / "trip"


def test_a_bare_name_is_an_index_and_anything_else_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("COCASEARCH_INDEXES", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "indexes").mkdir()
    assert index_folder("trip") == Path("indexes/trip")
    assert index_folder("./trip") == Path("trip")
    assert index_folder("~/trip") == Path.home() / "trip"


@pytest.mark.parametrize("path_of", [index_folder, resolve_model, read_architecture])
def test_a_home_folder_of_nobody_is_told(path_of: Callable[[str], object]) -> None:
    with pytest.raises(CocaSearchError, match="no home folder is known for ~nobody-here"):
        path_of("~nobody-here/x.json")


def test_homes_at_a_home_folder_of_nobody_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, home in (("COCASEARCH_INDEXES", indexes_homes), ("COCASEARCH_HOME", models_home)):
        monkeypatch.setenv(name, "~nobody-here/x")
        with pytest.raises(CocaSearchError, match="no home folder is known for ~nobody-here"):
            home()
