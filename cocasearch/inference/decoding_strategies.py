"""Which token comes next: what every search shares, greedy search and sampling.

A search receives the logits of every open row, hands back the ids to feed and the rows of the cache to keep, and at
the end one sequence per image. What has ended leaves the batch at once. Knows nothing about the model that makes the
logits, nor about words.

Shapes: B images, A of them still open, k beams per image, R = A * k rows, T ids so far, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

NEVER = float("-inf")


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


@dataclass(frozen=True)
class TokenRules:
    """What may be generated, whichever strategy chooses. Lengths count the start and end ids.

    A sequence always ends with the end id: at `max_length` nothing else is allowed, and it costs what the model thinks
    of it, so that a sentence cut short never wins for free.
    """

    sot_id: int
    eot_id: int
    pad_id: int
    min_length: int
    max_length: int
    repetition_penalty: float = 1.0

    def log_probabilities(self, logits: Tensor, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (R, V) to choose by, -inf for what is not allowed, and (R, V) as the model has them.

        The second is meant for ids that the first allows; at others it may be -inf as well.
        """
        model = logits.float().log_softmax(-1)
        allowed = model
        if self.repetition_penalty != 1.0:
            allowed = _penalise_repetition(logits.float(), sequences, self.repetition_penalty).log_softmax(-1)
        length = sequences.shape[1] + 1
        if length >= self.max_length:
            end = allowed[:, self.eot_id].clone()
            allowed.fill_(NEVER)[:, self.eot_id] = end
        elif length < self.min_length:
            allowed[:, self.eot_id] = NEVER
        allowed[:, [self.sot_id, self.pad_id]] = NEVER
        return allowed, model


def _penalise_repetition(logits: Tensor, sequences: Tensor, penalty: float) -> Tensor:
    """CTRL's rule: logits of ids that already occur are divided by the penalty, negative ones multiplied."""
    seen = logits.gather(1, sequences)
    return logits.scatter(1, sequences, torch.where(seen < 0, seen * penalty, seen / penalty))


Pick = Callable[[Tensor, Tensor, int], Tensor]
"""Chooses ids (R,) from log-probabilities (R, V), for the images (R,) at step n."""


def pick_likeliest(log_probabilities: Tensor, images: Tensor, step: int) -> Tensor:
    """The ids (R,) of highest probability: greedy search."""
    return log_probabilities.argmax(-1)


@dataclass(frozen=True)
class PickAtRandom:
    """Draws ids from the model's distribution, tempered and cut to its likeliest part.

    Attributes:
        noise: For each image and step a number (B, steps) in [0, 1): what is drawn for an image depends on its own row
            alone, never on its neighbours in the batch.
        temperature: Above 0; lower is closer to greedy.
        top_k: Only the k likeliest ids; 0 for all.
        top_p: Only the likeliest ids that together reach this probability.
    """

    noise: Tensor
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __call__(self, log_probabilities: Tensor, images: Tensor, step: int) -> Tensor:
        """Ids (R,), by inverting the cumulative distribution at each image's number."""
        scores = log_probabilities / self.temperature
        if 0 < self.top_k < scores.shape[-1]:
            scores = scores.masked_fill(scores < scores.topk(self.top_k).values[:, -1:], NEVER)
        probabilities = scores.softmax(-1)
        if self.top_p < 1:
            probabilities = _keep_likeliest(probabilities, self.top_p)
        # In float64 a number below 1 stays below the total, so that the place always exists.
        cumulative = probabilities.double().cumsum(-1)
        level = self.noise[images, step, None] * cumulative[:, -1:]
        return torch.searchsorted(cumulative, level, right=True)[:, 0]


def _keep_likeliest(probabilities: Tensor, top_p: float) -> Tensor:
    """Zeros but for the likeliest that together reach `top_p`; the likeliest one always stays."""
    descending = probabilities.sort(descending=True).values
    is_beyond = descending.cumsum(-1) - descending >= top_p
    least = descending.masked_fill(is_beyond, 1.0).amin(-1, keepdim=True)
    return probabilities.masked_fill(probabilities < least, 0.0)


def draw_noise(seeds: Sequence[int], steps: int, device: torch.device) -> Tensor:
    """Numbers (len(seeds), steps) in [0, 1), each row from a generator of its own."""
    rows = [torch.rand(steps, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows).to(device)


class SingleSearch:
    """One sequence per image, each id chosen by `pick`: greedy search and sampling.

    Args:
        prompt: The ids (B, P) that every sequence starts with.
        rules: What may be generated.
        pick: How an id is chosen.
    """

    def __init__(self, prompt: Tensor, rules: TokenRules, pick: Pick) -> None:
        self._rules, self._pick = rules, pick
        self._prompt_length = prompt.shape[1]
        self._sequences = prompt
        self._logprobs = torch.empty(len(prompt), 0, device=prompt.device)
        self._images = torch.arange(len(prompt), device=prompt.device)
        self._results: dict[int, Decoded] = {}

    def advance(self, logits: Tensor) -> Step | None:
        """The next step; rows that have just ended are left out of it."""
        allowed, model = self._rules.log_probabilities(logits, self._sequences)
        ids = self._pick(allowed, self._images, self._logprobs.shape[1])[:, None]
        self._sequences = torch.cat([self._sequences, ids], 1)
        self._logprobs = torch.cat([self._logprobs, model.gather(1, ids)], 1)
        ended = ids[:, 0] == self._rules.eot_id
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
