"""All settings in words, for a terminal and for a page of the documentation."""

import re

import pytest

from cocasearch.training.config import TrainingConfig, describe_settings
from cocasearch.training.finetune_defaults import own_defaults
from cocasearch.training.settings_page import settings_lines, settings_page

NAMES = list(TrainingConfig().values())


def test_every_setting_is_described_by_whole_sentences() -> None:
    described = [setting for group in describe_settings() for setting in group.settings]
    assert [setting.name for setting in described] == NAMES
    assert all(re.fullmatch(r"[A-Zf].+\.", setting.meaning) and setting.range for setting in described)
    assert all(group.meaning.endswith(".") for group in describe_settings())


def test_ranges_are_those_that_are_checked() -> None:
    ranges = {setting.name: setting.range for group in describe_settings() for setting in group.settings}
    assert ranges["epochs"] == "a number, above 0"
    assert ranges["frozen_epochs"] == "a number, 0 or above, or inf"
    assert ranges["fixed_views"] == "a whole number, from 0 to 1000"
    assert ranges["dropout"] == "a number, from 0 to below 1"
    assert ranges["image_layer_decay"] == "a number, above 0, up to 1"
    assert ranges["optimizer"] == "adamw or muon"
    assert ranges["flip"] == "true or false"


def test_the_page_has_a_row_for_each_setting() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| .* \| .* \|$", settings_page(), re.MULTILINE)
    assert rows == NAMES


@pytest.mark.parametrize("own", [None, own_defaults()])
def test_lines_fit_a_terminal(own: dict[str, str] | None) -> None:
    lines = list(settings_lines(own))
    assert max(map(len, lines)) < 80
    assert sum("finetune: " in line for line in lines) == len(own or {})


def test_finetune_names_what_it_takes_instead() -> None:
    own = own_defaults()
    assert own.keys() <= set(NAMES)
    assert (own["optimizer"], own["flip"], own["min_area"]) == ("adamw", "false", "0.9")
    assert own["batch_size"] == "a quarter of the photos, from 2 to 64"
