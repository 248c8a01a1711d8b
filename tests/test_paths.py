from pathlib import Path

import pytest

from cocasearch.paths import index_folder, models_home


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
