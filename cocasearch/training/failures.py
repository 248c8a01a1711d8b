"""What stops a run from outside its data: each in one sentence, reported once, with how to go on from what is kept."""

import errno
import functools
import math
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from cocasearch.errors import CocaSearchError, ReportedByAnother
from cocasearch.inference.embedder import NoNumbersError
from cocasearch.training.config import TrainingConfig
from cocasearch.training.step.processes import is_first_to_report

P = ParamSpec("P")
R = TypeVar("R")

STEADYING = ("learning_rate", "muon_learning_rate", "encoder_learning_rate", "max_gradient_norm", "precision")
"""The settings that may be changed when a run goes on that left the numbers."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What gloo says in the process that waited.
_PEER_IS_GONE = ("closed by peer", "reset by peer", "broken pipe", "gloo/transport")
# How PyTorch's allocators and the C library say that there is no more.
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "cannot allocate memory")


class NotANumberError(CocaSearchError):
    """A loss or a gradient is infinite or no number; the weights were not touched by it."""

    def __init__(self, step: int) -> None:
        super().__init__(
            f"the loss is no longer a number at step {step + 1}; the {step} before it are kept",
            hint="the same command with a lower learning rate goes on from there",
        )


def explained(
    error: BaseException, config: TrainingConfig, *, step: int, kept: int, pictures: int
) -> CocaSearchError | None:
    """What is reported of an error in a step, or None where it speaks for itself or is unknown.

    Args:
        error: What was raised.
        config: How the step was computed.
        step: How many steps are done.
        kept: How many of them can be gone on from.
        pictures: How many captioned pictures this process had in it.
    """
    if is_out_of_memory(error):
        at_once = math.ceil(pictures / config.parts(pictures))
        smaller = f"the same command with --set micro_batch={max(1, at_once // 2)} goes on from there"
        return CocaSearchError(
            f"{at_once} photos at once do not fit in memory; the {kept} steps done are kept",
            hint=smaller if at_once > 1 else "a smaller model, or more memory",
        )
    if isinstance(error, NoNumbersError):
        return CocaSearchError(
            f"after step {step} the model's vectors are no numbers any more: it has diverged",
            hint="--out NEW_FOLDER with a lower learning rate starts anew",
        )
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return CocaSearchError(
            f"{error.filename or 'a file of this run'} cannot be written: {str(error.strerror).lower()}; "
            f"the {kept} steps that were saved are kept",
            hint="free some room; the same command goes on from there",
        )
    return None


def reported_once(job: Callable[P, R]) -> Callable[P, R]:
    """A job of which, if it fails in several processes, one alone reports: the one that failed first, if it can.

    Raises:
        ReportedByAnother: In the others.
    """

    @functools.wraps(job)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return job(*arguments, **options)
        except Exception as error:
            if not is_first_to_report():
                raise ReportedByAnother("another process of this run tells why it ended") from error
            if is_gone_peer(error):
                raise CocaSearchError(
                    "another process of this run ended without a word, as one that is killed does",
                    hint="the same command goes on from the last checkpoint",
                ) from error
            raise

    return run


def is_gone_peer(error: BaseException) -> bool:
    """Whether another process ended while this one was exchanging something with it."""
    words = str(error).lower()
    return isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and any(gone in words for gone in _PEER_IS_GONE)
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a GPU or a CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)
