"""Fast reading of logits (R, V), which takes most of the time of a search. Nothing here writes to the logits."""

from collections.abc import Sequence

import torch
from torch import Tensor

NEVER = float("-inf")
_STRIPS = 64  # near the root of a large vocabulary: as many ids to look at twice as there are columns


def log_sum_exp(logits: Tensor) -> Tensor:
    """The log-sum-exp (R, 1) of each row, which must have a finite logit; on a CPU faster than `torch.logsumexp`."""
    most = logits.amax(-1, keepdim=True)
    return (logits - most).exp_().sum(-1, keepdim=True).log_().add_(most)


def top(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest logits of each row, falling, and their places, both (R, count). About ten times `torch.topk`.

    A row is cut into strips that lie one above the other. Each of its largest logits is in one of the `count` columns
    with the largest maxima, so that one pass for the maxima leaves few logits to sort.
    """
    columns = logits.shape[1] // _STRIPS
    if columns <= count:
        return logits.topk(count)
    whole = columns * _STRIPS
    maxima = torch.unflatten(logits[:, :whole], 1, (_STRIPS, columns)).amax(1)
    best_columns = maxima.topk(count, sorted=False).indices
    starts = torch.arange(0, whole, columns, device=logits.device)
    rest = torch.arange(whole, logits.shape[1], device=logits.device).expand(len(logits), -1)
    places = torch.cat([(best_columns[:, None] + starts[:, None]).flatten(1), rest], 1)
    values, order = logits.gather(1, places).topk(count)
    return values, places.gather(1, order)


def top_allowed(logits: Tensor, count: int, forbidden: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The same as `top`, except that the forbidden ids come last, with -inf."""
    enough = min(count + len(forbidden), logits.shape[1])
    values, ids = top(logits, enough)
    if forbidden:
        banned = torch.stack([ids == never for never in forbidden]).any(0)
        values, order = values.masked_fill_(banned, NEVER).topk(count)
        ids = ids.gather(1, order)
    return values, ids
