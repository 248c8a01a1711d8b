"""When a caption counts as right: the one definition that confidence is calibrated on.

Receives a caption and what people wrote about the same picture. Knows nothing about models.
"""

from collections.abc import Sequence

from cocasearch.evaluation.everyday_objects import content_of, objects_in

LEAST_SHARED = 0.5
"""How much of what a right caption says people must have said too."""


def is_right(caption: str, references: Sequence[str]) -> bool:
    """Whether a caption is right, as far as people's captions of the same picture tell.

    It is if it invents nothing and says enough that is true: people named every everyday object that it names, and at
    least half of what it says (its objects and its other content words, each counted once) is in what people said. A
    caption without everyday objects has only the second to fulfil; one that says nothing is not right. Words must
    agree as they are written, but for synonyms and plurals of objects: "runs" is not "running".
    """
    said = content_of(caption)
    people_said = frozenset(part for text in references for part in content_of(text))
    shares_enough = bool(said) and len(said & people_said) >= LEAST_SHARED * len(said)
    return shares_enough and set(objects_in(caption)) <= people_said
