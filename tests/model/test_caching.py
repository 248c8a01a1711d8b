"""Writing one id at a time through the caches gives what reading the whole text at once gives."""

import pytest
import torch
from torch import Tensor

from cocasearch.model.coca import CoCa

SOT, EOT = 48, 49
IDS = torch.tensor(
    [
        [SOT, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, EOT],  # full
        [SOT, 7, 0, 9, EOT, 0, 0, 0, 0, 0, 0, 0],  # id 0 within the text, then padding
        [SOT, 0, 0, 3, 4, 5, 6, 0, EOT, 0, 0, 0],
    ]
)


@pytest.fixture(scope="module", params=["tiny", "tiny_roberta"])
def model(request: pytest.FixtureRequest) -> CoCa:
    """Each kind of text decoder; to RoBERTa no id above is padding."""
    coca: CoCa = request.getfixturevalue(request.param)
    return coca


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def written_at_once(model: CoCa, image_tokens: Tensor, ids: Tensor) -> Tensor:
    """Logits of the last position without any cache: the obvious way."""
    _, states = model.text_features(ids)
    decoder = model.multimodal_decoder
    logits: Tensor = decoder.vocabulary(decoder(states, image_tokens))[:, -1]
    return logits


@pytest.mark.parametrize("prompt", [1, 2, 3, 7, 12])
def test_prompt_then_single_steps_equal_one_pass(model: CoCa, pixels: Tensor, prompt: int) -> None:
    expected = model(pixels, IDS).caption_logits
    logits, cache = model.prefill(model.image_features(pixels).tokens, IDS[:, :prompt])
    torch.testing.assert_close(logits, expected[:, prompt - 1], atol=1e-5, rtol=1e-5)
    for position in range(prompt, IDS.shape[1]):
        assert cache.length == position
        logits = model.decode_step(IDS[:, position], cache)
        torch.testing.assert_close(logits, expected[:, position], atol=1e-5, rtol=1e-5)


def test_later_ids_and_padding_do_not_reach_earlier_logits(model: CoCa, pixels: Tensor) -> None:
    other = IDS.clone()
    other[:, 6:] = torch.tensor([20, 0, 21, 0, 0, 22])
    first, second = model(pixels, IDS).caption_logits, model(pixels, other).caption_logits
    assert torch.equal(first[:, :6], second[:, :6])
    assert not torch.allclose(first[:, 6:], second[:, 6:])


def test_beams_that_swap_parents_equal_one_pass_over_their_histories(model: CoCa, pixels: Tensor) -> None:
    generator = torch.Generator().manual_seed(3)
    tokens = model.image_features(pixels).tokens
    histories, images, beams = IDS[:, :2], torch.arange(3), 3
    _, cache = model.prefill(tokens, histories)
    parents = images.repeat_interleave(beams)
    for step in range(8):
        kept = None
        if step == 4:  # the second image's captions are done
            kept = torch.tensor([0, 2])
            parents = torch.cat([parents[:beams], parents[2 * beams :]])
            images = images[kept]
        cache.select(parents, kept)
        ids = torch.randint(0, 50, (len(parents),), generator=generator)
        ids[ids == 1] = 49  # no caption goes on behind RoBERTa's padding
        histories = torch.cat([histories[parents], ids[:, None]], dim=1)
        logits = model.decode_step(ids, cache)
        expected = written_at_once(model, tokens[images.repeat_interleave(beams)], histories)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
        # Beams take any parent among their own image's.
        first_beam = torch.arange(len(images)).repeat_interleave(beams) * beams
        parents = first_beam + torch.randint(0, beams, (len(first_beam),), generator=generator)


def test_beams_share_the_keys_and_values_of_their_image(model: CoCa, pixels: Tensor) -> None:
    _, cache = model.prefill(model.image_features(pixels).tokens, IDS[:, :1])
    cache.select(torch.arange(3).repeat_interleave(4))
    model.decode_step(torch.arange(1, 13), cache)
    cache.select(torch.tensor([0, 0, 1, 2, 8, 9, 9, 11]), torch.tensor([0, 2]))
    model.decode_step(torch.arange(1, 9), cache)
    assert all(len(context.keys) == 2 for context in cache.images)
    # the prompt, and twice four rows
    assert all(states.keys.shape[:3] == (2, states.keys.shape[1], 9) for states in (*cache.text, *cache.multimodal))
    assert cache.length == 3


def test_the_last_position_of_a_caption_can_be_written(model: CoCa, pixels: Tensor) -> None:
    tokens = model.image_features(pixels).tokens
    _, cache = model.prefill(tokens, IDS[:, :11])
    logits = model.decode_step(IDS[:, 11], cache)
    assert cache.length == model.config.text.context_length
    assert logits.shape == (3, 50)
    assert logits.dtype == torch.float32
