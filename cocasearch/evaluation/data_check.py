"""A check of captioned data before a model learns from it: counts, lengths, and every row and image with a problem."""

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
"""The problems for which training skips something; the others are only worth knowing."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Problem:
    """A problem of an image or row (`path`), with its kind and the particulars."""

    path: str
    problem: Kind
    detail: str


@dataclass(frozen=True)
class Lengths:
    """The lengths of captions in tokens, with start and end, beside the number that a model reads."""

    median: int
    most: int
    context: int
    cut: int  # captions of which the end is not read


@dataclass(frozen=True)
class DataReport:
    """The content of a source of captioned data.

    Attributes:
        source: The source as the user wrote it.
        images: Number of images that exist.
        captions: Number of their captions.
        captions_per_image: The least, the median and the greatest number of captions of an image.
        distinct_captions: Number of different captions.
        shared_captions: Number of captions that more than one image has.
        lengths: The lengths of captions in a model's tokens.
        problems: The problems, one kind after the other.
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
        """The number of problems of each kind, without kinds that do not occur."""
        return dict(Counter(problem.problem for problem in self.problems))

    @property
    def is_spoiled(self) -> bool:
        """Whether training would skip something."""
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
    """Check every caption and every image of a source.

    Args:
        data: The source as it was read.
        count_tokens: Function that gives the number of tokens of a caption, with start and end.
        context_length: Number of tokens that the model reads.
        validation: Data whose images must not be among those of the source.
        progress: Called with what is being done, how much is done and how much there is.
    """
    report = progress or (lambda _what, _done, _total: None)
    per_image = sorted(len(image.captions) for image in data)
    owners = Counter(caption for image in data for caption in set(image.captions))
    tokens = {caption: count_tokens(caption) for caption in owners}
    lengths = sorted(tokens[caption] for image in data for caption in image.captions)
    hashes = hash_images(data.images, lambda done, total: report("looking at photos", done, total))
    problems = [Problem(bad.where, "bad row", bad.reason) for bad in data.bad_rows]
    problems += [Problem(bad.where, "missing", bad.reason) for bad in data.missing]
    problems += _of_images(hashes, lambda done, total: report("comparing photos", done, total))
    if validation is not None:
        held_out = hash_images(validation.images, lambda done, total: report("looking at the others", done, total))
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

    return sorted(map(problem, find_twins_between(hashes, held_out)), key=lambda one: one.problem)
