"""Which token comes next: what every search shares, and the search of one sequence per image.

A search receives the logits of every open row, hands back the ids to feed and the rows of the cache to keep, and at
the end one sequence per image. What has ended leaves the batch at once. Knows nothing about the model that makes the
logits, nor about words.

Shapes: B images, A of them still open, k beams per image, R = A * k rows, T ids so far, V vocabulary.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cocasearch.inference.generation.token_rules import TokenRules


@dataclass(frozen=True)
class Step:
    """What the decoder is to do next.

    Attributes:
        ids: The ids (R,) to feed, one for each row that stays open.
        rows: For each of them the row (R,) of the previous step that it continues; None if the rows are unchanged.
        images: The images (A,) of the previous step that stay open; None if all do.
    """

    ids: Tensor
    rows: Tensor | None = None
    images: Tensor | None = None


@dataclass(frozen=True)
class Decoded:
    """One finished sequence.

    Attributes:
        ids: From start to end.
        logprobs: The log-probabilities of those that were generated.
        score: What the search ranked it by.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    score: float = 0.0


class Search(Protocol):
    """A way of choosing tokens for B images at once."""

    def advance(self, logits: Tensor) -> Step | None:
        """The next step after `logits` (R, V), or None when every image has its sequence."""

    def results(self) -> list[list[Decoded]]:
        """The finished sequences of each image, best first, in the images' order."""


class Pick(Protocol):
    """Chooses one id per row."""

    def __call__(self, logits: Tensor, sequences: Tensor, images: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Ids (R, 1) and the model's log-probabilities of them, after sequences (R, T) of the images (R,) at step n."""


@dataclass(frozen=True)
class PickLikeliest:
    """Greedy search."""

    rules: TokenRules

    def __call__(self, logits: Tensor, sequences: Tensor, images: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The ids of highest probability."""
        found = self.rules.likeliest(logits, sequences, 1)
        return found.ids, found.logprobs


class SingleSearch:
    """One sequence per image, each id chosen by `pick`: greedy search and sampling.

    Args:
        prompt: The ids (B, P) that every sequence starts with.
        rules: What ends a sequence.
        pick: How an id is chosen.
    """

    def __init__(self, prompt: Tensor, rules: TokenRules, pick: Pick) -> None:
        self._rules, self._pick = rules, pick
        self._sequences = prompt
        self._logprobs = torch.empty(len(prompt), 0, device=prompt.device)
        self._images = torch.arange(len(prompt), device=prompt.device)
        self._results: dict[int, Decoded] = {}

    def advance(self, logits: Tensor) -> Step | None:
        """The next step; rows that have just ended are left out of it."""
        ids, logprobs = self._pick(logits, self._sequences, self._images, self._logprobs.shape[1])
        self._sequences = torch.cat([self._sequences, ids], 1)
        self._logprobs = torch.cat([self._logprobs, logprobs], 1)
        ended = self._rules.is_end(ids[:, 0])
        if not ended.any():
            return Step(ids[:, 0])
        self._record(ended)
        rows = (~ended).nonzero()[:, 0]
        self._sequences, self._logprobs, self._images = (
            kept[rows] for kept in (self._sequences, self._logprobs, self._images)
        )
        return Step(ids[rows, 0], rows, rows) if len(rows) else None

    def results(self) -> list[list[Decoded]]:
        """One sequence per image, in the images' order."""
        return [[self._results[image]] for image in sorted(self._results)]

    def _record(self, ended: Tensor) -> None:
        sequences, values = self._sequences[ended].tolist(), self._logprobs[ended].tolist()
        for image, ids, logprobs in zip(self._images[ended].tolist(), sequences, values, strict=True):
            self._results[image] = Decoded(tuple(ids), tuple(logprobs))
