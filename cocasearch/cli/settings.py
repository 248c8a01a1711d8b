"""`--set name=value`: any field of a training configuration by its name."""

import dataclasses
import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import typer

from cocasearch.errors import CocaSearchError
from cocasearch.training.config import AugmentationConfig, TrainingConfig

Config = TypeVar("Config", TrainingConfig, AugmentationConfig)
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any training setting, such as dropout=0.1 or augmentation.min_area=0.6; may be repeated.",
        show_default=False,
    ),
]


def apply_settings(config: TrainingConfig, settings: Sequence[str] | None, **asked: Any) -> TrainingConfig:
    """The configuration with some fields changed; fields of the augmentation are `augmentation.NAME`.

    Args:
        config: The configuration.
        settings: NAME=VALUE each; they have the last word.
        asked: Fields that have options of their own, None for those that were not given.

    Raises:
        CocaSearchError: A setting without a value, of an unknown name (the nearest is named), or out of its range.
    """
    # All at once: some settings need others beside them.
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    nested: dict[str, Any] = {}
    for setting in settings or ():
        name, equals, value = setting.partition("=")
        if not equals:
            raise CocaSearchError(f"'{setting}' gives no value", hint=f"--set {name}=VALUE")
        outer, _, inner = name.rpartition(".")
        (nested if outer == "augmentation" else changes)[inner if outer == "augmentation" else name] = value
    if nested:
        changes["augmentation"] = _replace(config.augmentation, nested)
    return _replace(config, changes)


def _replace(config: Config, changes: Mapping[str, Any]) -> Config:
    known = [item.name for item in dataclasses.fields(config)]
    for name in changes:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise CocaSearchError(f"there is no setting '{name}'; did you mean '{nearest}'?")
    return dataclasses.replace(
        config, **{name: _parse(name, value, getattr(config, name)) for name, value in changes.items()}
    )


def _parse(name: str, value: Any, present: Any) -> Any:
    """The value as the type that the setting has now."""
    if not isinstance(value, str) or isinstance(present, str):
        return value
    kind = type(present)
    if dataclasses.is_dataclass(kind):
        first = dataclasses.fields(kind)[0].name
        raise CocaSearchError(f"'{name}' has settings of its own, such as {name}.{first}")
    try:
        parsed = json.loads(value.lower()) if kind is bool else kind(value)
    except ValueError:
        parsed = None
    if not isinstance(parsed, kind):
        raise CocaSearchError(f"the setting '{name}' takes {_WORDS[kind]}, not '{value}'")
    return parsed


_WORDS = {bool: "true or false", int: "a whole number", float: "a number"}
