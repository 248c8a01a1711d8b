"""`cocasearch models`: which models are at hand, and what each is."""

from typing import Annotated, Any

import typer

from cocasearch.cli import console
from cocasearch.cli.options import AsJson


def list_(as_json: AsJson = False) -> None:
    """List the models that --model takes by name."""
    from cocasearch.checkpoints.registry import list_models
    from cocasearch.paths import models_home

    rows = [{"name": model.name, "megabytes": model.size / 1e6, "path": str(model.folder)} for model in list_models()]
    if as_json:
        console.write_json(rows)
    elif rows:
        console.write_table([{**row, "megabytes": f"{row['megabytes']:.1f}"} for row in rows])
    if not rows:
        console.say(f"there are no models; put model folders into {models_home()}, or name a folder with --model")


def info(
    name: Annotated[str, typer.Argument(metavar="[NAME|FOLDER]", help="Which model.")] = "coca-mini",
    as_json: AsJson = False,
) -> None:
    """Show what a model is made of and where it comes from."""
    from cocasearch.checkpoints.registry import resolve_model
    from cocasearch.checkpoints.storage import read_model_folder

    stored = read_model_folder(resolve_model(name))
    described = {
        "name": stored.folder.resolve().name,
        "path": str(stored.folder),
        "fingerprint": stored.fingerprint,
        "architecture": stored.config.to_dict(),
        "preprocessing": stored.preprocess.to_dict(),
        "provenance": stored.provenance,
    }
    if as_json:
        console.write_json(described)
    else:
        console.write("".join(f"{line}\n" for line in _lines(described)))


def _lines(described: dict[str, Any], indent: str = "") -> list[str]:
    """A nested dictionary as indented `name: value` lines."""
    lines = []
    for name, value in described.items():
        nested = isinstance(value, dict)
        lines.append(f"{indent}{name}:" if nested else f"{indent}{name}: {value}")
        if nested:
            lines += _lines(value, indent + "  ")
    return lines
