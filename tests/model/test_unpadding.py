"""Unpadded texts give what padded ones give, for the work of their real tokens."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cocasearch.model.coca import CoCa
from cocasearch.model.unpadding import Unpadding, until_last

SOT, EOT = 48, 49
PAD_WITHIN = [SOT, 7, 0, 9, EOT, 0, 0, 0, 0, 0, 0, 0]  # id 0 is a word as well as padding
FULL = [SOT, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, EOT]
SHORT = [SOT, EOT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
BATCHES = {"whole context": [PAD_WITHIN, FULL, SHORT], "cut": [PAD_WITHIN[:6], SHORT[:6], [SOT, 5, 6, 7, 8, EOT]]}


@pytest.fixture(scope="module", params=["tiny", "tiny_roberta"])
def model(request: pytest.FixtureRequest) -> CoCa:
    coca: CoCa = request.getfixturevalue(request.param)
    return coca


@pytest.fixture(params=BATCHES)
def ids(request: pytest.FixtureRequest) -> Tensor:
    return torch.tensor(BATCHES[request.param])


@pytest.fixture(scope="module")
def context(model: CoCa) -> Tensor:
    pixels = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    return model.image_features(pixels).tokens


def wanted_positions(model: CoCa, ids: Tensor) -> Tensor:
    return ids[:, 1:] != model.config.text.pad_id


def test_text_vectors_and_states_of_real_tokens_are_the_same(model: CoCa, ids: Tensor) -> None:
    vector, states = model.text_features(ids)
    unpadded_vector, unpadded_states = model.unpadded_text_features(ids)
    torch.testing.assert_close(unpadded_vector, vector)
    is_text = until_last(ids != model.config.text.pad_id)
    assert unpadded_states.shape == states.shape
    torch.testing.assert_close(unpadded_states[is_text], states[is_text])


def test_states_for_the_vocabulary_are_the_same(model: CoCa, ids: Tensor, context: Tensor) -> None:
    states, wanted = model.text_features(ids)[1][:, :-1], wanted_positions(model, ids)
    expected = model.multimodal_decoder(states, context)[wanted]
    torch.testing.assert_close(model.multimodal_decoder.unpadded(states, context, wanted), expected)


def test_captions_of_one_image_share_it_unpadded_too(model: CoCa, context: Tensor) -> None:
    ids, owners = torch.tensor(BATCHES["whole context"]), torch.tensor([1, 1, 0])
    states, wanted = model.text_features(ids)[1][:, :-1], wanted_positions(model, ids)
    expected = model.multimodal_decoder(states, context[:2], owners=owners)[wanted]
    unpadded = model.multimodal_decoder.unpadded(states, context[:2], wanted, owners=owners)
    torch.testing.assert_close(unpadded, expected)


def test_gradients_are_the_same(build_tiny: Callable[..., CoCa], context: Tensor) -> None:
    model, ids = build_tiny("single"), torch.tensor(BATCHES["whole context"])
    wanted = wanted_positions(model, ids)

    def gradients(vector: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        model.zero_grad()
        (vector.sin().sum() + hidden.sin().sum()).backward()
        named = [*model.text_decoder.named_parameters(), *model.multimodal_decoder.named_parameters()]
        return {name: parameter.grad for name, parameter in named if parameter.grad is not None}

    vector, states = model.text_features(ids)
    padded = gradients(vector, model.multimodal_decoder(states[:, :-1], context)[wanted])
    vector, states = model.unpadded_text_features(ids)
    unpadded = gradients(vector, model.multimodal_decoder.unpadded(states[:, :-1], context, wanted))
    assert unpadded.keys() == padded.keys()
    for name, gradient in padded.items():
        torch.testing.assert_close(unpadded[name], gradient, msg=name)


def test_linear_layers_see_no_padding(tiny: CoCa, request: pytest.FixtureRequest) -> None:
    pixels = torch.zeros(3, 3, 16, 16)
    ids, rows = torch.tensor([SHORT, SHORT, FULL]), []
    expand: nn.Module = tiny.multimodal_decoder.self_blocks[0].mlp.expand  # type: ignore[union-attr, assignment]
    hook = expand.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    request.addfinalizer(hook.remove)
    states = tiny.unpadded_text_features(ids)[1]
    tiny.multimodal_decoder.unpadded(states[:, :-1], tiny.image_features(pixels).tokens, wanted_positions(tiny, ids))
    assert rows == [1 + 1 + 11]  # one position of "start, end" predicts something, eleven of the full text do


def test_no_wanted_position_is_no_work(model: CoCa, context: Tensor) -> None:
    states = model.text_features(torch.tensor([SHORT] * 3))[1]
    nothing = torch.zeros(states.shape[:2], dtype=torch.bool)
    assert model.multimodal_decoder.unpadded(states, context, nothing).shape == (0, states.shape[2])


def test_padding_is_zero_where_nothing_was_computed() -> None:
    computed = torch.tensor([[True, False], [True, True]])
    unpadding = Unpadding(computed)
    x = torch.arange(1.0, 5).view(2, 2, 1)
    assert unpadding.unpad(x).flatten().tolist() == [1, 3, 4]
    assert unpadding.pad(unpadding.unpad(x)).flatten().tolist() == [1, 0, 3, 4]
