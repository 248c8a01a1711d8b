"""Search photos by words or by example with a CoCa model that also writes their captions.

    from cocasearch import Searcher, load_model
    for hit in Searcher("indexes/default", load_model()).search("a dog on a beach", top_k=3):
        ...

The names below are the public interface. They are imported on first use, so that `import cocasearch` costs nothing.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cocasearch.errors import CocaSearchError
    from cocasearch.indexing.builder import IndexBuilder
    from cocasearch.inference.embedder import Embedder
    from cocasearch.inference.generation.caption_options import CaptionOptions
    from cocasearch.inference.generation.captioner import Captioner
    from cocasearch.inference.loaded_model import load_model
    from cocasearch.model.coca import CoCa
    from cocasearch.model.config import CoCaConfig
    from cocasearch.search.hits import SearchHit
    from cocasearch.search.searcher import Searcher

__version__ = "0.1.0"

# PyTorch's threads wait for each other by spinning, for milliseconds, on the cores that images are decoded on
# meanwhile. After a tenth of one they sleep. Read by the OpenMP library when PyTorch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__all__ = [
    "CaptionOptions",
    "Captioner",
    "CoCa",
    "CoCaConfig",
    "CocaSearchError",
    "Embedder",
    "IndexBuilder",
    "SearchHit",
    "Searcher",
    "load_model",
]

_HOMES = {
    "CaptionOptions": "inference.generation.caption_options",
    "Captioner": "inference.generation.captioner",
    "CoCa": "model.coca",
    "CoCaConfig": "model.config",
    "CocaSearchError": "errors",
    "Embedder": "inference.embedder",
    "IndexBuilder": "indexing.builder",
    "SearchHit": "search.hits",
    "Searcher": "search.searcher",
    "load_model": "inference.loaded_model",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'cocasearch' has no attribute '{name}'")
    value = getattr(import_module(f"cocasearch.{_HOMES[name]}"), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
