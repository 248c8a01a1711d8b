"""Less memory or less time for the blocks of all towers, with the numbers that they had.

Both change how a block is called, not what it computes; weights keep their names.
"""

import functools
import warnings
from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from cocasearch.errors import CocaSearchWarning
from cocasearch.model.coca import CoCa
from cocasearch.model.efficientnet_lite import InvertedBottleneck
from cocasearch.model.layers import CrossAttentionBlock, SelfAttentionBlock
from cocasearch.model.roberta import RobertaBlock

_BLOCKS = (SelfAttentionBlock, CrossAttentionBlock, RobertaBlock, InvertedBottleneck)


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The transformer blocks and inverted bottlenecks of all towers."""
    return (module for module in model.modules() if isinstance(module, _BLOCKS))


def checkpoint_blocks(model: nn.Module) -> None:
    """Keep only each block's input for the way back, and compute what is in it again, dropout included; in place."""
    for block in blocks(model):
        _checkpoint(block)


def checkpoint_image_blocks(model: CoCa, count: int) -> None:
    """The same of the image encoder's first `count` blocks alone, which hold most: many small steps between the two."""
    for block in list(model.image_encoder.blocks)[:count]:
        _checkpoint(block)


def _checkpoint(block: nn.Module) -> None:
    forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
    block.forward = forward


def compile_blocks(model: nn.Module) -> bool:
    """Let torch compile the blocks, in place; without a compiler they stay as they are, which a warning says.

    Returns:
        Whether they are compiled, at the first step.
    """
    if problem := compiler_problem():
        sentence = f"torch cannot compile here ({problem}), so the run goes on uncompiled"
        warnings.warn(sentence, CocaSearchWarning, stacklevel=2)
        return False
    for block in blocks(model):
        # Convolutions pad by the size of their input, which the compiler cannot follow unless it is a number.
        block.compile(dynamic=False if isinstance(block, InvertedBottleneck) else None)
    return True


@functools.cache
def compiler_problem() -> str:
    """Why torch cannot compile on this machine, in a few words; empty where it can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own parts are deprecated
            compiled = torch.compile(torch.nn.functional.gelu, fullgraph=True)
            compiled(torch.ones(2))
    except Exception as error:  # whatever a missing or a broken tool chain raises
        return str(error).strip().partition("\n")[0] or type(error).__name__
    return ""
