"""The model that a command uses, and what its user should know about it."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cocasearch.atomic_files import write_text
from cocasearch.checkpoints.hub.catalogue import warning_about
from cocasearch.checkpoints.registry import best_model
from cocasearch.cli import console
from cocasearch.paths import reported_model_file

if TYPE_CHECKING:
    from cocasearch.inference.loaded_model import LoadedModel


def chosen_model(name: str | None) -> str:
    """The model to load: the named one, or the best one on this machine, which is reported."""
    if name is None:
        best = best_model()
        name = best.name
        _report_once(name, is_published=best.published is not None)
    warn_about(name)
    return name


def load_chosen(name: str | None, **options: Any) -> "LoadedModel":
    """The model of `chosen_model`, loaded with `options`."""
    from cocasearch.inference.loaded_model import load_model

    name = chosen_model(name)
    with console.working("loading the model"):
        return load_model(name, **options)


def _report_once(name: str, *, is_published: bool) -> None:
    """Report which model is used, once on each machine; again when it is another, or when that cannot be stored."""
    reported = reported_model_file()
    with suppress(OSError, ValueError):
        if reported.read_text(encoding="utf-8") == name:
            return
    if is_published:
        console.report(f"using {name}, the best model here (choose another with --model)")
    else:
        console.report(f"using {name}, a small model for trying out; for much better ones see: cocasearch models list")
    with suppress(OSError):
        reported.parent.mkdir(parents=True, exist_ok=True)
        write_text(reported, name)


def warn_about(name_or_folder: str) -> None:
    """Report what must be known before a model is used, if anything."""
    if warning := warning_about(Path(name_or_folder).name):
        console.report(f"warning: {warning}")
