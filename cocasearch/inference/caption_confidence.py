"""How far a generated caption can be trusted: a probability that it is right, and where a sure one begins.

Three features go into it: the cosine of photo and caption, the mean log-probability of the caption's tokens, and how
far the other sequences that the search finished name the same things. The model's `ConfidenceModel` weighs them.
"""

import math
from collections.abc import Sequence

from cocasearch.checkpoints.confidence_file import ConfidenceModel
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.text.everyday_objects import objects_in
from cocasearch.text.words import content_words

SURE_FROM = 0.5
"""Captions of at least this confidence count as sure: they are more likely right than wrong."""


def is_sure(confidence: float | None) -> bool:
    """Whether a caption of this confidence, from 0 to 1, counts as sure; so does one without a confidence."""
    return confidence is None or confidence >= SURE_FROM


def agreement(texts: Sequence[str], logprobs: Sequence[float], chosen: int) -> float:
    """How far the other finished sequences of one image name what the chosen one names, from 0 to 1.

    For each everyday object in the chosen one (or each content word, if it names no object) this is the share of the
    other sequences that name it too, each weighted by its probability. The least of these shares counts, since a
    caption is as doubtful as the most doubtful thing in it. It is 1 if there is no other sequence, as in greedy search
    and sampling, or nothing to agree with.

    Args:
        texts: The sequences in words.
        logprobs: The log-probability of each whole sequence, at most 0.
        chosen: The position of the chosen one among them.
    """
    named_in = objects_in if objects_in(texts[chosen]) else content_words
    things = set(named_in(texts[chosen]))
    others = [at for at in range(len(texts)) if at != chosen]
    if not (things and others):
        return 1.0
    likeliest = max(logprobs[at] for at in others)
    named = [(set(named_in(texts[at])), math.exp(logprobs[at] - likeliest)) for at in others]
    total = sum(weight for _, weight in named)
    return min(sum(weight for other, weight in named if thing in other) for thing in things) / total


def confidence_model_for(calibrated: ConfidenceModel | None, options: CaptionOptions) -> ConfidenceModel | None:
    """The confidence model for captions that are written with these options; None if there is none.

    Features mean the same only for captions that were written in the same way: a greedy one has no other to agree with,
    and another length or prompt shifts the log-probabilities. So all options must be those of the calibration.

    Args:
        calibrated: The model's own confidence model, if it has one.
        options: The options, completed for the model (`LoadedModel.complete`).
    """
    return calibrated if calibrated and calibrated.options == options.to_dict() else None
