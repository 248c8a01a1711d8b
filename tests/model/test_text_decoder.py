"""The text vector is the same however its text is padded, cut or batched, and words never see what follows."""

import pytest
import torch

from cocasearch.model.config import MultimodalConfig, TextConfig
from cocasearch.model.text_decoder import MultimodalDecoder, UnimodalTextDecoder, branch_std, trim_padding, visible_keys

IDS = torch.tensor([[8, 7, 0, 5, 9, 0, 0, 0], [8, 9, 0, 0, 0, 0, 0, 0], [8, 7, 6, 5, 4, 3, 2, 9]])
CONFIG = TextConfig(context_length=8, vocab_size=10, width=16, heads=4, layers=2)


@pytest.fixture(autouse=True)
def the_same_numbers() -> None:
    torch.manual_seed(2)


@pytest.fixture(scope="module")
def decoder() -> UnimodalTextDecoder:
    torch.manual_seed(0)
    made = UnimodalTextDecoder(CONFIG, embed_dim=6).requires_grad_(False)
    for parameter in made.parameters():
        parameter += 0.2 * torch.randn_like(parameter)
    return made


@pytest.fixture(scope="module")
def multimodal() -> MultimodalDecoder:
    torch.manual_seed(1)
    made = MultimodalDecoder(MultimodalConfig(layers=2, heads=2), width=16, vocab_size=10).requires_grad_(False)
    for parameter in made.parameters():
        parameter += 0.2 * torch.randn_like(parameter)
    return made


def test_a_position_is_visible_when_the_id_before_it_is_no_padding() -> None:
    assert visible_keys(IDS[:2, :4], 0).int().tolist() == [[1, 1, 1, 0, 1], [1, 1, 1, 0, 0]]


def test_padding_is_cut_behind_the_position_that_the_cls_sees() -> None:
    assert [trim_padding(ids, 0).shape[1] for ids in (IDS[:2], IDS[1:2], IDS[2:], torch.zeros_like(IDS))] == [
        6,
        3,
        8,
        1,
    ]


def test_the_vector_is_the_same_in_any_way(decoder: UnimodalTextDecoder) -> None:
    vectors, states = decoder(IDS)
    assert (vectors.shape, states.shape) == ((3, 6), (3, 8, 16))
    torch.testing.assert_close(decoder.vector(IDS), vectors)
    torch.testing.assert_close(decoder.unpadded(IDS)[0], vectors)
    for row, length in enumerate((5, 2, 8)):
        torch.testing.assert_close(decoder.vector(IDS[row : row + 1, :length]), vectors[row : row + 1])


def test_states_depend_on_nothing_that_follows(decoder: UnimodalTextDecoder) -> None:
    _, states = decoder(IDS)
    torch.testing.assert_close(decoder(IDS[:, :3])[1], states[:, :3])
    torch.testing.assert_close(decoder.prefill(IDS[:, :3])[0], states[:, :3])
    _, unpadded = decoder.unpadded(IDS)
    torch.testing.assert_close(unpadded[1, :2], states[1, :2])
    assert not unpadded[1, 4:].any()


def test_the_cls_has_the_last_position_whatever_the_length(decoder: UnimodalTextDecoder) -> None:
    other = UnimodalTextDecoder(CONFIG, embed_dim=6).requires_grad_(False)
    other.load_state_dict(decoder.state_dict())
    other.positions[5:8] = 0  # of no word of these texts
    torch.testing.assert_close(other.vector(IDS[1:2, :2]), decoder.vector(IDS[1:2, :2]))
    other.positions[8] = 0
    assert not torch.allclose(other.vector(IDS[1:2, :2]), decoder.vector(IDS[1:2, :2]))


def test_a_text_longer_than_the_context_is_refused(decoder: UnimodalTextDecoder) -> None:
    with pytest.raises(ValueError, match="9 ids exceed the context of 8"):
        decoder(torch.ones(1, 9, dtype=torch.long))


def test_texts_of_one_image_read_it_as_if_each_had_its_own(multimodal: MultimodalDecoder) -> None:
    states, images, owners = torch.randn(3, 4, 16), torch.randn(2, 5, 16), torch.tensor([1, 0, 1])
    torch.testing.assert_close(multimodal(states, images, owners=owners), multimodal(states, images[owners]))


@pytest.mark.parametrize("texts", [2, 6])  # few read the tokens unprojected, many projected ones
def test_only_the_wanted_rows_are_computed(multimodal: MultimodalDecoder, texts: int) -> None:
    states, images = torch.randn(texts, 4, 16), torch.randn(2, 5, 16)
    owners = torch.arange(texts) % 2
    wanted = torch.tensor([[True, False, True, False], [True, False, False, True]]).repeat(texts // 2, 1)
    assert (multimodal._shared_context(images, wanted, owners) is None) == (texts == 6)
    rows = multimodal.unpadded(states, images, wanted, owners=owners)
    torch.testing.assert_close(rows, multimodal(states, images, owners=owners)[wanted], atol=1e-4, rtol=1e-4)


def test_the_prompts_logits_are_those_of_its_last_position(multimodal: MultimodalDecoder) -> None:
    states, images = torch.randn(2, 4, 16), torch.randn(2, 5, 16)
    logits, self_caches, contexts = multimodal.prefill(states, images)
    torch.testing.assert_close(logits, multimodal.vocabulary(multimodal(states, images))[:, -1])
    assert len(self_caches) == len(contexts) == 2


def test_deep_stacks_add_up_to_the_spread_of_a_shallow_one() -> None:
    assert 24 * branch_std(64, 12) ** 2 == pytest.approx(2 * branch_std(64, 1) ** 2) == pytest.approx(1 / 64)
