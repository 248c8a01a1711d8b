"""Attention with cached keys gives what one pass gives, and attending to unprojected tokens what projecting gives."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocasearch.model.attention import CrossAttention, KeyValues, SelfAttention, merge_heads, split_heads
from cocasearch.model.unpadding import Unpadding

WIDTH, HEADS = 16, 4


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def stirred(module: nn.Module) -> nn.Module:
    for seed, parameter in enumerate(module.parameters()):
        parameter.requires_grad_(False).copy_(0.3 * random(*parameter.shape, seed=seed))
    return module


@pytest.fixture(scope="module")
def attention() -> SelfAttention:
    return stirred(SelfAttention(WIDTH, HEADS))


@pytest.fixture(scope="module")
def cross() -> CrossAttention:
    return stirred(CrossAttention(WIDTH, HEADS, context_width=24))


def test_heads_are_consecutive_columns_and_come_together_again() -> None:
    x = random(2, 5, WIDTH)
    assert torch.equal(split_heads(x, HEADS)[:, 1], x[:, :, 4:8])
    assert torch.equal(merge_heads(split_heads(x, HEADS)), x)


def test_it_is_the_softmax_of_scaled_products(attention: SelfAttention) -> None:
    x = random(2, 5, WIDTH)
    query, key, value = attention.qkv(x).view(2, 5, 3, HEADS, 4).permute(2, 0, 3, 1, 4)
    seen = (query @ key.transpose(2, 3) / 4**0.5).softmax(-1) @ value
    torch.testing.assert_close(attention(x), attention.out(seen.transpose(1, 2).reshape(2, 5, WIDTH)))


def test_a_causal_position_sees_nothing_later(attention: SelfAttention) -> None:
    x = random(2, 5, WIDTH)
    torch.testing.assert_close(attention(x, causal=True)[:, :3], attention(x[:, :3], causal=True))
    assert not torch.allclose(attention(x)[:, :3], attention(x[:, :3]))


def test_the_last_position_is_that_of_the_whole(attention: SelfAttention) -> None:
    x, mask = random(2, 5, WIDTH), torch.ones(2, 1, 5, 5, dtype=torch.bool).tril()
    mask[0, :, :, 1] = False
    torch.testing.assert_close(attention.last_position(x, mask=mask), attention(x, mask=mask)[:, -1:])


def test_steps_through_the_cache_equal_one_pass(attention: SelfAttention) -> None:
    x = random(2, 9, WIDTH)
    out, cache = attention.prefill(x[:, :2])
    steps = [out, *(attention.decode_step(x[:, at : at + 1], cache) for at in range(2, 9))]
    torch.testing.assert_close(torch.cat(steps, 1), attention(x, causal=True))
    assert cache.keys.shape == (2, HEADS, 9, WIDTH // HEADS)


def test_unpadded_rows_equal_padded_ones(attention: SelfAttention) -> None:
    x, norm = random(2, 5, WIDTH), stirred(nn.LayerNorm(WIDTH))
    unpadding = Unpadding(torch.tensor([[True] * 5, [True, True, False, False, False]]))
    rows = attention(unpadding.unpad(x), norm, causal=True, unpadding=unpadding)
    torch.testing.assert_close(rows, unpadding.unpad(attention(norm(x), causal=True)))


def test_a_cache_keeps_what_it_has_when_it_grows_and_is_reordered() -> None:
    x = random(2, HEADS, 7, 4)
    cache = KeyValues(x[:, :, :1], -x[:, :, :1])
    for at in range(1, 7):
        cache.append(x[:, :, at : at + 1], -x[:, :, at : at + 1])
    cache.select(torch.tensor([1, 0, 1]))
    assert torch.equal(cache.keys, x[[1, 0, 1]]) and torch.equal(cache.values, -x[[1, 0, 1]])


def test_tokens_of_an_image_have_no_order(cross: CrossAttention) -> None:
    x, context = random(2, 3, WIDTH), random(2, 6, 24, seed=1)
    torch.testing.assert_close(cross(x, context), cross(x, context.flip(1)))
    torch.testing.assert_close(cross(x, context)[:, 1:2], cross(x[:, 1:2], context))


def test_queries_that_all_images_share_are_given_once(cross: CrossAttention) -> None:
    x, context = random(1, 3, WIDTH), cross.project_context(random(2, 6, 24, seed=1))
    torch.testing.assert_close(cross.attend(x, context), cross.attend(x.expand(2, -1, -1), context))


def test_unprojected_tokens_are_attended_to_alike(cross: CrossAttention) -> None:
    x, tokens, norm = random(2, 3, WIDTH), random(2, 6, 24, seed=1), stirred(nn.LayerNorm(24))
    bare = F.layer_norm(tokens, (24,))
    torch.testing.assert_close(cross.attend_unprojected(x, bare, norm), cross(x, norm(tokens)), atol=1e-5, rtol=1e-5)
