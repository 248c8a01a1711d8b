"""`--set name=value`: any setting of training by its name; `--settings` prints them all."""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from cocasearch.cli import console
from cocasearch.cli.options.option_groups import training_option
from cocasearch.training.config import TrainingConfig, group_of
from cocasearch.training.idle_settings import idle_settings
from cocasearch.training.setting_fields import SettingError, as_written

_DEFAULTS = TrainingConfig().values()
_OTHER_NAMES = {  # what options of ours, earlier releases and other trainers call a setting
    "lr": "learning_rate",
    "encoder_lr": "encoder_learning_rate",
    "passes": "epochs",
    "frozen_passes": "frozen_epochs",
    "save_passes": "save_epochs",
    "images_per_step": "batch_size",
    "lora": "lora_rank",
    "distill": "distill_from",
    "wd": "weight_decay",
    "grad_clip": "max_gradient_norm",
}
_OPTIONS = {
    "learning_rate": "--lr",
    "encoder_learning_rate": "--encoder-lr",
    "batch_size": "--batch-size",
    "epochs": "--epochs",
}
_LONGEST = 60  # letters of what a user wrote that are repeated
_WORDS = {bool: "true or false", int: "a whole number", float: "a number"}


def _print_settings(context: typer.Context, is_asked: bool) -> None:
    if is_asked:
        from cocasearch.training.finetune_defaults import own_defaults
        from cocasearch.training.settings_page import settings_lines

        console.write_lines(*settings_lines(own_defaults() if context.info_name == "finetune" else None))
        raise typer.Exit


ShowSettings = Annotated[
    bool,
    training_option(
        "--settings",
        help="Print every setting for --set with its default, range and meaning, and exit.",
        callback=_print_settings,
        is_eager=True,
        show_default=False,
    ),
]
Settings = Annotated[
    list[str] | None,
    training_option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other training setting, such as dropout=0.1; may be repeated.",
    ),
]


def apply_settings(config: TrainingConfig, settings: Sequence[str] | None, **asked: Any) -> TrainingConfig:
    """The configuration with other values of some settings.

    Args:
        config: The configuration.
        settings: NAME=VALUE or GROUP.NAME=VALUE each.
        asked: Settings that have options of their own, None for those that were not given.

    Raises:
        SettingError: A setting without a value, of an unknown name (the nearest is named), given two values, or out of
            its range.
    """
    # All at once: some settings need others beside them.
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    for setting in settings or ():
        written, equals, text = setting.partition("=")
        if not equals:
            raise SettingError(f"the setting '{_cut(written)}' gives no value", hint=f"--set {_cut(written)}=VALUE")
        name = _plain(written)
        value = _parse(name, text)
        if changes.setdefault(name, value) != value:
            raise SettingError(f"'{name}' is given two values: {_cut(as_written(changes[name]))} and {_cut(text)}")
    return config.changed(**changes)


def print_idle_settings(
    config: TrainingConfig, settings: Sequence[str] | None, asked: Mapping[str, Any], **given: bool
) -> None:
    """Print which of a user's settings have no effect, on stderr; settings as for `apply_settings`.

    Args:
        config: The run's.
        settings: NAME=VALUE or GROUP.NAME=VALUE each.
        asked: Settings that have options of their own, None for those that were not given.
        given: What the run is given, as `idle_settings` has it.
    """
    chosen = [name for name, value in asked.items() if value is not None]
    chosen += [_plain(setting.partition("=")[0]) for setting in settings or ()]
    for sentence in idle_settings(config, dict.fromkeys(chosen), **given):
        console.report(f"warning: {sentence}")


def _plain(written: str) -> str:
    """The plain name of a setting that is given by it or as GROUP.NAME."""
    group, _, name = written.rpartition(".")
    if name in _DEFAULTS and group in ("", group_of(name)):
        return name
    raise SettingError(_unknown(written, name), hint="--settings prints all settings")


def _unknown(written: str, name: str) -> str:
    """The sentence for a name that no setting has, with the setting that is meant where one is near."""
    if members := [known for known in _DEFAULTS if group_of(known) == written]:
        return f"'{written}' has settings of its own, such as {members[0]}"
    plain = name.lower().replace("-", "_")
    near = difflib.get_close_matches(plain, [*_DEFAULTS, *_OTHER_NAMES], n=1, cutoff=0.7)
    if not near:
        return f"there is no setting '{_cut(written)}'"
    meant = _OTHER_NAMES.get(near[0], near[0])
    option = f", which in finetune is also {_OPTIONS[meant]}" if meant in _OPTIONS else ""
    return f"there is no setting '{_cut(written)}'; did you mean '{meant}'{option}?"


def _parse(name: str, text: str) -> Any:
    """The value as the type that the setting has."""
    kind = type(_DEFAULTS[name])
    if kind is str:
        return text
    try:
        parsed = json.loads(text.lower()) if kind is bool else kind(text)
    except ValueError:
        parsed = None
    if not isinstance(parsed, kind):
        raise SettingError(f"the setting '{name}' takes {_WORDS[kind]}, not '{_cut(text)}'")
    return parsed


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
