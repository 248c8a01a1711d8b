"""The public names: written down, importable, and each at home in one module."""

import importlib

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


def test_public_names_are_listed_by_dir():
    assert set(dir(cocasearch)) >= PUBLIC


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Indexer'"):
        cocasearch.Indexer  # noqa: B018
