"""The public names: written down, importable, and each at home in one module."""

import importlib
import os
import subprocess
import sys

import pytest

import cocasearch

PUBLIC = {
    "load_model", "Embedder", "Captioner", "CaptionOptions", "IndexBuilder", "Searcher", "SearchHit",
    "CoCa", "CoCaConfig", "CocaSearchError",
}  # fmt: skip


def test_all_is_exactly_the_public_interface():
    assert set(cocasearch.__all__) == PUBLIC
    assert len(cocasearch.__all__) == len(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_name_is_its_home_module_s(name):
    value = getattr(cocasearch, name)
    assert getattr(importlib.import_module(value.__module__), name) is value
    assert value.__doc__


def test_a_loaded_model_is_shown_in_a_line():
    shown = repr(cocasearch.load_model("coca-mini", device="cpu", dtype="float32", towers=("text",)))
    assert shown.startswith("LoadedModel(name='coca-mini', fingerprint='")
    assert len(shown.splitlines()) == 1 and len(shown) < 160


def test_public_names_are_listed_by_dir():
    assert set(dir(cocasearch)) >= PUBLIC


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Indexer'"):
        cocasearch.Indexer  # noqa: B018


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_wait_briefly_unless_the_user_has_chosen_how(chosen, expected):
    environment = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-c", "import os, cocasearch; print(os.environ.get('GOMP_SPINCOUNT'))"]
    told = subprocess.run(command, env=environment | chosen, check=True, capture_output=True, text=True).stdout
    assert told.strip() == expected
