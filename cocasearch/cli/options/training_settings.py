"""`--set name=value`: any field of a training configuration by its name."""

import dataclasses
import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import typer

from cocasearch.cli import console
from cocasearch.cli.options.option_groups import training_option
from cocasearch.errors import CocaSearchError
from cocasearch.training.config import AugmentationConfig, TrainingConfig

Config = TypeVar("Config", TrainingConfig, AugmentationConfig)

_OUTER = "augmentation."
_DEFAULTS: dict[str, Any] = {
    **{item.name: item.default for item in dataclasses.fields(TrainingConfig) if item.name != "augmentation"},
    **{_OUTER + item.name: item.default for item in dataclasses.fields(AugmentationConfig)},
}
_LIST = "help"
_ELSEWHERE = {  # what options of ours and other trainers call a setting
    "lr": "learning_rate",
    "encoder_lr": "encoder_learning_rate",
    "batch_size": "images_per_step",
    "epochs": "passes",
    "lora": "lora_rank",
    "distill": "distill_from",
    "wd": "weight_decay",
    "grad_clip": "max_gradient_norm",
}
_OPTIONS = {
    "learning_rate": "--lr",
    "encoder_learning_rate": "--encoder-lr",
    "images_per_step": "--batch-size",
    "passes": "--passes",
}


def _list_settings(settings: list[str] | None) -> list[str] | None:
    if settings and _LIST in settings:
        console.write_lines(*(f"{name}={_as_written(value)}" for name, value in _DEFAULTS.items()))
        raise typer.Exit
    return settings


def _as_written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


Settings = Annotated[
    list[str] | None,
    training_option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other training setting, such as dropout=0.1; may be repeated. `--set help` lists them all.",
        callback=_list_settings,
        is_eager=True,
    ),
]


def apply_settings(config: TrainingConfig, settings: Sequence[str] | None, **asked: Any) -> TrainingConfig:
    """The configuration with some fields changed; fields of the augmentation are `augmentation.NAME`.

    Args:
        config: The configuration.
        settings: NAME=VALUE each.
        asked: Fields that have options of their own, None for those that were not given.

    Raises:
        CocaSearchError: A setting without a value, of an unknown name (the nearest is named), given two values, or out
            of its range.
    """
    # All at once: some settings need others beside them.
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    nested: dict[str, Any] = {}
    for setting in settings or ():
        name, equals, value = setting.partition("=")
        if not equals:
            raise CocaSearchError(f"the setting '{_cut(name)}' gives no value", hint=f"--set {_cut(name)}=VALUE")
        if name not in (*_DEFAULTS, "augmentation"):
            raise _unknown(name)
        where, owner = (nested, config.augmentation) if name.startswith(_OUTER) else (changes, config)
        field = name.removeprefix(_OUTER)
        first, present = where.setdefault(field, value), getattr(owner, field)
        if first is not value and _parse(field, first, present) != _parse(field, value, present):
            raise CocaSearchError(f"'{name}' is given two values: {_cut(_as_written(first))} and {_cut(value)}")
    if nested:
        changes["augmentation"] = _replace(config.augmentation, nested)
    return _replace(config, changes)


def names_of(settings: Sequence[str] | None, **asked: Any) -> list[str]:
    """The names of all settings that a user chose, as `apply_settings` takes them."""
    chosen = [name for name, value in asked.items() if value is not None]
    return list(dict.fromkeys([*chosen, *(setting.partition("=")[0] for setting in settings or ())]))


def report_idle_settings(sentences: Sequence[str]) -> None:
    """Tell which of a user's settings have no effect, on stderr."""
    console.report(*(f"warning: {sentence}" for sentence in sentences))


def _unknown(name: str) -> CocaSearchError:
    plain = name.lower().replace("-", "_").removeprefix(_OUTER)
    called = {known.removeprefix(_OUTER): known for known in _DEFAULTS} | _ELSEWHERE
    near = difflib.get_close_matches(plain, called, n=1)
    message = f"there is no setting '{_cut(name)}'"
    if not near:
        return CocaSearchError(message, hint=f"--set {_LIST} lists all settings")
    meant = called[near[0]]
    option = f", which in finetune is also {_OPTIONS[meant]}" if meant in _OPTIONS else ""
    return CocaSearchError(f"{message}; did you mean '{meant}'{option}?", hint=f"--set {_LIST} lists all settings")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _replace(config: Config, changes: Mapping[str, Any]) -> Config:
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
        raise CocaSearchError(f"the setting '{name}' takes {_WORDS[kind]}, not '{_cut(value)}'")
    return parsed


_LONGEST = 60  # letters of what a user wrote that are repeated
_WORDS = {bool: "true or false", int: "a whole number", float: "a number"}
