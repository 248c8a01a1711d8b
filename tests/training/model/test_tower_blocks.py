"""Checkpointed and compiled blocks give the gradients of plain ones; checkpointed ones hold less until then."""

import copy

import pytest
import torch
from torch import Tensor, nn

import cocasearch.training.model.tower_blocks as memory_module
from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchWarning
from cocasearch.model.coca import CoCa
from cocasearch.model.losses import caption_loss, contrastive_loss
from cocasearch.training.config import TrainingConfig
from cocasearch.training.model.preparation import prepare
from cocasearch.training.model.tower_blocks import (
    blocks,
    checkpoint_blocks,
    compile_blocks,
    compiler_problem,
)

PIXELS = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
IDS = torch.tensor([[1, 9, 8, 2, 0], [1, 7, 2, 0, 0], [1, 5, 6, 2, 0], [1, 5, 5, 5, 2]])


def loss_of(model: CoCa) -> Tensor:
    torch.manual_seed(0)  # of dropout
    output = model(PIXELS, IDS)
    contrastive = contrastive_loss(output.image_embedding, output.text_embedding, output.logit_scale)
    return contrastive + caption_loss(output.caption_logits, IDS)


def held_bytes(model: CoCa) -> tuple[int, dict[str, Tensor]]:
    """What the way back holds besides the weights, and the gradients."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    held: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = loss_of(model)
    total = sum(held.values())
    loss.backward()
    return total, {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.fixture(params=["vit", "convolutional", "roberta"])
def model(request: pytest.FixtureRequest, new_start, roberta_model_folder, tiny_coca: CoCa) -> CoCa:
    if request.param == "vit":
        return copy.deepcopy(tiny_coca)
    if request.param == "convolutional":
        return new_start().model
    return read_model_folder(roberta_model_folder).load_model()


def with_dropout(model: CoCa) -> CoCa:
    model.train()
    for block in blocks(model):
        for module in block.modules():
            if hasattr(module, "dropout"):
                module.dropout = 0.2
    return model


def test_checkpointing_gives_the_same_gradients_for_less_memory(model: CoCa) -> None:
    plain, frugal = with_dropout(model), copy.deepcopy(model)
    checkpoint_blocks(frugal)
    (much, expected), (little, found) = held_bytes(plain), held_bytes(frugal)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-6, atol=1e-7)
    assert little < 0.6 * much


def test_first_image_blocks_can_be_checkpointed_alone(tiny_coca: CoCa) -> None:
    held: list[int] = []
    gradients: list[dict[str, Tensor]] = []
    for count in (0, 1, len(tiny_coca.image_encoder.blocks)):
        model = copy.deepcopy(tiny_coca)
        prepare(model, TrainingConfig().changed(checkpointed_image_blocks=count, frozen_blocks=0))
        total, found = held_bytes(model)
        held.append(total)
        gradients.append(found)
    assert held[0] > held[1] > held[2]
    for found in gradients[1:]:
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-6, atol=1e-7)


def test_every_block_of_every_tower_is_meant(tiny_coca: CoCa, new_start) -> None:
    def parts(model: CoCa) -> set[str]:
        chosen = set(blocks(model))
        return {name.rsplit(".", 1)[0] for name, module in model.named_modules() if module in chosen}

    text = {"text_decoder.blocks", "multimodal_decoder.self_blocks", "multimodal_decoder.cross_blocks"}
    assert parts(tiny_coca) == parts(new_start().model) == text | {"image_encoder.blocks"}


def test_a_checkpointed_model_can_be_copied_and_used(tiny_coca: CoCa) -> None:
    frugal = copy.deepcopy(tiny_coca)
    checkpoint_blocks(frugal)
    again = copy.deepcopy(frugal)
    nn.init.zeros_(frugal.text_decoder.blocks[0].mlp.contract.weight)  # of which the copy knows nothing
    assert torch.equal(loss_of(again), loss_of(tiny_coca))
    assert not torch.equal(loss_of(frugal), loss_of(tiny_coca))


@pytest.mark.filterwarnings("ignore")  # torch's, about itself
def test_compiling_keeps_what_a_block_computes(tiny_coca: CoCa) -> None:
    if problem := compiler_problem():
        pytest.skip(problem)
    compiled = copy.deepcopy(tiny_coca.image_encoder.blocks[:1])
    x = torch.randn(2, 17, 32, requires_grad=True)
    assert compile_blocks(compiled)
    found, expected = compiled[0](x).square().mean(), tiny_coca.image_encoder.blocks[0](x).square().mean()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    gradients = [torch.autograd.grad(loss, x)[0] for loss in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-3)
    assert compiled[0]._compiled_call_impl is not None  # it was compiled, not left as it is


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
def test_compiling_keeps_the_loss_of_a_whole_model(tiny_coca: CoCa) -> None:
    if problem := compiler_problem():
        pytest.skip(problem)
    compiled = copy.deepcopy(tiny_coca)
    assert compile_blocks(compiled)
    losses = [loss_of(model) for model in (tiny_coca, compiled)]
    torch.testing.assert_close(losses[1], losses[0], atol=1e-4, rtol=1e-4)
    scales = [model.logit_scale for model in (tiny_coca, compiled)]
    gradients = [torch.autograd.grad(*pair)[0] for pair in zip(losses, scales, strict=True)]
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-4, rtol=1e-3)


def test_without_a_compiler_the_run_goes_on(tiny_coca: CoCa, monkeypatch: pytest.MonkeyPatch) -> None:
    model = copy.deepcopy(tiny_coca)
    monkeypatch.setattr(memory_module, "compiler_problem", lambda: "no C++ compiler")
    with pytest.warns(
        CocaSearchWarning, match=r"cannot compile here \(no C\+\+ compiler\), so the run goes on uncompiled"
    ):
        assert not compile_blocks(model)
    assert torch.equal(loss_of(model), loss_of(tiny_coca))


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_run_has_the_losses_of_a_plain_one(runs, tmp_path) -> None:
    if problem := compiler_problem():
        pytest.skip(problem)
    losses = []
    for is_compiled in (False, True):
        trainer = runs.plain(tmp_path / str(is_compiled), compile=is_compiled, dropout=0.0, epochs=0.75)
        trainer.run()
        losses.append(trainer.state.losses)
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
