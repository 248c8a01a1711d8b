"""When a caption counts as right: the one definition that confidence is calibrated on.

Receives a caption and what people wrote about the same picture. Knows nothing about models.
"""

from collections.abc import Sequence

from cocasearch.evaluation.everyday_objects import content_of, objects_in


def is_right(caption: str, references: Sequence[str]) -> bool:
    """Whether a caption is right in the main, as far as people's captions of the same picture tell.

    It is if people named more than half of the everyday objects that it names, each as often as it names it. People
    leave out much of what they see, such as what somebody wears, so one object that nobody named makes no caption
    wrong. Of a caption without everyday objects at least half of its content words must be people's; one that says
    nothing is not right.
    """
    named = objects_in(caption)
    people_said = frozenset(part for text in references for part in content_of(text))
    if named:
        return 2 * sum(name in people_said for name in named) > len(named)
    said = content_of(caption)
    return bool(said) and 2 * len(said & people_said) >= len(said)
