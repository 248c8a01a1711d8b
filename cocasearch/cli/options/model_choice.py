"""The model that a command uses, and what its user should know about it."""

from contextlib import suppress
from pathlib import Path

from cocasearch.atomic_files import write_text
from cocasearch.cli import console
from cocasearch.paths import told_model_file


def chosen_model(name: str | None) -> str:
    """The model to load: the named one, or the best one on this machine, which is reported."""
    from cocasearch.checkpoints.registry import best_model

    if name is None:
        best = best_model()
        name = best.name
        _report_once(name, is_published=best.published is not None)
    warn_about(name)
    return name


def _report_once(name: str, *, is_published: bool) -> None:
    """Report which model is used, once on each machine; again when it is another, or when that cannot be stored."""
    reported = told_model_file()
    with suppress(OSError, ValueError):
        if reported.read_text(encoding="utf-8") == name:
            return
    if is_published:
        console.say(f"with {name}, the best model here (choose another with --model)")
    else:
        console.say(f"with {name}, a small model for trying out; for much better ones see: cocasearch models list")
    with suppress(OSError):
        reported.parent.mkdir(parents=True, exist_ok=True)
        write_text(reported, name)


def warn_about(name_or_folder: str) -> None:
    """Report what must be known before a model is used, if anything."""
    from cocasearch.checkpoints.hub.catalogue import warning_about

    if warning := warning_about(Path(name_or_folder).name):
        console.say(f"mind: {warning}")
