"""What a recipe adds to a model is trained, resumed and gone from the folder that is written."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.training.config import TrainingConfig
from cocasearch.training.model.preparation import plain_weights, prepare
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.trainer import Trainer

PIXELS = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
IDS = torch.tensor([[1, 9, 8, 2, 0], [1, 7, 2, 0, 0], [1, 5, 5, 5, 2]])
LORA = {"lora_rank": 2, "lora_alpha": 8.0, "ema_decay": 0.0, "optimizer": "adamw", "learning_rate": 1e-2}


def test_a_run_with_adapters_writes_an_ordinary_model(runs, tmp_path: Path) -> None:
    trainer = runs.plain(tmp_path / "model", **LORA)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    after = trainer.model.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if "adapter_" in name} | {"logit_scale"}
    stored = read_model_folder(tmp_path / "model")
    merged = stored.load_model()  # in float16
    assert merged.state_dict().keys() == {name for name in before if "adapter_" not in name}
    with torch.no_grad():
        adapted, written = trainer.model.eval()(PIXELS, IDS), merged(PIXELS, IDS)
    torch.testing.assert_close(written.image_embedding, adapted.image_embedding, atol=2e-3, rtol=0)
    torch.testing.assert_close(written.text_embedding, adapted.text_embedding, atol=2e-3, rtol=0)
    torch.testing.assert_close(written.caption_logits, adapted.caption_logits, atol=2e-2, rtol=0)


def test_the_merged_weights_compute_what_the_adapted_model_does(runs, new_start, tmp_path: Path) -> None:
    trainer = runs.plain(tmp_path / "model", **LORA)
    trainer.run()
    plain = new_start().model.eval()
    with torch.no_grad():
        untouched = plain(PIXELS, IDS).caption_logits
        plain.load_state_dict(plain_weights(trainer.model.state_dict(), trainer.config))
        adapted, merged = trainer.model.eval()(PIXELS, IDS), plain(PIXELS, IDS)
    torch.testing.assert_close(merged.image_embedding, adapted.image_embedding, atol=1e-5, rtol=0)
    torch.testing.assert_close(merged.caption_logits, adapted.caption_logits, atol=1e-5, rtol=1e-5)
    assert (merged.caption_logits - untouched).abs().max() > 0.01


def test_blocks_that_keep_their_weights_train_their_adapters(new_start) -> None:
    model = new_start(convolutional=False).model
    prepare(model, TrainingConfig().changed(lora_rank=2, frozen_blocks=2))
    free = {name for name, parameter in model.image_encoder.named_parameters() if parameter.requires_grad}
    adapters = {name for name, _ in model.image_encoder.named_parameters() if "adapter_" in name}
    assert free == adapters
    assert any(name.startswith("blocks.0.") for name in adapters)


def test_what_is_validated_is_the_merged_model(runs, tmp_path: Path) -> None:
    config = runs.plain(tmp_path / "none").config.changed(**LORA)
    trainer = runs.trainer(tmp_path / "model", config=config, names=False)
    shift_adapters(trainer)
    validated = trainer._trained.loaded(trainer.learner.average.weights, trainer.device)
    assert not any("adapter_" in name for name in validated.model.state_dict())
    with torch.no_grad():
        found = validated.model.encode_image(PIXELS)
        torch.testing.assert_close(found, trainer.model.eval().encode_image(PIXELS), atol=1e-5, rtol=0)


def shift_adapters(trainer: Trainer) -> None:
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if name.endswith("adapter_up"):
                parameter.fill_(0.01)


RECIPES: dict[str, dict[str, object]] = {
    "adapters": {**LORA, "lora_dropout": 0.2},
    "adapters and averages": {**LORA, "ema_decay": 0.9},
    "checkpointed blocks": {"gradient_checkpointing": True, "dropout": 0.2},
    "layer-wise rates": {"image_layer_decay": 0.7, "text_layer_decay": 0.7, "schedule": "const-cooldown"},
    "pure bfloat16": {"precision": "pure_bfloat16", "optimizer": "adamw"},
    "float16": {"precision": "float16"},
    "sigmoid loss": {"contrastive_loss": "sigmoid"},
    "locked towers": {"lock_image": True, "lock_text": True, "unlocked_text_groups": 1},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_recipe_is_resumed_to_the_bit(runs, tmp_path: Path, recipe: str) -> None:
    settings = {"epochs": 1.5, **RECIPES[recipe]}
    whole = runs.plain(tmp_path / "whole", **settings)
    whole.run()
    stopped = runs.plain(tmp_path / "stopped", **settings)

    def stop(progress: TrainingProgress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    stopped.progress = stop
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    resumed = runs.plain(tmp_path / "stopped", **settings)
    resumed.run()
    expected: dict[str, Tensor] = whole.model.state_dict()
    assert [name for name, value in resumed.model.state_dict().items() if not torch.equal(value, expected[name])] == []
    fingerprints = [read_model_folder(tmp_path / name).fingerprint for name in ("whole", "stopped")]
    assert fingerprints[0] == fingerprints[1]


def test_patch_dropout_is_of_vision_transformers(runs, new_start) -> None:
    settings = runs.plain(Path("none")).config.changed(force_patch_dropout=0.5, frozen_blocks=0)
    start = new_start(convolutional=False)
    prepare(start.model, settings, {})
    assert start.model.image_encoder.train()(PIXELS).shape == (3, 1 + 8, 32)
    with pytest.raises(CocaSearchError, match="image encoder is convolutional and has none"):
        prepare(new_start().model, settings, {})
