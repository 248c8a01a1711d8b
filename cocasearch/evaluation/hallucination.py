"""CHAIR: how often captions name objects that are not there, by the captions that people wrote.

The metric is that of Rohrbach et al. 2018, "Object Hallucination in Image Captioning". An object is there if people
named it (`everyday_objects`) in their captions of the same image; the paper uses outlines of objects as well. People
leave out much of what they see, the more so the fewer of them wrote: with one caption per image the figures overstate
hallucination a good deal, with five somewhat. Compare models on the same data only.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from cocasearch.inference.caption_confidence import is_sure
from cocasearch.text.everyday_objects import objects_in


@dataclass(frozen=True)
class NamedObjects:
    """The objects that a caption names, beside those that people named.

    Attributes:
        named: The object of each word of the caption that names one.
        there: The objects that people named.
    """

    named: tuple[str, ...]
    there: frozenset[str]

    @property
    def invented(self) -> int:
        """The number of the caption's object words whose object nobody named."""
        return sum(name not in self.there for name in self.named)


@dataclass(frozen=True)
class Hallucination:
    """Figures of how often captions name what is not there; all but the count are from 0 to 1.

    Attributes:
        per_caption: The share of captions with an object that is not there, CHAIR_s.
        per_object_word: The share of object words whose object is not there, CHAIR_i; 0 without object words.
        n_object_words: Number of words or phrases in the captions that name an object.
        object_recall: The share of the objects named by people that the captions name, too.
    """

    per_caption: float
    per_object_word: float
    n_object_words: int
    object_recall: float


@dataclass(frozen=True)
class HallucinationReport:
    """The figures of all captions, and of the sure ones alone.

    Attributes:
        every: Figures of all captions.
        sure: Figures of the sure captions; None if no caption has a confidence, or none is sure.
        share_sure: The share of captions that are sure, from 0 to 1; None if none has a confidence.
    """

    every: Hallucination
    sure: Hallucination | None = None
    share_sure: float | None = None

    def to_dict(self) -> dict[str, object]:
        """The figures as `eval --json` prints them."""
        if self.share_sure is None:
            return {**asdict(self.every), "sure": None}
        nothing = dict.fromkeys(asdict(self.every)) | {"n_object_words": 0}
        figures = asdict(self.sure) if self.sure else nothing
        return {**asdict(self.every), "sure": {**figures, "share": self.share_sure}}


def named_objects(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[NamedObjects]:
    """The objects that each caption names, beside those that the references of its image name."""
    return [
        NamedObjects(objects_in(caption), frozenset(name for text in texts for name in objects_in(text)))
        for caption, texts in zip(captions, references, strict=True)
    ]


def hallucination(images: Sequence[NamedObjects]) -> Hallucination:
    """The figures of one or more captions."""
    words = sum(len(image.named) for image in images)
    there = sum(len(image.there) for image in images)
    return Hallucination(
        per_caption=sum(image.invented > 0 for image in images) / len(images),
        per_object_word=sum(image.invented for image in images) / max(words, 1),
        n_object_words=words,
        object_recall=sum(len(image.there & set(image.named)) for image in images) / max(there, 1),
    )


def hallucination_report(
    captions: Sequence[str], references: Sequence[Sequence[str]], confidences: Sequence[float | None]
) -> HallucinationReport:
    """The figures of one caption per image, at least one, against the captions that people wrote for it.

    Args:
        captions: A caption of each image.
        references: One text or more for each image.
        confidences: The confidence of each caption, from 0 to 1; None if it has none.
    """
    images = named_objects(captions, references)
    every = hallucination(images)
    if all(confidence is None for confidence in confidences):
        return HallucinationReport(every)
    sure = [image for image, confidence in zip(images, confidences, strict=True) if is_sure(confidence)]
    return HallucinationReport(every, hallucination(sure) if sure else None, len(sure) / len(images))
