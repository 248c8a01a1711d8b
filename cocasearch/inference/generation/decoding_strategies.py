"""The interface of searches for the next token, and the search of one sequence per image.

A search receives the logits of every open row and returns the ids to feed and the rows of the cache to keep; at the end
it has one sequence per image, or several. What has ended leaves the batch at once.

Shapes: B images, A of them still open, k beams per image, R = A * k rows, T ids so far, V vocabulary.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cocasearch.inference.generation.token_rules import TokenRules


@dataclass(frozen=True)
class Step:
    """The next step of the decoder.

    Attributes:
        ids: The ids (R,) to feed, one for each row that stays open.
        rows: The row (R,) of the previous step that each of them continues; None if the rows are unchanged.
        images: The images (A,) of the previous step that stay open; None if all do.
    """

    ids: Tensor
    rows: Tensor | None = None
    images: Tensor | None = None


@dataclass(frozen=True)
class Decoded:
    """A finished sequence.

    Attributes:
        ids: Its ids from start to end.
        logprobs: Log-probabilities of the generated ids.
        score: The value that the search ranked it by.
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
    """A choice of one id per row."""

    def __call__(self, logits: Tensor, sequences: Tensor, images: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The chosen ids (R, 1) and the model's log-probabilities of them.

        Args:
            logits: Logits (R, V) of the next id.
            sequences: The ids (R, T) so far.
            images: The image (R,) of each row.
            step: Number of ids generated so far.
        """


@dataclass(frozen=True)
class PickLikeliest:
    """The choice of greedy search."""

    rules: TokenRules

    def __call__(self, logits: Tensor, sequences: Tensor, images: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The ids of highest probability."""
        likeliest = self.rules.likeliest(logits, sequences, 1)
        return likeliest.ids, likeliest.logprobs


class SingleSearch:
    """One sequence per image, each id chosen by `pick`: greedy search and sampling.

    Args:
        prompt: The ids (B, P) that every sequence starts with.
        rules: The rules of what ends a sequence.
        pick: The choice of an id.
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
