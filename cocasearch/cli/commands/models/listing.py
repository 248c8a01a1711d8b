"""`cocasearch models list` and `info`: the models on this machine or published, and what each is."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cocasearch.checkpoints.disk_space import gigabytes
from cocasearch.checkpoints.hub.catalogue import find_published
from cocasearch.checkpoints.registry import BUNDLED, KnownModel, list_known_models, resolve_model
from cocasearch.cli import console
from cocasearch.cli.options.model_choice import warn_about
from cocasearch.cli.options.path_arguments import MODEL
from cocasearch.cli.options.shared_options import AsJson

if TYPE_CHECKING:
    from cocasearch.checkpoints.confidence_file import ConfidenceModel
_MANY, _FEW = 9, 4  # values by name, and in a list


def list_(as_json: AsJson = False) -> None:
    """List the models on this machine, and the published ones that can be pulled."""
    models = list_known_models()
    if as_json:
        console.write_json([_described(model) for model in models])
        return
    rows = [
        {
            "name": model.name,
            "here": "yes" if model.folder else "no",
            "size": gigabytes(model.size),
            "good_at": _good_at(model),
        }
        for model in models
    ]
    console.write_table(rows)
    for model in models:
        warn_about(model.name)
    if missing := next((model.name for model in models if model.folder is None), None):
        console.report(f"get one with: cocasearch models pull {missing}")


def info(
    name: Annotated[str, typer.Argument(**MODEL, help="Name or folder of the model.")] = "coca-mini",
    as_json: AsJson = False,
) -> None:
    """Show the architecture of a model and where it comes from."""
    from cocasearch.checkpoints.model_folder import read_model_folder

    known = next((model for model in list_known_models() if model.name == _full_name(name)), None)
    described = _described(known) if known else {}
    if known is None or known.folder:
        stored = read_model_folder(known.folder if known and known.folder else resolve_model(name))
        described = {
            **({"name": stored.folder.resolve().name, "path": str(stored.folder)} | described),
            "fingerprint": stored.fingerprint,
            "architecture": stored.config.to_dict(),
            "preprocessing": stored.preprocess.to_dict(),
            "provenance": stored.provenance,
            "caption_confidence": _calibration(stored.read_confidence()),
        }
    if as_json:
        console.write_json(described)
    else:
        console.write_wrapped(*_lines(console.rounded(described)))
        console.report("to see everything: the same command with --json")
        warn_about(str(described["name"]))
    if known and known.folder is None:
        console.report(f"it is not here yet; get it with: cocasearch models pull {known.name}")


def _calibration(confidence: "ConfidenceModel | None") -> dict[str, Any] | None:
    """The measurement behind the confidence of captions; None of a model that was never calibrated."""
    if confidence is None:
        return None
    return {
        "n_photos": confidence.n_photos,
        "data_fingerprint": confidence.data_fingerprint,
        "caption_options": confidence.options,
    }


def _full_name(name: str) -> str:
    """The full name of a published model that is given by a short one; other names as they are."""
    published = find_published(name)
    return published.name if published else name


def _described(model: "KnownModel") -> dict[str, Any]:
    """One model as JSON types."""
    described: dict[str, Any] = {
        "name": model.name,
        "here": model.folder is not None,
        "path": str(model.folder) if model.folder else None,
        "megabytes": model.size / 1e6,
        "good_at": _good_at(model),
    }
    if published := model.published:
        described |= {
            "published": {
                "architecture": published.architecture,
                "tag": published.tag,
                "repository": published.repository,
                "parameters": published.parameters,
                "license": published.LICENSE,
                "figures": dict(published.figures),
                "warning": published.warning,
            }
        }
    return described


def _good_at(model: "KnownModel") -> str | None:
    if model.published:
        return model.published.good_at
    return "trying everything out; small and fast" if model.name == BUNDLED else None


def _lines(described: dict[str, Any]) -> Iterator[str]:
    """The lines of a nested dictionary, without what is empty; what lies deep, or is long, is only counted."""
    for name, value in described.items():
        if not isinstance(value, dict):
            if value not in (None, ""):
                yield f"{name}: {value}"
            continue
        parts = {part: values for part, values in value.items() if isinstance(values, dict)}
        yield f"{name}: {_listed({key: one for key, one in value.items() if key not in parts})}".rstrip()
        yield from (f"  {part}: {_listed(values)}" for part, values in parts.items())


def _listed(values: dict[str, Any]) -> str:
    if len(values) > _MANY:
        return f"{len(values)} values"
    return ", ".join(f"{name} {_in_short(value)}" for name, value in values.items() if value not in (None, ""))


def _in_short(value: object) -> str:
    is_long = isinstance(value, dict) or (isinstance(value, list | tuple) and len(value) > _FEW)
    return f"{len(value)} values" if is_long else str(value)  # type: ignore[arg-type]
