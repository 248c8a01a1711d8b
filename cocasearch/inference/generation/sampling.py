"""Sampling of ids from the model's distribution, with random numbers of its own for each image.

Shapes are those of `decoding_strategies`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cocasearch.inference.generation.logit_reads import NEVER, log_sum_exp, top
from cocasearch.inference.generation.token_rules import TokenRules


@dataclass(frozen=True)
class PickAtRandom:
    """The choice of ids at random from the model's distribution, tempered and cut to its likeliest part.

    Attributes:
        rules: The rules of what may be drawn.
        noise: A number in [0, 1) for each image and step (B, steps). The draw of an image depends on its own row alone,
            never on its neighbours in the batch.
        temperature: Above 0; lower is closer to greedy.
        top_k: Draw from the k likeliest ids; 0 for all.
        top_p: Draw from the likeliest ids that together reach this probability.
    """

    rules: TokenRules
    noise: Tensor
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __call__(self, logits: Tensor, sequences: Tensor, images: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The ids drawn at each image's number."""
        scores = self.rules.shape(logits, sequences).div_(self.temperature)
        if 0 < self.top_k < scores.shape[-1]:
            scores = scores.masked_fill(scores < top(scores, self.top_k)[0][:, -1:], NEVER)
        probabilities = scores.softmax(-1)
        if self.top_p < 1:
            probabilities = _keep_likeliest(probabilities, self.top_p)
        ids = draw(probabilities, self.noise[images, step, None])
        return ids, logits.gather(1, ids) - log_sum_exp(logits)


def draw(probabilities: Tensor, numbers: Tensor) -> Tensor:
    """The ids (R, 1) at which each row's cumulative distribution (R, V) reaches a number (R, 1) in [0, 1)."""
    # In float64 a number below 1 stays below the total, so that the place always exists.
    cumulative = probabilities.double().cumsum(-1)
    return torch.searchsorted(cumulative, numbers * cumulative[:, -1:], right=True)


def _keep_likeliest(probabilities: Tensor, top_p: float) -> Tensor:
    """The probabilities with zeros for all but the likeliest that together reach `top_p`, at least one."""
    descending = probabilities.sort(descending=True).values
    is_beyond = descending.cumsum(-1) - descending >= top_p
    least = descending.masked_fill(is_beyond, 1.0).amin(-1, keepdim=True)
    return probabilities.masked_fill(probabilities < least, 0.0)


def draw_noise(seeds: Sequence[int], steps: int, device: torch.device) -> Tensor:
    """Random numbers (len(seeds), steps) in [0, 1), each row from a generator of its own."""
    rows = [torch.rand(steps, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows).to(device)
