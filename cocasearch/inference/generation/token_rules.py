"""The rules of which ids may come next and how they score, which every search keeps to.

They are given logits (R, V) and the sequences (R, T) that these follow.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cocasearch.inference.generation.logit_reads import NEVER, log_sum_exp, top_allowed


@dataclass(frozen=True)
class Candidates:
    """The candidates for the next id in each of R sequences.

    Attributes:
        ids: The ids (R, n).
        scores: The values (R, n) that they are chosen by, falling; -inf for ids that are not allowed.
        logprobs: The model's own log-probabilities (R, n) of them, before any option shaped them.
    """

    ids: Tensor
    scores: Tensor
    logprobs: Tensor


@dataclass(frozen=True)
class TokenRules:
    """The rules of what may be generated, for every strategy. Lengths include the start and end ids.

    A sequence always ends with the end id: at `max_length` nothing else is allowed. It keeps the log-probability that
    the model gives it, so that a sentence cut short never wins for free.
    """

    sot_id: int
    eot_id: int
    pad_id: int
    min_length: int
    max_length: int
    repetition_penalty: float = 1.0

    def likeliest(self, logits: Tensor, sequences: Tensor, count: int) -> Candidates:
        """The `count` likeliest ids after each sequence (R, T), scored by their log-probabilities.

        At `max_length` only the end has a finite score, and it comes first.
        """
        shaped = penalise_repetition(logits, sequences, self.repetition_penalty)
        if sequences.shape[1] + 1 < self.max_length:
            scores, ids = top_allowed(shaped, count, self.forbidden(sequences.shape[1] + 1))
        else:
            ids = sequences.new_full((len(sequences), count), self.sot_id)
            ids[:, 0] = self.eot_id
            scores = shaped.gather(1, ids).masked_fill(ids != self.eot_id, NEVER)
        total = log_sum_exp(logits)
        shaped_total = total if shaped is logits else log_sum_exp(shaped)
        return Candidates(ids, scores - shaped_total, logits.gather(1, ids) - total)

    def shape(self, logits: Tensor, sequences: Tensor) -> Tensor:
        """A copy of the logits (R, V) to draw from: shaped by the options, -inf for what is not allowed."""
        shaped = penalise_repetition(logits, sequences, self.repetition_penalty).clone()
        if sequences.shape[1] + 1 >= self.max_length:
            end = shaped[:, self.eot_id].clone()
            shaped.fill_(NEVER)[:, self.eot_id] = end
        else:
            shaped[:, self.forbidden(sequences.shape[1] + 1)] = NEVER
        return shaped

    def forbidden(self, length: int) -> list[int]:
        """The ids that must not be the last of a sequence of this length."""
        early = [self.eot_id] if length < self.min_length else []
        return [self.sot_id, self.pad_id, *early]

    def is_end(self, ids: Tensor) -> Tensor:
        """Which ids end their sequences."""
        return ids == self.eot_id


def penalise_repetition(logits: Tensor, sequences: Tensor, penalty: float) -> Tensor:
    """The logits by CTRL's rule: the penalty divides positive ones of ids that already occur, and multiplies others."""
    if penalty == 1.0:
        return logits
    sequences = sequences.where(sequences < logits.shape[1], sequences[:, :1])  # a prompt may hold what is only read
    seen = logits.gather(1, sequences)
    return logits.scatter(1, sequences, torch.where(seen < 0, seen * penalty, seen / penalty))
