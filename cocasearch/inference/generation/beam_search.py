"""Beam search: the likeliest of k sequences per image, all images in one batch.

Receives logits, hands back steps and sequences as the other searches do; see `decoding_strategies` for the shapes.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cocasearch.inference.generation.decoding_strategies import Decoded, Step
from cocasearch.inference.generation.logit_reads import NEVER
from cocasearch.inference.generation.token_rules import TokenRules


@dataclass(frozen=True)
class _Hypotheses:
    """The n best sequences of each of A images."""

    sequences: Tensor  # (A, n, T)
    logprobs: Tensor  # (A, n, generated), the model's own
    scores: Tensor  # (A, n), what they are ranked by

    def take(self, places: Tensor) -> "_Hypotheses":
        """The sequences of each image at `places` (A, m)."""
        wide = places[..., None]
        return _Hypotheses(
            self.sequences.gather(1, wide.expand(-1, -1, self.sequences.shape[2])),
            self.logprobs.gather(1, wide.expand(-1, -1, self.logprobs.shape[2])),
            self.scores.gather(1, places),
        )

    def extend(self, ids: Tensor, logprobs: Tensor, scores: Tensor) -> "_Hypotheses":
        """Each sequence with one more id; all arguments are (A, n)."""
        sequences = torch.cat([self.sequences, ids[..., None]], 2)
        return _Hypotheses(sequences, torch.cat([self.logprobs, logprobs[..., None]], 2), scores)

    def merge(self, longer: "_Hypotheses") -> "_Hypotheses":
        """The best n of these and the others, best first; shorter sequences are filled up with -1."""
        missing = longer.sequences.shape[2] - self.sequences.shape[2]
        sequences = torch.cat([F.pad(self.sequences, (0, missing), value=-1), longer.sequences], 1)
        logprobs = torch.cat([F.pad(self.logprobs, (0, missing)), longer.logprobs], 1)
        both = _Hypotheses(sequences, logprobs, torch.cat([self.scores, longer.scores], 1))
        return both.take(both.scores.topk(self.scores.shape[1]).indices)

    def of_images(self, images: Tensor) -> "_Hypotheses":
        """The sequences of the images with these numbers."""
        return _Hypotheses(self.sequences[images], self.logprobs[images], self.scores[images])


class BeamSearch:
    """The best of k sequences per image that are grown side by side.

    Open beams are ranked by the sum of their log-probabilities, ended ones by that sum / length ** `length_penalty`,
    the length being that of what was generated, its end included. An image is done when k sequences have ended and no
    open beam, at its present length, is better than the worst of them.

    Args:
        prompt: The ids (B, P) that every sequence starts with.
        rules: The rules of what may be generated.
        num_beams: Number of beams k, at most half the vocabulary.
        length_penalty: 0 prefers short sequences, 1 ranks by the mean, more prefers long ones.
    """

    def __init__(self, prompt: Tensor, rules: TokenRules, num_beams: int, length_penalty: float = 1.0) -> None:
        self._rules, self._num_beams, self._length_penalty = rules, num_beams, length_penalty
        self._images = torch.arange(len(prompt), device=prompt.device)
        # One beam until the first step makes k different ones of it.
        nothing = torch.empty(len(prompt), 1, 0, device=prompt.device)
        self._open = _Hypotheses(prompt[:, None], nothing, torch.zeros(nothing.shape[:2], device=prompt.device))
        worst = self._open.take(self._images.new_zeros(len(prompt), num_beams))
        self._ended = _Hypotheses(worst.sequences, worst.logprobs, worst.scores.fill_(NEVER))
        self._results: dict[int, list[Decoded]] = {}

    def advance(self, logits: Tensor) -> Step | None:
        """The next step; images that are done are left out of it."""
        candidates, parents = self._candidates(logits)
        ids = candidates.sequences[..., -1]
        is_end = ids == self._rules.eot_id
        length_norm = candidates.logprobs.shape[2] ** self._length_penalty
        # An end ranked behind k better continuations is no ending that this search would have followed.
        is_ending = is_end & (torch.arange(ids.shape[1], device=ids.device) < self._num_beams)
        ending_scores = (candidates.scores / length_norm).masked_fill(~is_ending, NEVER)
        self._ended = self._ended.merge(_Hypotheses(candidates.sequences, candidates.logprobs, ending_scores))
        places = is_end.byte().argsort(dim=1, stable=True)[:, : self._num_beams]
        beams_before = self._open.scores.shape[1]
        self._open = candidates.take(places)
        done = self._ended.scores[:, -1] >= self._open.scores[:, 0] / length_norm
        rows = parents.gather(1, places) + beams_before * torch.arange(len(done), device=done.device)[:, None]
        return self._drop(done, rows)

    def results(self) -> list[list[Decoded]]:
        """Up to k ended sequences per image, best first, in the images' order."""
        return [self._results[image] for image in sorted(self._results)]

    def _candidates(self, logits: Tensor) -> tuple[_Hypotheses, Tensor]:
        """The 2k likeliest continuations of each image, best first, and the beam (A, 2k) that each continues.

        Each beam ends in one way only, so that at least k of 2k go on.
        """
        images, beams = self._open.scores.shape
        count = 2 * self._num_beams
        likeliest = self._rules.likeliest(logits, self._open.sequences.flatten(0, 1), count)
        totals = (likeliest.scores.view(images, beams, count) + self._open.scores[..., None]).flatten(1)
        scores, places = totals.topk(count)
        parents = places // count
        ids, logprobs = (kept.view(images, -1).gather(1, places) for kept in (likeliest.ids, likeliest.logprobs))
        return self._open.take(parents).extend(ids, logprobs, scores), parents

    def _drop(self, done: Tensor, rows: Tensor) -> Step | None:
        ids = self._open.sequences[..., -1]
        if not done.any():
            return Step(ids.flatten(), rows.flatten())
        self._record(done)
        images = (~done).nonzero()[:, 0]
        self._open, self._ended = self._open.of_images(images), self._ended.of_images(images)
        self._images = self._images[images]
        return Step(ids[images].flatten(), rows[images].flatten(), images) if len(images) else None

    def _record(self, done: Tensor) -> None:
        ended = self._ended.of_images(done)
        columns = (self._images[done], ended.sequences, ended.logprobs, ended.scores)
        for image, *beams in zip(*(column.tolist() for column in columns), strict=True):
            self._results[image] = [
                _decoded(ids, logprobs, score) for ids, logprobs, score in zip(*beams, strict=True) if score > NEVER
            ]


def _decoded(ids: list[int], logprobs: list[float], score: float) -> Decoded:
    """A sequence without the -1 it was filled up with."""
    missing = ids.count(-1)
    return Decoded(tuple(ids[: len(ids) - missing]), tuple(logprobs[: len(logprobs) - missing]), score)
