from collections.abc import Callable
from pathlib import Path

import pytest

from cocasearch.checkpoints.openclip_configs import read_architecture
from cocasearch.checkpoints.registry import resolve_model
from cocasearch.errors import CocaSearchError
from cocasearch.paths import default_indexes_home, index_folder, models_home


def test_homes_may_start_with_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COCASEARCH_INDEXES", "~/mine")
    monkeypatch.setenv("COCASEARCH_HOME", "~/coca")
    assert index_folder("trip") == Path.home() / "mine" / "trip"
    assert models_home() == Path.home() / "coca" / "models"


def test_a_bare_name_is_an_index_and_anything_else_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COCASEARCH_INDEXES", raising=False)
    assert index_folder("trip") == Path("indexes/trip")
    assert index_folder("./trip") == Path("trip")
    assert index_folder("~/trip") == Path.home() / "trip"


@pytest.mark.parametrize("path_of", [index_folder, resolve_model, read_architecture])
def test_a_home_folder_of_nobody_is_told(path_of: Callable[[str], object]) -> None:
    with pytest.raises(CocaSearchError, match="no home folder is known for ~nobody-here"):
        path_of("~nobody-here/x.json")


def test_homes_at_a_home_folder_of_nobody_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, home in (("COCASEARCH_INDEXES", default_indexes_home), ("COCASEARCH_HOME", models_home)):
        monkeypatch.setenv(name, "~nobody-here/x")
        with pytest.raises(CocaSearchError, match="no home folder is known for ~nobody-here"):
            home()
