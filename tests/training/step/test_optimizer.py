"""Each parameter gets the rule, the rate and the decay that is meant for it, at the step that is meant."""

import pytest
import torch
from seeded_openclip import TINY, openclip_shapes
from torch import nn

from cocasearch.checkpoints.foreign.openclip_weights import from_openclip
from cocasearch.model.coca import CoCa
from cocasearch.training.config import TrainingConfig
from cocasearch.training.step.muon import Muon
from cocasearch.training.step.optimizer import WeightAverage, build_optimizers, set_learning_rates
from cocasearch.training.step.schedule import rate_share

CONFIG = TrainingConfig().changed(
    learning_rate=1e-3, muon_learning_rate=4e-3, encoder_learning_rate=6e-5, weight_decay=0.05
)
MUON_MATRICES = {
    "image_projection.weight",
    "multimodal_decoder.cross_blocks.0.attention.key_value.weight",
    "multimodal_decoder.cross_blocks.0.attention.out.weight",
    "multimodal_decoder.cross_blocks.0.attention.query.weight",
    "multimodal_decoder.cross_blocks.0.mlp.contract.weight",
    "multimodal_decoder.cross_blocks.0.mlp.expand.weight",
    "multimodal_decoder.self_blocks.0.attention.out.weight",
    "multimodal_decoder.self_blocks.0.attention.qkv.weight",
    "multimodal_decoder.self_blocks.0.mlp.contract.weight",
    "multimodal_decoder.self_blocks.0.mlp.expand.weight",
    "pooling.contrastive.attention.key_value.weight",
    "pooling.contrastive.attention.out.weight",
    "pooling.contrastive.attention.query.weight",
    "pooling.generative.attention.key_value.weight",
    "pooling.generative.attention.out.weight",
    "pooling.generative.attention.query.weight",
    "text_decoder.blocks.0.attention.out.weight",
    "text_decoder.blocks.0.attention.qkv.weight",
    "text_decoder.blocks.0.mlp.contract.weight",
    "text_decoder.blocks.0.mlp.expand.weight",
    "text_decoder.projection.weight",
}
TABLES = {
    "multimodal_decoder.vocabulary.weight",
    "pooling.contrastive.queries",
    "pooling.generative.queries",
    "text_decoder.positions",
    "text_decoder.token_embedding.weight",
}


def groups_by_name(model: nn.Module, config: TrainingConfig) -> dict[str, tuple[type, dict[str, object]]]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [
        (names[id(parameter)], (type(optimizer), group))
        for optimizer in build_optimizers(model, config)
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    assert sorted(name for name, _ in found) == sorted(names.values())  # each once
    return dict(found)


@pytest.mark.parametrize("convolutional", [True, False])
def test_rules_rates_and_decay(new_start, convolutional: bool) -> None:
    model = new_start(convolutional=convolutional).model
    groups = groups_by_name(model, CONFIG)
    assert {name for name, (rule, _) in groups.items() if rule is Muon} == MUON_MATRICES
    for name, parameter in model.named_parameters():
        rule, group = groups[name]
        is_encoder = name.startswith("image_encoder.")
        assert group["is_encoder"] == is_encoder, name
        expected = 6e-5 if is_encoder else 4e-3 if rule is Muon else 1e-3
        assert group["peak_lr"] == expected, name
        is_weight = parameter.ndim > 1  # neither bias, norm, class token nor logit scale
        assert group["weight_decay"] == (0.05 if is_weight else 0), name
    plain = {name for name, (_, group) in groups.items() if group["weight_decay"] == 0}
    assert {"logit_scale", "text_decoder.cls_embedding", "text_decoder.output_norm.weight"} <= plain
    assert not plain & TABLES


def test_without_muon_all_are_adamws(new_start) -> None:
    groups = groups_by_name(new_start().model, CONFIG.changed(optimizer="adamw", beta1=0.8, beta2=0.95))
    assert {rule for rule, _ in groups.values()} == {torch.optim.AdamW}
    assert {group["betas"] for _, group in groups.values()} == {(0.8, 0.95)}
    assert {group["peak_lr"] for name, (_, group) in groups.items() if name in MUON_MATRICES} == {1e-3}


def test_two_steps_of_adamw_are_those_of_its_formula(new_start) -> None:
    model, rate, beta1, beta2, decay = new_start().model, 1e-3, 0.8, 0.95, 0.05
    config = CONFIG.changed(optimizer="adamw", beta1=beta1, beta2=beta2, adam_epsilon=1e-4)
    weight = model.text_decoder.token_embedding.weight
    expected, first, second = weight.detach().clone(), torch.zeros(()), torch.zeros(())
    (optimizer,) = build_optimizers(model, config)
    for step, scale in enumerate((1.0, 0.1), start=1):
        gradient = torch.full_like(weight, scale)
        weight.grad = gradient.clone()
        optimizer.step()
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        upwards = (first / (1 - beta1**step)) / ((second / (1 - beta2**step)).sqrt() + 1e-4)
        expected = (1 - rate * decay) * expected - rate * upwards
    torch.testing.assert_close(weight.detach(), expected, atol=1e-8, rtol=1e-5)


def test_the_encoder_waits_and_then_warms_up_by_itself(new_start) -> None:
    optimizers = build_optimizers(new_start().model, CONFIG)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]

    def shares(step: int) -> tuple[set[float], set[float]]:
        set_learning_rates(optimizers, CONFIG.changed(warmup=0.1), step=step, steps=100, unfreeze_step=50)
        parts = [[group for group in groups if group["is_encoder"] == is_encoder] for is_encoder in (True, False)]
        encoder, others = ({round(group["lr"] / group["peak_lr"], 9) for group in part} for part in parts)
        return encoder, others

    for step, warm in ((0, 0.0), (49, 0.0), (50, 0.1), (54, 0.5), (59, 1.0), (80, 1.0)):
        factor = rate_share(CONFIG.changed(warmup=0.1), step, 100)
        assert shares(step) == ({round(warm * factor, 9)}, {round(factor, 9)})


@pytest.mark.parametrize("unfreeze_step", [0, 3])
def test_the_encoder_shares_the_warm_up_that_it_is_unfrozen_in(new_start, unfreeze_step: int) -> None:
    optimizers = build_optimizers(new_start().model, CONFIG)
    for step in range(20):
        set_learning_rates(optimizers, CONFIG.changed(warmup=0.1), step=step, steps=100, unfreeze_step=unfreeze_step)
        rates = {group["lr"] for optimizer in optimizers for group in optimizer.param_groups if group["is_encoder"]}
        assert rates == {6e-5 * rate_share(CONFIG.changed(warmup=0.1), step, 100) if step >= unfreeze_step else 0.0}


def test_the_average_forgets_the_start_and_may_be_switched_off() -> None:
    model = nn.Linear(1, 1, bias=False)
    averages = {decay: WeightAverage(model, decay) for decay in (0.0, 0.9)}
    for step in range(150):
        with torch.no_grad():
            model.weight.fill_(float(step))
        for average in averages.values():
            average.update(model, step)
    assert averages[0.0].weights["weight"].item() == 149
    assert averages[0.9].weights["weight"].item() == pytest.approx(149 - 9, abs=0.1)  # decay / (1 - decay) behind


def test_without_averaging_no_copy_is_held() -> None:
    model = nn.Linear(3, 2)
    average = WeightAverage(model, 0.0)
    average.update(model, 0)
    assert all(value.data_ptr() == model.state_dict()[name].data_ptr() for name, value in average.weights.items())
    average.weights = {}  # as from a checkpoint
    assert average.weights.keys() == {"weight", "bias"}


def test_epsilon_bounds_the_step_of_small_gradients() -> None:
    steps = []
    for epsilon in (1e-12, 1e-3):
        model = CoCa(TINY["tiny_main"][0])
        (optimizer,) = build_optimizers(
            model, CONFIG.changed(optimizer="adamw", adam_epsilon=epsilon, weight_decay=0.0, learning_rate=1.0)
        )
        before = model.logit_scale.item()
        model.logit_scale.grad = torch.tensor(1e-3)
        optimizer.step()
        steps.append(before - model.logit_scale.item())
    assert steps == pytest.approx([1.0, 0.5], rel=1e-4)


def test_what_decays_is_what_openclip_lets_decay() -> None:
    config, _, _ = TINY["tiny_quickgelu_ls"]
    # Its rule (main.py), carried over to our names: ones for what decays, zeros for what does not.
    theirs = {
        key: torch.full(
            shape, float(len(shape) >= 2 and not any(word in key for word in ("bn", "ln", "bias", "scale")))
        )
        for key, shape in openclip_shapes(config).items()
    }
    expected, model = from_openclip(theirs, config), CoCa(config)
    (optimizer,) = build_optimizers(model, CONFIG.changed(optimizer="adamw"))
    decays = {id(p): float(group["weight_decay"] > 0) for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert expected[name].unique().tolist() == [decays[id(parameter)]], name
    tables = ("positions", "token_embedding.weight", "queries", "vocabulary.weight", "projection.weight")
    assert all(decays[id(p)] == 1 for name, p in model.named_parameters() if name.endswith(tables))
