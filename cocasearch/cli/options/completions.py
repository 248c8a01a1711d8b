"""What shells complete: the names of indexes, models and devices."""

from cocasearch.checkpoints.registry import list_known_models, list_models
from cocasearch.indexing.store.manifest import list_indexes


def complete_index(incomplete: str) -> list[str]:
    """The names of indexes that begin with `incomplete`."""
    return _beginning(incomplete, [folder.name for folder in list_indexes()])


def complete_model(incomplete: str) -> list[str]:
    """The names of models on this machine that begin with `incomplete`."""
    return _beginning(incomplete, [model.name for model in list_models()])


def complete_known_model(incomplete: str) -> list[str]:
    """The names of models that begin with `incomplete`, here or to be pulled."""
    return _beginning(incomplete, [model.name for model in list_known_models()])


def complete_device(incomplete: str) -> list[str]:
    """The kinds of devices that begin with `incomplete`."""
    return _beginning(incomplete, ["auto", "cpu", "cuda", "mps"])


def _beginning(incomplete: str, names: list[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})
