"""Resizing of position embeddings to another image size or text length than the trained one.

Rows stand for positions: a class token and a square grid of patches in an image
encoder, token ids and the CLS at their end in a text tower.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from cocasearch.errors import CocaSearchError


def count_positions(positions: Tensor) -> int:
    """The number of positions in a table (R, W), that of the class token or the CLS included.

    Raises:
        CocaSearchError: It is not a table, or has no other rows.
    """
    if positions.ndim != 2 or len(positions) < 2:
        raise CocaSearchError(f"position embeddings of shape {tuple(positions.shape)} are no table of positions")
    return len(positions)


def resize_image_positions(positions: Tensor, grid: int) -> Tensor:
    """Positions (1 + g², W) to (1 + grid², W) as in OpenCLIP: the class row stays, the grid is resampled (bicubic).

    Raises:
        CocaSearchError: The patches do not form a square, or these are not positions.
    """
    trained = math.isqrt(count_positions(positions) - 1)
    if trained * trained != len(positions) - 1:
        raise CocaSearchError(f"{len(positions)} image positions are no class token and a square of patches")
    if trained == grid:
        return positions
    square = positions[1:].float().T.reshape(1, -1, trained, trained)
    resized = interpolate(square, (grid, grid), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([positions[:1], resized.flatten(2)[0].T.to(positions.dtype)])


def resize_text_positions(positions: Tensor, rows: int, *, keep_cls: bool = True) -> Tensor:
    """Positions (R, W) to (rows, W), interpolated along the text.

    Args:
        positions: One row for each token id and a last one for the CLS.
        rows: The new number of rows.
        keep_cls: Whether the last row stays as it is. OpenCLIP blends it with the last word's, which was never meant
            (its source has a FIXME there); False gives exactly its numbers.

    Raises:
        CocaSearchError: These are not positions.
    """
    if count_positions(positions) == rows:
        return positions
    if not keep_cls:
        return _linear(positions, rows)
    return torch.cat([_linear(positions[:-1], rows - 1), positions[-1:]])


def _linear(positions: Tensor, rows: int) -> Tensor:
    resized = interpolate(positions.float().T[None], rows, mode="linear", align_corners=False)
    return resized[0].T.to(positions.dtype)
