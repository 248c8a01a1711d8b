"""Which model a command takes, and what its user should know about that."""

from pathlib import Path

from cocasearch.cli import console


def chosen_model(name: str | None) -> str:
    """The model to load: the named one, or the best one on this machine, which is said on stderr."""
    from cocasearch.checkpoints.registry import best_model

    if name is None:
        best = best_model()
        name = best.name
        if best.published:
            console.say(f"with {name}, the best model here (--model takes another)")
        else:
            console.say(f"with {name}, made for trying out; for far better ones see: cocasearch models list")
    warn_about(name)
    return name


def warn_about(name_or_folder: str) -> None:
    """Say what must be known before a model is used, if anything."""
    from cocasearch.checkpoints.catalogue import warning_about

    if warning := warning_about(Path(name_or_folder).name):
        console.say(f"mind: {warning}")
