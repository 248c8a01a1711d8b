"""Captions and what people wrote -> how often captions name what is not there: CHAIR.

Rohrbach et al. 2018, "Object Hallucination in Image Captioning". What is there is what people named in their captions
of the same image, as everyday objects (`everyday_objects`); no outlines of objects are asked for, as the paper does
beside captions. People leave out much of what they see, the more so the fewer of them wrote: with one caption per
image the figures overstate hallucination a good deal, with five somewhat. Compare models on the same data only.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from cocasearch.inference.caption_confidence import is_sure
from cocasearch.text.everyday_objects import objects_in


@dataclass(frozen=True)
class NamedObjects:
    """What one caption names beside what people named.

    Attributes:
        named: The object of each word that names one, as often as it does.
        there: The objects that people named.
    """

    named: tuple[str, ...]
    there: frozenset[str]

    @property
    def invented(self) -> int:
        """How many of the caption's object words nobody's caption bears out."""
        return sum(name not in self.there for name in self.named)


@dataclass(frozen=True)
class Hallucination:
    """How often captions name what is not there; every figure but the count is from 0 to 1.

    Attributes:
        per_caption: The share of captions with an object that is not there, CHAIR_s.
        per_object_word: The share of object words of objects that are not there, CHAIR_i; 0 without any such word.
        n_object_words: How many words or phrases of the captions name an object.
        object_recall: The share of the objects which people named that the captions name too.
    """

    per_caption: float
    per_object_word: float
    n_object_words: int
    object_recall: float


@dataclass(frozen=True)
class HallucinationReport:
    """The figures of all captions, and of the sure ones alone.

    Attributes:
        every: Of all captions.
        sure: Of those whose confidence makes them sure; None where no caption has a confidence, or none is sure.
        share_sure: The share of captions that are sure, 0 to 1; None where none has a confidence.
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
    """What each caption names beside what the references of its image name."""
    return [
        NamedObjects(objects_in(caption), frozenset(name for text in texts for name in objects_in(text)))
        for caption, texts in zip(captions, references, strict=True)
    ]


def hallucination(images: Sequence[NamedObjects]) -> Hallucination:
    """The figures of some captions, at least one."""
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
        captions: One per image.
        references: For each image, one text or more.
        confidences: Of each caption, from 0 to 1; None where it has none.
    """
    images = named_objects(captions, references)
    every = hallucination(images)
    if all(confidence is None for confidence in confidences):
        return HallucinationReport(every)
    sure = [image for image, confidence in zip(images, confidences, strict=True) if is_sure(confidence)]
    return HallucinationReport(every, hallucination(sure) if sure else None, len(sure) / len(images))
