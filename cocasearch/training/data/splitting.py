"""Pictures to learn from and pictures to measure on, kept apart by what they show and not by what they are called.

Receives captioned pictures; opens them only to compare them. A picture under two names falls on one side, and what is
nearly the same as a picture to measure on is not learned from: recall would rise without anything being learned.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cocasearch.captioned_data.captioned_image import CaptionedImage
from cocasearch.captioned_data.duplicates.near_duplicates import (
    Twin,
    find_same_between,
    find_twins_between,
    hash_images,
)
from cocasearch.errors import CocaSearchError

Pictures = list[CaptionedImage]

# Above that share of pictures that are nearly the same as one held out, the kind itself looks alike: charts, forms,
# drawings. Their captions tell apart what the comparison does not, and without them little would be left to learn from.
LOOK_ALIKE = 0.1

MEASURED_APART_FROM = 200  # pictures that are held out; half of fewer would show too little


def hold_out(images: Sequence[CaptionedImage], count: int, *, seed: int) -> tuple[Pictures, Pictures]:
    """Pictures to train on and pictures set aside, at most a fifth of all.

    The split is by picture, not by caption; files of the same bytes must be one picture already (`unite_copies`).
    """
    return _divided(images, min(count, len(images) // 5), f"{seed}/held out")


def validation_and_test(held_out: Pictures, *, seed: int) -> tuple[Pictures, Pictures]:
    """The pictures by which weights are chosen, and those that show what the chosen ones are worth.

    They are halves, since what was chosen by pictures looks a little too good on them; too few are both.
    """
    if len(held_out) < MEASURED_APART_FROM:
        return held_out, held_out
    return _divided(held_out, len(held_out) // 2, f"{seed}/judging")


def _divided(images: Sequence[CaptionedImage], count: int, seed: str) -> tuple[Pictures, Pictures]:
    """The rest, and so many that are drawn at random."""
    chosen = set(random.Random(seed).sample(range(len(images)), count))
    rest = [image for position, image in enumerate(images) if position not in chosen]
    return rest, [image for position, image in enumerate(images) if position in chosen]


@dataclass(frozen=True)
class Excluded:
    """What is not learned from.

    Attributes:
        same: Key of each training picture that is also measured on, byte for byte, and of that picture there.
        nearly_same: Those that are recompressed, resized or slightly changed, likewise.
        unreadable: Key and reason of each that cannot be read.
        alike: How many are nearly the same as one that is measured on and yet learned from, as the kind looks alike.
    """

    same: list[tuple[str, str]]
    nearly_same: list[tuple[str, str]]
    unreadable: list[tuple[str, str]]
    alike: int = 0

    def reasons(self) -> list[tuple[str, str]]:
        """Key of each picture, and why it is not learned from."""
        return [
            *((key, f"measured on, byte for byte, as {other}") for key, other in self.same),
            *((key, f"nearly the same as {other}, which is measured on") for key, other in self.nearly_same),
            *self.unreadable,
        ]


@dataclass(frozen=True)
class Alike:
    """What pictures to learn from have to do with those to measure on.

    Attributes:
        twins: Pairs that are the same: `first` counts in those to measure on, `second` in those to learn from.
        unreadable: Reason of each picture to learn from that cannot be read, by position.
    """

    twins: list[Twin]
    unreadable: dict[int, str]


def find_alike(
    images: Pictures, held_out: Pictures, *, near: bool, progress: Callable[[str, int, int], None] | None = None
) -> Alike:
    """The pictures to learn from that are also measured on.

    Args:
        images: Pictures to learn from.
        held_out: Pictures to measure on.
        near: Find what is nearly the same as well, which opens each picture once, and what cannot be read.
        progress: Called with what is being done, how much is done and how much there is.
    """
    report = progress or (lambda _what, _done, _total: None)
    if not near:
        return Alike(find_same_between(images, held_out), {})
    looks = hash_images(images, lambda done, total: report("comparing photos", done, total))
    held_out_looks = hash_images(held_out, lambda done, total: report("comparing those held out", done, total))
    return Alike(find_twins_between(looks, held_out_looks), looks.unreadable)


def keep_apart(
    sources: Sequence[Pictures], held_out: Pictures, alike: Alike, *, most_alike: float = 1.0
) -> tuple[list[Pictures], Excluded]:
    """The sources without the pictures that are also among those to measure on.

    Args:
        sources: Pictures to learn from.
        held_out: Pictures to measure on.
        alike: What `find_alike` found; it is excluded, and so is what cannot be read.
        most_alike: If a larger share of the sources is nearly the same, that is of the kind and not of copies, and
            what is nearly the same is kept.

    Raises:
        CocaSearchError: Nothing is left of a source.
    """
    images = [image for source in sources for image in source]
    twins, unreadable = alike.twins, alike.unreadable
    n_near = sum(not twin.is_exact for twin in twins)
    if n_near > most_alike * len(images):
        twins = [twin for twin in twins if twin.is_exact]
    else:
        n_near = 0
    gone = {twin.second for twin in twins} | unreadable.keys()
    kept: list[Pictures] = []
    start = 0
    for source in sources:
        kept.append([image for at, image in enumerate(source, start=start) if at not in gone])
        start += len(source)
        if source and not kept[-1]:
            raise CocaSearchError(
                "nothing is left to train on: all of it is also measured on, or cannot be read",
                hint="other photos with --val, or cocasearch data check DATA",
            )

    def pairs(exact: bool) -> list[tuple[str, str]]:
        return [(images[twin.second].key, held_out[twin.first].key) for twin in twins if twin.is_exact is exact]

    return kept, Excluded(pairs(True), pairs(False), [(images[at].key, why) for at, why in unreadable.items()], n_near)
