"""OpenCLIP's own choice of ids in `generate`, to the last id: beam search over raw logits, and sampling.

These searches have the interface and the shapes of `decoding_strategies`, so that the same cached decoder runs below.
Source: open_clip 3.3.0, coca_model.py, with the BeamSearchScorer of transformers 4.56.

Its 6 beams in 3 groups are three identical copies of 2 beams, since nothing makes the groups differ. One is computed.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from cocasearch.inference.generation.decoding_strategies import Decoded, Step
from cocasearch.inference.generation.logit_reads import NEVER, log_sum_exp, top, top_allowed
from cocasearch.inference.generation.sampling import draw
from cocasearch.inference.generation.token_rules import Candidates, TokenRules, penalise_repetition


@dataclass(frozen=True)
class OpenClipRules(TokenRules):
    """OpenCLIP's rules where one id follows another: greedy search and sampling; a forced end at `max_length`.

    Every id may be generated, the start and the padding too; padding ends a sequence, though CLIP's means "!".
    """

    def forbidden(self, length: int) -> list[int]:
        """The end, as long as the sequence *before* it is shorter than `min_length`."""
        return [self.eot_id] if length <= self.min_length else []

    def is_end(self, ids: Tensor) -> Tensor:
        """Which ids end their sequences."""
        return (ids == self.eot_id) | (ids == self.pad_id)


@dataclass(frozen=True)
class OpenClipBeamRules(OpenClipRules):
    """OpenCLIP's rules for beams: scores are the logits as they are, and nothing ends a beam by force."""

    def likeliest(self, logits: Tensor, sequences: Tensor, count: int) -> Candidates:
        """The `count` ids of largest logit after each sequence (R, T)."""
        shaped = penalise_repetition(logits, sequences, self.repetition_penalty)
        scores, ids = top_allowed(shaped, count, self.forbidden(sequences.shape[1] + 1))
        return Candidates(ids, scores, logits.gather(1, ids) - log_sum_exp(logits))


@dataclass(frozen=True)
class OpenClipSampling:
    """Sampling of ids as OpenCLIP does it: the filter comes first, the temperature after it.

    Attributes:
        rules: The rules of what may be drawn.
        noise: A number in [0, 1) for each image and step (B, steps), in place of torch's multinomial.
        temperature: Above 0.
        top_k: Keep every id whose logit reaches the k-th largest; 0 filters by `top_p` instead.
        top_p: Drop the unlikeliest ids as long as those dropped have at most 1 - p together.
    """

    rules: TokenRules
    noise: Tensor
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 0.1

    def __call__(self, logits: Tensor, sequences: Tensor, images: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The ids drawn at each image's number."""
        allowed = self.rules.shape(logits, sequences)
        if self.top_k:
            least = top(allowed, min(self.top_k, allowed.shape[1]))[0][:, -1:]
            allowed.masked_fill_(allowed < least, NEVER)
        else:
            ascending, order = allowed.sort()
            dropped = ascending.softmax(-1).cumsum(-1) <= 1 - self.top_p
            dropped[:, -1] = False
            allowed.masked_fill_(torch.empty_like(dropped).scatter_(1, order, dropped), NEVER)
        ids = draw((allowed / self.temperature).softmax(-1), self.noise[images, step, None])
        return ids, logits.gather(1, ids) - log_sum_exp(logits)


@dataclass(frozen=True)
class _Beam:
    """One open sequence: the sum of its logits, and the row of the decoder's batch that it continues."""

    total: float = 0.0
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    row: int = 0

    def extend(self, total: float, token: int, logprob: float, row: int) -> "_Beam":
        return _Beam(total, (*self.ids, token), (*self.logprobs, logprob), row)


@dataclass
class _Group:
    """The beams of one image and the best of those that have ended."""

    size: int
    open: list[_Beam]
    ended: list[Decoded] = field(default_factory=list)

    def advance(self, ranked: list[_Beam], eot_id: int) -> bool:
        """Take in the best 2 x size continuations, best first, and return whether the image is done."""
        length = len(ranked[0].ids)
        best = ranked[0].total / length
        for beam in ranked[: self.size]:  # an end that ranks lower is passed over
            if beam.ids[-1] == eot_id:
                self.end(beam)
        self.open = [beam for beam in ranked if beam.ids[-1] != eot_id][: self.size]
        return len(self.ended) == self.size and min(ended.score for ended in self.ended) >= best

    def end(self, beam: _Beam) -> None:
        """Keep a sequence if it is among the best, by its mean logit, the start counted as one more."""
        ended = Decoded(beam.ids, beam.logprobs, beam.total / len(beam.ids))
        if len(self.ended) == self.size:
            worst = min(self.ended, key=lambda kept: kept.score)
            if ended.score <= worst.score:
                return
            self.ended.remove(worst)
        self.ended.append(ended)


class OpenClipBeamSearch:
    """OpenCLIP's beam search for one group of beams per image.

    OpenCLIP's own starts with the start id alone, whatever the prompt. Sequences that `max_length` cuts have no end.

    Args:
        prompt: The ids (B, P) that every sequence starts with.
        rules: The rules of what may be generated.
        num_beams: Number of beams in the group, at most half the vocabulary.
    """

    def __init__(self, prompt: Tensor, rules: OpenClipBeamRules, num_beams: int) -> None:
        self._rules, self._num_beams, self._device = rules, num_beams, prompt.device
        self._groups = [_Group(num_beams, [_Beam(ids=tuple(ids))]) for ids in prompt.tolist()]
        self._open = list(self._groups)

    def advance(self, logits: Tensor) -> Step | None:
        """The next step; images that are done are left out of it."""
        going = [
            not group.advance(ranked, self._rules.eot_id)
            for group, ranked in zip(self._open, self._rank(logits), strict=True)
        ]
        images = [position for position, goes_on in enumerate(going) if goes_on]
        self._open = [self._open[position] for position in images]
        beams = [beam for group in self._open for beam in group.open]
        if beams and len(beams[0].ids) == self._rules.max_length:
            for group in self._open:
                for beam in group.open:
                    group.end(beam)
            return None
        rows = [beam.row for beam in beams]
        if not rows:
            return None
        unchanged = rows == list(range(len(logits)))
        return Step(
            self._tensor([beam.ids[-1] for beam in beams]),
            None if unchanged else self._tensor(rows),
            None if all(going) else self._tensor(images),
        )

    def results(self) -> list[list[Decoded]]:
        """The finished sequences of each image, best first, of equal ones the latest, in the images' order."""
        return [sorted(group.ended, key=lambda ended: ended.score)[::-1] for group in self._groups]

    def _rank(self, logits: Tensor) -> list[list[_Beam]]:
        """The best 2 x num_beams continuations of each open image, best first."""
        beams = [beam for group in self._open for beam in group.open]
        count, images = 2 * self._num_beams, len(self._open)
        likeliest = self._rules.likeliest(logits, self._tensor([beam.ids for beam in beams]), count)
        totals = likeliest.scores + torch.tensor([beam.total for beam in beams], device=self._device)[:, None]
        best, places = totals.view(images, -1).topk(count)
        rows = places // count + torch.arange(images, device=self._device)[:, None] * (len(beams) // images)
        ids, logprobs = (kept.view(images, -1).gather(1, places) for kept in (likeliest.ids, likeliest.logprobs))
        columns = zip(*(column.tolist() for column in (best, ids, logprobs, rows)), strict=True)
        return [
            [beams[row].extend(total, token, logprob, row) for total, token, logprob, row in zip(*one, strict=True)]
            for one in columns
        ]

    def _tensor(self, values: object) -> Tensor:
        return torch.tensor(values, device=self._device)
