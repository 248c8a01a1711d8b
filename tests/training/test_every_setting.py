"""Every setting changes the numbers of a run, or is named with the test that shows what it does.

A setting that is added without an entry here fails; so does one that changes nothing.
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from cocasearch.checkpoints.model_folder import save_model_folder
from cocasearch.cli.options.training_settings import apply_settings
from cocasearch.images.transforms import Preprocess
from cocasearch.training.config import TrainingConfig
from cocasearch.training.idle_settings import idle_settings
from cocasearch.training.model.resizing import forced

Numbers = dict[str, Tensor]
Settings = dict[str, object]
LORA = {"lora_rank": 2, "optimizer": "adamw", "learning_rate": 1e-2}
SIGMOID = {"contrastive_loss": "sigmoid"}
COOLDOWN = {"schedule": "const-cooldown", "warmup": 0.0, "cooldown": 0.9}
NAMES = {"names": True, "caption_weight": 0.0}
DISTILLED = {"distill_from": "larger"}

# setting -> what it needs beside it, and a value that makes another model. `names` adds class names and labelled
# pictures to the run, `vit` replaces its convolutional encoder.
CHANGES: dict[str, tuple[Settings, object]] = {
    "epochs": ({}, 0.5),
    "batch_size": ({}, 5),
    "captions_per_image": ({}, 1),
    "labelled_per_step": (NAMES, 2),
    "optimizer": ({}, "adamw"),
    "learning_rate": ({}, 1e-4),
    "muon_learning_rate": ({}, 1e-4),
    "encoder_learning_rate": ({}, 1e-4),
    "frozen_epochs": ({}, 0.25),
    "frozen_blocks": ({}, 2),
    "weight_decay": ({}, 0.5),
    "beta1": ({}, 0.5),
    "beta2": ({}, 0.5),
    "warmup": ({}, 0.9),
    "max_gradient_norm": ({}, 0.0),
    "ema_decay": ({}, 0.0),
    "contrastive_weight": ({}, 2.0),
    "caption_weight": ({}, 2.0),
    "name_weight": (NAMES, 2.0),
    "names_per_step": (NAMES, 5),
    "label_caption_weight": (NAMES, 1.0),
    "label_smoothing": ({}, 0.1),
    "dropout": ({}, 0.3),
    "objective": ({}, "caption"),
    "precision": ({}, "bfloat16"),
    "seed": ({}, 1),
    "resampled": ({}, True),
    "fixed_views": ({}, 1),
    "schedule": ({}, "const"),
    "warmup_steps": ({}, 3),
    "cooldown": (COOLDOWN, 0.4),
    "cooldown_end": (COOLDOWN, 0.5),
    "cooldown_power": (COOLDOWN, 3.0),
    "adam_epsilon": ({}, 1e-3),
    "caption_start": ({}, 0.5),
    "caption_ramp": ({}, 0.9),
    "lock_image": ({}, True),
    "unlocked_image_groups": ({"lock_image": True}, 1),
    "lock_text": ({}, True),
    "unlocked_text_groups": ({"lock_text": True}, 1),
    "freeze_layer_norm": ({"lock_text": True}, False),
    "image_layer_decay": ({}, 0.5),
    "text_layer_decay": ({}, 0.5),
    "lora_rank": ({"optimizer": "adamw"}, 2),
    "lora_alpha": (LORA, 64.0),
    "lora_dropout": (LORA, 0.5),
    "lora_layers": (LORA, "mlp"),
    "lora_towers": (LORA, "text"),
    "lora_extras": (LORA, "image_projection"),
    "contrastive_loss": ({}, "sigmoid"),
    "sigmoid_temperature": (SIGMOID, 5.0),
    "sigmoid_bias": (SIGMOID, -5.0),
    "distill_from": ({}, "larger"),
    "distill_weight": (DISTILLED, 3.0),
    "distill_caption_weight": (DISTILLED, 3.0),
    "self_critical_weight": ({}, 0.5),
    "self_critical_samples": ({"self_critical_weight": 0.5}, 3),
    "sentence_weight": ({}, 0.3),
    "sentence_temperature": ({"sentence_weight": 0.3}, 1.0),
    "force_image_size": ({}, 40),
    "force_context_length": ({}, 20),
    "force_quick_gelu": ({}, True),
    "force_image_mean": ({}, "0.1,0.2,0.3"),
    "force_image_std": ({}, "0.1,0.2,0.3"),
    "force_resize_mode": ({}, "shortest"),
    "force_interpolation": ({}, "bilinear"),
    "force_patch_dropout": ({"vit": True}, 0.5),
    "min_area": ({}, 0.3),
    "max_area": ({}, 0.85),
    "min_ratio": ({}, 1.0),
    "max_ratio": ({}, 1.1),
    "undistorted": ({}, True),
    "flip": ({}, False),
    "color": ({}, 0.4),
    "hue": ({}, 0.3),
    "color_probability": ({}, 0.3),
    "gray_probability": ({}, 0.5),
    "coarsest": ({}, 8),
    "erase_probability": ({}, 0.5),
    "erase_count": ({"erase_probability": 1.0}, 3),
}

# What changes no number of a model, or only several processes' together, and the tests that show what it does.
SHOWN_ELSEWHERE = {
    "micro_batch": "test_gradients.py::test_micro_batches_give_the_gradients_of_the_whole",
    "accumulation": "test_gradients.py::test_micro_batches_give_the_gradients_of_the_whole",
    "sharding": "test_processes.py::test_two_processes_find_the_gradients_of_one",
    "local_loss": "test_processes.py::test_the_modes_differ",
    "gather_with_grad": "test_processes.py::test_the_modes_differ",
    "held_out": "test_splitting.py::test_held_out_pictures_are_whole_pictures_chosen_by_the_seed",
    "keep_near": "test_splitting.py::test_what_is_nearly_the_same_is_kept_where_wanted",
    "validations": "test_resume.py::test_the_run_has_what_could_go_wrong",
    "save_epochs": "test_saved_epochs.py::test_the_model_of_every_epoch_is_kept",
    "saves_kept": "test_saved_epochs.py::test_the_last_ones_alone_stay",
    "invention_price": "test_self_critical.py::test_an_object_that_nobody_named_costs_its_price",
    "cache_features": "test_cached_features.py::test_cached_features_train_as_computed_ones_do",
    "feature_folder": "test_cached_features.py::test_the_file_goes_with_the_run_unless_it_has_a_place_of_its_own",
    "workers": "test_dataset.py::test_batches_are_the_same_with_any_number_of_workers",
    "checkpoint_minutes": "test_resume.py::test_resumed_after_a_kill",
    "gradient_checkpointing": "test_tower_blocks.py::test_checkpointing_gives_the_same_gradients_for_less_memory",
    "checkpointed_image_blocks": "test_tower_blocks.py::test_first_image_blocks_can_be_checkpointed_alone",
    "compile": "test_tower_blocks.py::test_compiling_keeps_what_a_block_computes",
}


def every_setting() -> set[str]:
    return set(TrainingConfig().values())


def test_every_setting_has_an_effect_that_is_tested() -> None:
    missing = every_setting() - CHANGES.keys() - SHOWN_ELSEWHERE.keys()
    assert not missing, f"add to CHANGES a value that changes a run, or to SHOWN_ELSEWHERE a test: {sorted(missing)}"
    assert not (CHANGES.keys() | SHOWN_ELSEWHERE.keys()) - every_setting()


@pytest.mark.parametrize("test", sorted(set(SHOWN_ELSEWHERE.values())))
def test_what_is_shown_elsewhere_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    (path,) = Path(__file__).parent.rglob(file)
    assert re.search(rf"^def {name}\(", path.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def made(runs, new_start, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Settings], Numbers]:
    """made(settings): what a run of three steps leaves, the result and the view of a picture that it is measured by."""
    larger = tmp_path_factory.mktemp("larger")
    start = new_start()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        weights = {name: value + 0.1 * torch.randn_like(value) for name, value in start.model.state_dict().items()}
    save_model_folder(
        larger / "model",
        weights,
        config=start.model.config,
        preprocess=start.preprocess,
        tokenizer=start.tokenizer,
        provenance={},
    )
    picture = Image.radial_gradient("L").resize((60, 40)).convert("RGB")

    @functools.cache
    def of(frozen: frozenset[tuple[str, Any]], repeat: int) -> Numbers:
        settings = dict(frozen)
        names, vit = settings.pop("names", False), settings.pop("vit", False)
        if settings.get("distill_from") == "larger":
            settings["distill_from"] = str(larger / "model")
        plain = runs.plain(Path("none")).config
        config = plain.changed(**{"epochs": 0.75, "precision": "float32", **settings})
        start = forced(new_start(convolutional=not vit), config)
        out = tmp_path_factory.mktemp("runs") / "model"
        trainer = runs.trainer(out, config=config, start=start, held_out=0, names=names)
        trainer.run()
        view = Preprocess(start.preprocess)(picture)
        return {**{name: value.clone() for name, value in trainer.learner.average.weights.items()}, "a view": view}

    return lambda settings, repeat=0: of(frozenset(settings.items()), repeat)


def same(found: Numbers, expected: Numbers) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize("setting", CHANGES)
def test_each_setting_changes_what_a_run_makes(made, setting: str) -> None:
    beside, value = CHANGES[setting]
    assert not same(made({**beside, setting: value}), made(beside))


@pytest.mark.parametrize("setting", CHANGES)
def test_a_setting_is_called_idle_exactly_where_it_lacks_what_it_needs(setting: str) -> None:
    beside, value = CHANGES[setting]
    if setting.startswith("unlocked_"):  # refused without
        return

    def idle(settings: Settings) -> list[str]:
        names, fields = "names" in settings, {name: settings[name] for name in settings.keys() - {"names", "vit"}}
        asked = [f"{name}={chosen}" for name, chosen in {"frozen_epochs": 0.0, **fields, setting: value}.items()]
        return idle_settings(apply_settings(TrainingConfig(), asked), [setting], names=names, labels=names)

    assert idle(beside) == []
    assert len(idle({})) == (bool(beside) and setting not in ("lora_rank", "force_patch_dropout"))


def test_a_default_that_is_spelled_out_changes_nothing(made, runs) -> None:
    values = runs.plain(Path("none")).config.values()
    names = [name for name, (beside, _) in CHANGES.items() if not beside and name not in ("epochs", "precision")]
    spelled = {name: values[name] for name in names}
    assert same(made(spelled), made({}))


def test_only_the_settings_make_a_difference(made) -> None:
    bases = {frozenset(beside.items()) for beside, _ in CHANGES.values()}
    for base in bases:
        assert same(made(dict(base), repeat=1), made(dict(base))), base
