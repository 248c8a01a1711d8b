"""Every kind of pooling gives a vector and a context of the right widths, and the vector alone for less."""

import pytest
import torch
from torch import Tensor

from cocasearch.model.attentional_pooler import AttentionalPooler, build_pooling
from cocasearch.model.config import PoolerConfig

WIDTH, EMBED_DIM, CONTEXT_WIDTH = 16, 8, 24
TOKENS = torch.randn(3, 6, CONTEXT_WIDTH, generator=torch.Generator().manual_seed(0))


def pooled(kind: str) -> tuple[Tensor, Tensor, Tensor, int]:
    torch.manual_seed(0)
    config = PoolerConfig(kind=kind, queries=5, heads=2)  # type: ignore[arg-type]
    pooling, vector_width = build_pooling(config, width=WIDTH, embed_dim=EMBED_DIM, context_width=CONTEXT_WIDTH)
    with torch.inference_mode():
        return *pooling(TOKENS), pooling.vector(TOKENS), vector_width


@pytest.mark.parametrize(
    ("kind", "vector_width", "context_shape"),
    [
        ("none", CONTEXT_WIDTH, (3, 5, CONTEXT_WIDTH)),  # the patches
        ("single", WIDTH, (3, 4, WIDTH)),
        ("parallel", EMBED_DIM, (3, 5, WIDTH)),
        ("cascade", EMBED_DIM, (3, 5, WIDTH)),
    ],
)
def test_a_pooling_gives_a_vector_and_a_context(kind: str, vector_width: int, context_shape: tuple[int, ...]) -> None:
    vector, context, vector_alone, width = pooled(kind)
    assert (vector.shape, context.shape, width) == ((3, vector_width), context_shape, vector_width)
    torch.testing.assert_close(vector_alone, vector)
    assert not torch.allclose(vector[0], vector[1])


def test_queries_attend_each_for_itself_and_each_image_too() -> None:
    torch.manual_seed(0)
    pooler = AttentionalPooler(WIDTH, context_width=CONTEXT_WIDTH, queries=5, heads=2).requires_grad_(False)
    whole = pooler(TOKENS)
    torch.testing.assert_close(pooler(TOKENS, first=2), whole[:, :2])
    torch.testing.assert_close(pooler(TOKENS[1:2]), whole[1:2])
