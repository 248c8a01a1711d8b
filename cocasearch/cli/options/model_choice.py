"""Which model a command takes, and what its user should know about that."""

from contextlib import suppress
from pathlib import Path

from cocasearch.atomic_files import write_text
from cocasearch.cli import console
from cocasearch.paths import reported_model_file


def chosen_model(name: str | None) -> str:
    """The model to load: the named one, or the best one on this machine, which is said on stderr."""
    from cocasearch.checkpoints.registry import best_model

    if name is None:
        best = best_model()
        name = best.name
        _tell_once(name, is_published=best.published is not None)
    warn_about(name)
    return name


def _tell_once(name: str, *, is_published: bool) -> None:
    """Say which model is taken, once on each machine; again when it is another, or that cannot be kept."""
    told = reported_model_file()
    with suppress(OSError, ValueError):
        if told.read_text(encoding="utf-8") == name:
            return
    if is_published:
        console.say(f"with {name}, the best model here (--model takes another)")
    else:
        console.say(f"with {name}, made for trying out; for far better ones see: cocasearch models list")
    with suppress(OSError):
        told.parent.mkdir(parents=True, exist_ok=True)
        write_text(told, name)


def warn_about(name_or_folder: str) -> None:
    """Say what must be known before a model is used, if anything."""
    from cocasearch.checkpoints.hub.catalogue import warning_about

    if warning := warning_about(Path(name_or_folder).name):
        console.say(f"mind: {warning}")
