"""Blocks add what their branches find to the stream, and do the same in every way that they are entered."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocasearch.model.layers import (
    Blocks,
    CrossAttentionBlock,
    LayerScale,
    Mlp,
    QuickGELU,
    Residual,
    SelfAttentionBlock,
)

WIDTH = 16
X = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def blocks() -> Blocks[SelfAttentionBlock]:
    torch.manual_seed(0)
    stack = Blocks[SelfAttentionBlock](SelfAttentionBlock(WIDTH, 4, layer_scale=0.5) for _ in range(2))
    return stack.requires_grad_(False)


def test_a_stack_runs_its_blocks_one_after_the_other(blocks: Blocks[SelfAttentionBlock]) -> None:
    first, second = blocks
    torch.testing.assert_close(blocks(X, causal=True), second(first(X, causal=True), causal=True))


def test_steps_through_a_stack_equal_one_pass(blocks: Blocks[SelfAttentionBlock]) -> None:
    out, caches = blocks.prefill(X[:, :3])
    steps = [out]
    for at in (3, 4):
        mask = torch.ones(2, 1, 1, at + 1, dtype=torch.bool)
        steps.append(blocks.decode_step(X[:, at : at + 1], caches, mask))
    torch.testing.assert_close(torch.cat(steps, 1), blocks(X, causal=True))


def test_the_last_position_is_that_of_the_whole(blocks: Blocks[SelfAttentionBlock]) -> None:
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool).tril()
    torch.testing.assert_close(next(iter(blocks)).last_position(X, mask=mask), next(iter(blocks))(X, mask=mask)[:, -1:])


def test_a_block_whose_branches_count_for_nothing_is_the_identity() -> None:
    torch.testing.assert_close(SelfAttentionBlock(WIDTH, 4, layer_scale=0.0)(X), X)
    cross = CrossAttentionBlock(WIDTH, 4, layer_scale=0.0)
    torch.testing.assert_close(cross(X, cross.project_context(X)), X)


def test_image_tokens_are_attended_to_alike_projected_or_not() -> None:
    torch.manual_seed(0)
    block = CrossAttentionBlock(WIDTH, 4).requires_grad_(False)
    nn.init.normal_(block.context_norm.weight)
    nn.init.normal_(block.context_norm.bias)
    tokens = X.flip(1) * 3
    unprojected = block(X, F.layer_norm(tokens, (WIDTH,)))
    torch.testing.assert_close(unprojected, block(X, block.project_context(tokens)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("quick", [False, True])
def test_an_mlp_is_two_linear_layers_with_gelu_between(quick: bool) -> None:
    mlp, norm = Mlp(WIDTH, quick_gelu=quick), nn.LayerNorm(WIDTH)
    assert mlp.expand.out_features == 4 * WIDTH
    inner = mlp.expand(norm(X))
    gelu = inner * torch.sigmoid(1.702 * inner) if quick else F.gelu(inner)
    torch.testing.assert_close(mlp(X, norm), mlp.contract(gelu))


def test_the_quick_gelu_is_near_the_exact_one() -> None:
    x = torch.linspace(-5, 5, 101)
    torch.testing.assert_close(QuickGELU()(x), F.gelu(x), atol=0.021, rtol=0)


def test_layer_scale_is_a_factor_for_each_channel() -> None:
    scale = LayerScale(2, 0.5)
    scale.gamma.data[1] = 2.0
    assert scale(torch.ones(1, 2)).tolist() == [[0.5, 2.0]]


def test_a_branch_is_dropped_in_training_alone() -> None:
    def dropped(training: bool) -> Tensor:
        residual = Residual(WIDTH, None).train(training)
        residual.dropout = 0.5
        return residual(torch.ones(1000)) == 0

    assert not dropped(False).any()
    assert 400 < int(dropped(True).sum()) < 600


def test_fresh_weights_have_the_spread_that_was_asked_for() -> None:
    torch.manual_seed(0)
    block = SelfAttentionBlock(64, 4)
    block.initialise(64, branch_std=0.01)
    found = [layer.weight.std().item() for layer in (block.attention.qkv, block.mlp.expand, block.mlp.contract)]
    assert found == pytest.approx([64**-0.5, 128**-0.5, 0.01], rel=0.03)
    assert not block.attention.qkv.bias.any()
