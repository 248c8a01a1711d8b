"""Adapters start as nothing, are all that is trained, and leave an ordinary model behind."""

from typing import Any

import pytest
import torch
from torch import Tensor

from cocasearch.errors import CocaSearchError
from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig
from cocasearch.training.config import TrainingConfig
from cocasearch.training.model.adapters import AdaptedLinear, adapter_scale, add_adapters, merge_adapters
from cocasearch.training.model.preparation import prepare

CONFIG = TrainingConfig().changed(lora_rank=3, lora_alpha=6.0)
PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
IDS = torch.tensor([[1, 9, 8, 2, 0], [1, 7, 2, 0, 0]])


@pytest.fixture
def model(tiny_config: CoCaConfig, tiny_coca: CoCa) -> CoCa:
    model = CoCa(tiny_config).eval()
    model.load_state_dict(tiny_coca.state_dict())
    return model


def outputs(model: CoCa) -> tuple[Tensor, ...]:
    with torch.no_grad():
        output = model(PIXELS, IDS)
    return output.image_embedding, output.text_embedding, output.caption_logits


def shift(model: CoCa) -> None:
    """As if the adapters had been trained."""
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if name.endswith("adapter_up"):
                parameter.normal_(std=0.05, generator=torch.Generator().manual_seed(len(name)))


def test_fresh_adapters_change_nothing(model: CoCa, tiny_coca: CoCa) -> None:
    add_adapters(model, CONFIG)
    assert all(torch.equal(*pair) for pair in zip(outputs(model), outputs(tiny_coca), strict=True))


def test_the_merged_model_is_the_adapted_one(model: CoCa, tiny_config: CoCaConfig, tiny_coca: CoCa) -> None:
    add_adapters(model, CONFIG)
    shift(model)
    merged = CoCa(tiny_config).eval()
    merged.load_state_dict(merge_adapters(model.state_dict(), adapter_scale(CONFIG)))
    for found, expected, before in zip(outputs(merged), outputs(model), outputs(tiny_coca), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        assert (found - before).abs().max() > 1e-2


def test_only_adapters_and_extras_are_trained(model: CoCa) -> None:
    add_adapters(model, CONFIG.changed(lora_extras="logit_scale, image_projection"))
    free = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    adapters = {name for name, _ in model.named_parameters() if "adapter_" in name}
    assert free == adapters | {"logit_scale", "image_projection.weight"}
    rank = {parameter.shape[0] for name, parameter in model.named_parameters() if name.endswith("adapter_down")}
    assert rank == {3}


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"lora_layers": "attention", "lora_towers": "text"}, {"text_decoder.blocks.attention"}),
        ({"lora_layers": "mlp", "lora_towers": "image"}, {"image_encoder.blocks.mlp"}),
        (
            {"lora_layers": "attention", "lora_towers": "image,caption"},
            {
                "image_encoder.blocks.attention",
                "pooling.pooler.attention",
                "multimodal_decoder.self_blocks.attention",
                "multimodal_decoder.cross_blocks.attention",
            },
        ),
    ],
)
def test_the_layers_that_are_asked_for(model: CoCa, settings: dict[str, str], parts: set[str]) -> None:
    add_adapters(model, CONFIG.changed(**settings))
    adapted = [name.split(".") for name, module in model.named_modules() if isinstance(module, AdaptedLinear)]
    assert {".".join(part for part in name[:-1] if not part.isdigit()) for name in adapted} == parts


def test_alpha_scales_what_an_adapter_adds(tiny_config: CoCaConfig, tiny_coca: CoCa) -> None:
    linear = torch.nn.Linear(4, 5)
    x, found = torch.randn(7, 4), []
    for alpha in (3.0, 6.0):
        config = CONFIG.changed(lora_alpha=alpha)
        adapted = AdaptedLinear(linear, rank=3, scale=adapter_scale(config), dropout=0.0, rng=torch.Generator())
        with torch.no_grad():
            adapted.adapter_down.fill_(0.3)
            adapted.adapter_up.fill_(0.2)
        found.append(adapted(x) - linear(x))
    torch.testing.assert_close(found[0], (x.sum(dim=1, keepdim=True) * 0.3 * 0.2 * 3).expand(-1, 5))
    torch.testing.assert_close(found[1], 2 * found[0])


def test_dropout_is_of_the_adapters_alone() -> None:
    adapted = AdaptedLinear(torch.nn.Linear(4, 5), rank=3, scale=1.0, dropout=0.5, rng=torch.Generator())
    x = torch.randn(100, 4)
    assert torch.equal(adapted.train()(x), adapted.eval()(x))  # nothing is added yet
    torch.nn.init.normal_(adapted.adapter_up)
    assert torch.equal(adapted.eval()(x), adapted(x))
    assert not torch.allclose(adapted.train()(x), adapted.eval()(x))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora_towers": "vision"}, "lora_towers names 'vision'; a model has the towers image, text, caption"),
        ({"lora_towers": ""}, "lora_towers='' of this model have no layers"),
        ({"lora_extras": "logit_scal"}, "lora_extras names 'logit_scal', which is no part of the model"),
        ({"lock_image": True}, "lock_image=true keeps the image tower as it is, and lora_towers adapts it"),
        ({"lock_text": True, "lora_towers": "text"}, "lock_text=true keeps the text tower as it is"),
    ],
)
def test_what_is_not_there_cannot_be_adapted(model: CoCa, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CocaSearchError, match=message):
        add_adapters(model, CONFIG.changed(**settings))


def test_a_locked_tower_without_adapters_stays_as_it_is(model: CoCa) -> None:
    prepare(model, CONFIG.changed(lock_image=True, lora_towers="text,caption"))
    trained = {name.split(".")[0] for name, value in model.named_parameters() if value.requires_grad}
    assert trained == {"text_decoder", "multimodal_decoder", "logit_scale"}
