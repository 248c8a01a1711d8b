"""CoCa with RoBERTa below: causal, padded with id 1, id 0 a word like others; `test_caching` has what it writes."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig
from cocasearch.model.losses import caption_loss, contrastive_loss

START, PAD, END = 0, 1, 2
IDS = torch.tensor(
    [
        [START, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, END],  # full
        [START, 7, START, 9, END, *[PAD] * 7],  # the start token once more, as a word
        [START, 30, END, *[PAD] * 9],
    ]
)
LENGTHS = (12, 5, 3)


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def test_padding_changes_nothing(tiny_roberta: CoCa, pixels: Tensor) -> None:
    together, logits = tiny_roberta.encode_text(IDS), tiny_roberta(pixels, IDS).caption_logits
    for row, length in enumerate(LENGTHS):
        alone = IDS[row : row + 1, :length]
        torch.testing.assert_close(tiny_roberta.encode_text(alone), together[row : row + 1], atol=1e-6, rtol=0)
        unpadded = tiny_roberta(pixels[row : row + 1], alone).caption_logits
        torch.testing.assert_close(unpadded[0], logits[row, :length], atol=1e-5, rtol=1e-5)


def test_texts_are_trimmed_exactly(tiny_roberta: CoCa) -> None:
    untrimmed, _ = tiny_roberta.text_features(IDS)
    short, _ = tiny_roberta.text_features(IDS[1:])
    torch.testing.assert_close(tiny_roberta.encode_text(IDS), untrimmed, atol=1e-6, rtol=0)
    torch.testing.assert_close(tiny_roberta.encode_text(IDS[1:]), short, atol=1e-6, rtol=0)
    padded = torch.full((1, 12), PAD)  # a row of padding alone breaks nothing
    assert tiny_roberta.encode_text(padded).isfinite().all()


def test_the_text_vector_is_the_mean_of_its_real_states(tiny_roberta: CoCa) -> None:
    vectors, states = tiny_roberta.text_features(IDS)
    for row, length in enumerate(LENGTHS):
        mean = tiny_roberta.text_decoder.projection(states[row, :length].mean(dim=0))
        torch.testing.assert_close(vectors[row], F.normalize(mean, dim=0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("changed", range(1, 12))
def test_no_state_sees_a_later_id(tiny_roberta: CoCa, pixels: Tensor, changed: int) -> None:
    other = IDS[:1].clone()
    other[0, changed] = 40
    before, after = tiny_roberta(pixels[:1], IDS[:1]).caption_logits, tiny_roberta(pixels[:1], other).caption_logits
    _, states = tiny_roberta.text_features(IDS[:1])
    _, other_states = tiny_roberta.text_features(other)
    assert torch.equal(states[:, :changed], other_states[:, :changed])
    assert torch.equal(before[:, :changed], after[:, :changed])
    assert not torch.allclose(before[:, changed:], after[:, changed:], atol=1e-3)


def test_the_loss_ignores_padding_and_only_padding(tiny_roberta: CoCa, pixels: Tensor) -> None:
    logits = tiny_roberta(pixels, IDS).caption_logits
    by_hand = [
        -logits[row, position - 1].log_softmax(dim=0)[IDS[row, position]]
        for row, length in enumerate(LENGTHS)
        for position in range(1, length)
    ]
    torch.testing.assert_close(caption_loss(logits, IDS, pad_id=PAD), torch.stack(by_hand).mean())


def test_too_long_a_text_is_refused(tiny_roberta: CoCa) -> None:
    with pytest.raises(ValueError, match="13 ids exceed the context of 12"):
        tiny_roberta.text_features(torch.full((1, 13), 5))


def test_a_row_does_not_depend_on_its_batch(tiny_roberta: CoCa) -> None:
    together = tiny_roberta.encode_text(IDS)
    for row in range(3):
        assert F.cosine_similarity(tiny_roberta.encode_text(IDS[row : row + 1]), together[row : row + 1]) > 1 - 1e-6


def test_training_lowers_both_losses(tiny_roberta_config: CoCaConfig, pixels: Tensor) -> None:
    torch.manual_seed(0)
    model = CoCa(tiny_roberta_config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        output = model(pixels, IDS)
        contrastive = contrastive_loss(output.image_embedding, output.text_embedding, output.logit_scale)
        caption = caption_loss(output.caption_logits, IDS, pad_id=PAD)
        losses.append((contrastive.item(), caption.item()))
        optimizer.zero_grad()
        (contrastive + 2 * caption).backward()
        optimizer.step()
    assert losses[0][1] == pytest.approx(3.9, abs=1)  # log 50
    assert losses[-1][0] < 0.2 and losses[-1][1] < 0.3
