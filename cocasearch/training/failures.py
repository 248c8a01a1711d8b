"""What stops a run from outside its data: each in one sentence, with how to go on from what is kept."""

import math

import torch

from cocasearch.errors import CocaSearchError
from cocasearch.inference.embedding import NoNumbersError
from cocasearch.training.config import TrainingConfig

STEADYING = ("learning_rate", "muon_learning_rate", "encoder_learning_rate", "max_gradient_norm", "precision")
"""The settings that may be changed when a run goes on that left the numbers."""

# How PyTorch's allocators and the C library say that there is no more.
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "cannot allocate memory")


class NotANumberError(CocaSearchError):
    """A loss or a gradient is infinite or no number; the weights were not touched by it."""

    def __init__(self, step: int) -> None:
        super().__init__(
            f"the loss is no longer a number at step {step + 1}; the {step} before it are kept",
            hint="the same command with a lower learning rate goes on from there",
        )


def explained(error: BaseException, config: TrainingConfig, step: int, pictures: int) -> CocaSearchError | None:
    """What a user is told of an error in a step, or None where it is told well already or unknown.

    Args:
        error: What was raised.
        config: How the step was computed.
        step: How many steps are done and kept.
        pictures: How many captioned pictures this process had in it.
    """
    if is_out_of_memory(error):
        at_once = math.ceil(pictures / config.parts(pictures))
        smaller = f"the same command with --set micro_batch={max(1, at_once // 2)} goes on from there"
        return CocaSearchError(
            f"{at_once} pictures at once do not fit in memory; the {step} steps done are kept",
            hint=smaller if at_once > 1 else "a smaller model, or more memory",
        )
    if isinstance(error, NoNumbersError):
        return CocaSearchError(
            f"after step {step} the model's vectors are no numbers any more: it has diverged",
            hint="--out NEW_FOLDER with a lower learning rate starts anew",
        )
    if isinstance(error, torch.distributed.DistError | ConnectionError) or "closed by peer" in str(error):
        return CocaSearchError(
            f"another process of this run ended; the {step} steps done are kept",
            hint="its own message says why; the same command goes on from there",
        )
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a GPU or a CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)
