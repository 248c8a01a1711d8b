"""Pixels become one token for each whole patch, and a class token before them."""

import torch

from cocasearch.model.config import VisionTransformerConfig
from cocasearch.model.vision_transformer import VisionTransformer, drop_patches

CONFIG = VisionTransformerConfig(image_size=18, patch_size=4, layers=1, width=32, head_width=16)
PIXELS = torch.randn(2, 3, 18, 18, generator=torch.Generator().manual_seed(0))


def build() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(CONFIG).requires_grad_(False).eval()


def test_each_image_becomes_its_own_tokens() -> None:
    tokens = build()(PIXELS)
    assert tokens.shape == (2, 1 + 4 * 4, 32)
    torch.testing.assert_close(build()(PIXELS[1:]), tokens[1:])


def test_pixels_that_fill_no_patch_are_not_seen() -> None:
    other = PIXELS.clone()
    other[..., 16:, :] = other[..., 16:] = 9
    assert torch.equal(build()(other), build()(PIXELS))


def test_patches_know_their_places_and_see_each_other() -> None:
    encoder, other = build(), PIXELS.clone()
    other[..., :4, :4], other[..., :4, 4:8] = PIXELS[..., :4, 4:8], PIXELS[..., :4, :4]  # the first two change places
    assert not torch.allclose(encoder(other)[:, 1], encoder(PIXELS)[:, 2], atol=1e-3)
    assert not torch.allclose(encoder(other)[:, 16], encoder(PIXELS)[:, 16], atol=1e-6)


def test_patches_are_dropped_in_training_alone() -> None:
    encoder = build()
    encoder.patch_dropout = 0.5
    assert encoder(PIXELS).shape[1] == 17
    assert encoder.train()(PIXELS).shape[1] == 1 + 8


def test_the_class_token_and_one_patch_are_always_kept() -> None:
    x = torch.arange(5.0).expand(2, 5)[..., None]
    kept = drop_patches(x, 0.99)
    assert kept.shape == (2, 2, 1)
    assert (kept[:, 0] == 0).all() and (kept[:, 1] > 0).all()
