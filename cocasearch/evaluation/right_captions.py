"""The definition of a right caption, on which confidence is calibrated."""

from collections.abc import Sequence

from cocasearch.text.everyday_objects import content_of, objects_in


def is_right(caption: str, references: Sequence[str]) -> bool:
    """Whether a caption is right in the main, as far as people's captions of the same image show.

    It is right if people named more than half of the everyday objects that it names, each counted as often as it is
    named, and said at least half of what it says: its objects and its other content words, each counted once. People
    leave out much of what they see, such as what somebody wears, so one thing that nobody mentioned makes no caption
    wrong. A caption without everyday objects has only the second condition to meet; one that says nothing is not right.
    """
    named, said = objects_in(caption), content_of(caption)
    people_said = frozenset(part for text in references for part in content_of(text))
    names_enough = not named or 2 * sum(name in people_said for name in named) > len(named)
    return names_enough and bool(said) and 2 * len(said & people_said) >= len(said)
