"""Captioned data -> what is to be known of it before a model learns from it.

Receives what was read of a source, and a model's tokenizer; hands on a `DataReport`: counts, lengths, and every row and
image that is out of order. Knows nothing about printing.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Literal

from cocasearch.captioned_data.captioned_image import CaptionedData
from cocasearch.captioned_data.duplicates.near_duplicates import (
    PerceptualHashes,
    Twin,
    find_twins,
    find_twins_between,
    hash_images,
)

TINY_SIDE = 64  # pixels of the shorter side
HUGE_MEGAPIXELS = 40.0

Kind = Literal[
    "bad row", "missing", "unreadable", "same as", "nearly same as", "also in validation", "nearly in validation",
    "long caption", "tiny", "huge",
]  # fmt: skip
SPOILING: tuple[Kind, ...] = ("bad row", "missing", "unreadable", "also in validation", "nearly in validation")
"""What training leaves out; the rest is worth knowing."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Problem:
    """One thing out of order: an image or row (`path`), what is wrong with it, and the particulars."""

    path: str
    problem: Kind
    detail: str


@dataclass(frozen=True)
class Lengths:
    """How long captions are, in tokens with start and end, against what a model reads of them."""

    median: int
    most: int
    context: int
    cut: int  # captions of which the end is not read


@dataclass(frozen=True)
class DataReport:
    """What a source of captioned data holds.

    Attributes:
        source: As the user wrote it.
        images: Images that are there.
        captions: Captions of them.
        captions_per_image: The least, the median and the most.
        distinct_captions: Captions that differ.
        shared_captions: Those that more than one image has.
        lengths: In the tokens of a model.
        problems: All that is out of order, one kind after the other.
    """

    source: str
    images: int
    captions: int
    captions_per_image: tuple[int, int, int]
    distinct_captions: int
    shared_captions: int
    lengths: Lengths
    problems: list[Problem] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many problems of each kind there are, of the kinds that there are."""
        return dict(Counter(problem.problem for problem in self.problems))

    @property
    def is_spoiled(self) -> bool:
        """Whether training would leave something out."""
        return any(problem.problem in SPOILING for problem in self.problems)

    def to_dict(self) -> dict[str, object]:
        """The report as `data check --json` prints it."""
        return {**asdict(self), "counts": self.counts()}


def check_data(
    data: CaptionedData,
    count_tokens: Callable[[str], int],
    context_length: int,
    *,
    validation: CaptionedData | None = None,
    progress: Progress | None = None,
) -> DataReport:
    """Look at every caption and every image of a source.

    Args:
        data: As it was read.
        count_tokens: The tokens of a caption, with start and end.
        context_length: How many of them the model reads.
        validation: Data whose images must not be among those of the source.
        progress: Called with what is being looked at, how much is done and how much there is.
    """
    tell = progress or (lambda _what, _done, _total: None)
    per_image = sorted(len(image.captions) for image in data)
    owners = Counter(caption for image in data for caption in set(image.captions))
    tokens = {caption: count_tokens(caption) for caption in owners}
    lengths = sorted(tokens[caption] for image in data for caption in image.captions)
    hashes = hash_images(data.images, lambda done, total: tell("looking at photos", done, total))
    problems = [Problem(bad.where, "bad row", bad.reason) for bad in data.bad_rows]
    problems += [Problem(bad.where, "missing", bad.reason) for bad in data.missing]
    problems += _of_images(hashes, lambda done, total: tell("comparing photos", done, total))
    if validation is not None:
        held_out = hash_images(validation.images, lambda done, total: tell("looking at the others", done, total))
        problems += _in_validation(hashes, held_out)
    problems += [
        Problem(image.key, "long caption", f"{tokens[caption]} tokens of {context_length}: {caption}")
        for image in data
        for caption in image.captions
        if tokens[caption] > context_length
    ]
    return DataReport(
        source=data.source,
        images=len(data),
        captions=len(lengths),
        captions_per_image=(per_image[0], per_image[len(per_image) // 2], per_image[-1]),
        distinct_captions=len(owners),
        shared_captions=sum(count > 1 for count in owners.values()),
        lengths=Lengths(
            lengths[len(lengths) // 2], lengths[-1], context_length, sum(length > context_length for length in lengths)
        ),
        problems=problems,
    )


def _of_images(hashes: PerceptualHashes, progress: Callable[[int, int], None]) -> Iterator[Problem]:
    keys = [image.key for image in hashes.images]
    yield from (Problem(keys[at], "unreadable", reason) for at, reason in hashes.unreadable.items())
    twins = find_twins(hashes, progress)
    yield from (Problem(keys[twin.second], "same as", keys[twin.first]) for twin in twins if twin.is_exact)
    yield from (Problem(keys[twin.second], "nearly same as", keys[twin.first]) for twin in twins if not twin.is_exact)
    for key, image_hash in zip(keys, hashes.hashes, strict=True):
        if image_hash and min(image_hash.width, image_hash.height) < TINY_SIDE:
            yield Problem(key, "tiny", f"{image_hash.width} x {image_hash.height} pixels")
        if image_hash and image_hash.width * image_hash.height > HUGE_MEGAPIXELS * 1e6:
            yield Problem(key, "huge", f"{image_hash.width * image_hash.height / 1e6:.0f} megapixels")


def _in_validation(hashes: PerceptualHashes, held_out: PerceptualHashes) -> list[Problem]:
    def problem(twin: Twin) -> Problem:
        kind: Kind = "also in validation" if twin.is_exact else "nearly in validation"
        return Problem(hashes.images[twin.second].key, kind, held_out.images[twin.first].key)

    return sorted(map(problem, find_twins_between(hashes, held_out)), key=lambda found: found.problem)
