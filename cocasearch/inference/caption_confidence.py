"""How far a generated caption can be trusted: a probability that it is right, and where a sure one begins."""

SURE_FROM = 0.5
"""Captions of at least this confidence count as sure: they are more likely right than wrong."""


def is_sure(confidence: float | None) -> bool:
    """Whether a caption of this confidence, from 0 to 1, counts as sure; so does one that nobody has judged."""
    return confidence is None or confidence >= SURE_FROM
