"""Position embeddings for another size are those between, and what stands for no position stays."""

import pytest
import torch

from cocasearch.checkpoints.foreign.position_resizing import resize_image_positions, resize_text_positions
from cocasearch.errors import CocaSearchError

IMAGE = torch.randn(1 + 16, 3, generator=torch.Generator().manual_seed(0))
TEXT = torch.arange(6.0)[:, None].repeat(1, 2)


@pytest.mark.parametrize("grid", [2, 6])
def test_a_grid_is_resampled_and_the_class_row_stays(grid: int) -> None:
    resized = resize_image_positions(IMAGE.half(), grid)
    assert (resized.shape, resized.dtype) == ((1 + grid**2, 3), torch.float16)
    assert torch.equal(resized[0], IMAGE[0].half())
    torch.testing.assert_close(resized[1:].float().mean(0), IMAGE[1:].mean(0), atol=0.1, rtol=0)


def test_rows_and_columns_are_not_mixed_up() -> None:
    columns = torch.arange(4.0).repeat(4)[:, None]  # grows from left to right
    resized = resize_image_positions(torch.cat([torch.zeros(1, 1), columns]), 8)[1:].view(8, 8)
    torch.testing.assert_close(resized, resized[:1].expand(8, -1))
    assert (resized[0].diff() > 0).all()


def test_the_same_size_changes_nothing() -> None:
    assert resize_image_positions(IMAGE, 4) is IMAGE
    assert resize_text_positions(TEXT, 6) is TEXT


def test_text_positions_lie_between_and_the_cls_stays() -> None:
    longer = resize_text_positions(TEXT, 11)
    assert longer[-1].tolist() == [5, 5] and longer[:-1].max() == 4
    assert (longer[:-1, 0].diff() >= 0).all()
    assert resize_text_positions(TEXT, 3, keep_cls=False)[:, 0].tolist() == [0.5, 2.5, 4.5]


@pytest.mark.parametrize("positions", [IMAGE[:12], IMAGE[:1], IMAGE[0]])
def test_what_is_no_class_token_and_a_square_is_refused(positions: torch.Tensor) -> None:
    with pytest.raises(CocaSearchError, match=r"no class token and a square|no table of positions"):
        resize_image_positions(positions, 4)
