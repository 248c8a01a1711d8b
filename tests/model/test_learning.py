"""Every pooler and both image encoders learn: on eight captioned images both losses fall to almost nothing."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cocasearch.model.coca import CoCa
from cocasearch.model.losses import caption_loss, contrastive_loss

SOT, EOT, FIRST_WORD = 48, 49, 2


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    """Eight images, bright in one of 2 halves and 4 colors, and captions that say which."""
    colors = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
    pixels, captions = torch.zeros(8, 3, 16, 16), torch.zeros(8, 12, dtype=torch.long)
    for row in range(8):
        color, half = row % 4, row // 4
        pixels[row, :, :, 8 * half : 8 * half + 8] = colors[color][:, None, None]
        words = [FIRST_WORD + color, 10, 11 + half, *([12] * half)]  # of two lengths
        captions[row, : len(words) + 2] = torch.tensor([SOT, *words, EOT])
    return pixels, captions


@pytest.mark.parametrize(
    ("kind", "convolutional"),
    [("none", False), ("single", False), ("parallel", False), ("cascade", False), ("parallel", True)],
)
def test_both_losses_fall_on_one_batch(
    build_tiny: Callable[..., CoCa], batch: tuple[Tensor, Tensor], kind: str, convolutional: bool
) -> None:
    pixels, captions = batch
    model = build_tiny(kind, layers=1, convolutional=convolutional)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        output = model(pixels, captions)
        contrastive = contrastive_loss(output.image_embedding, output.text_embedding, output.logit_scale)
        caption = caption_loss(output.caption_logits, captions)
        optimizer.zero_grad()
        (contrastive + 2 * caption).backward()
        optimizer.step()
    assert contrastive < 0.05  # log 8 = 2.1 at random
    assert caption < 0.05  # log 50 = 3.9 at random
    assert written_greedily(model, pixels).tolist() == captions[:, :7].tolist()


def written_greedily(model: CoCa, pixels: Tensor) -> Tensor:
    """Seven ids an image, zeros after the end."""
    with torch.no_grad():
        ids = torch.full((len(pixels), 1), SOT)
        logits, cache = model.prefill(model.image_features(pixels).tokens, ids)
        for _ in range(6):
            following = logits.argmax(dim=1).masked_fill((ids == EOT).any(dim=1), 0)
            ids = torch.cat([ids, following[:, None]], dim=1)
            logits = model.decode_step(following, cache)
    return ids
