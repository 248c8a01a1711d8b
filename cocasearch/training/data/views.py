"""Pictures -> views of them, decoded and augmented by threads ahead of the model, or read as cached features.

A view is new each time it is drawn, or one of the few that a run with `fixed_views` has of a picture. Knows nothing of
captions and steps.
"""

import bisect
import hashlib
import itertools
import json
import os
import random
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple, TypeVar

from torch import Tensor

from cocasearch.byte_range import ImageSource, shown_content
from cocasearch.errors import UnreadableImage
from cocasearch.images.decoding import read_image
from cocasearch.images.transforms import Preprocess
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.augmentation import augment
from cocasearch.training.data.frozen_features import FeatureFile
from cocasearch.training.step.launch import processes_of_machine

STEPS_AHEAD = 2
_MOST_WORKERS = 16

Work = TypeVar("Work")
Read = TypeVar("Read")


class NamedPicture(NamedTuple):
    """Where a picture is, and the name that it is reported by."""

    image: ImageSource
    key: str


class View(NamedTuple):
    """One view of a picture: what the seed makes of it, which also names it if it is one of a few."""

    picture: NamedPicture
    seed: int
    is_fixed: bool = False


class Views:
    """The views of all pictures of a run, which are numbered through.

    Args:
        groups: The pictures, in groups whose first numbers are `first_numbers`.
        preprocess: What becomes of a picture after it is augmented.

    Attributes:
        first_numbers: Of each group's pictures, and at the end how many there are in all.
        features: Read instead of pictures, where they are cached.
    """

    def __init__(self, groups: Sequence[Sequence[NamedPicture]], preprocess: Preprocess) -> None:
        self.first_numbers = list(itertools.accumulate(map(len, groups), initial=0))
        self.features: FeatureFile | None = None
        self._groups, self._preprocess = groups, preprocess
        self._contents: dict[int, str] = {}

    def __len__(self) -> int:
        """How many pictures there are."""
        return self.first_numbers[-1]

    def draw(self, config: TrainingConfig, number: int, rng: random.Random) -> View:
        """A new view of a picture, or one of the few that there are of it."""
        if not config.data.fixed_views:
            return View(self._picture(number), rng.getrandbits(60))
        return self._fixed(config, rng.randrange(config.data.fixed_views), number)

    def any_of(self, config: TrainingConfig, number: int) -> View:
        """A view of a picture that can be read if any can."""
        return self._fixed(config, 0, number) if self.features else View(self._picture(number), 0)

    def read(self, config: TrainingConfig, view: View) -> Tensor:
        """The pixels (3, S, S) of a view, or its features.

        Raises:
            UnreadableImage: The picture cannot be read.
        """
        if self.features is None or not view.is_fixed:
            return self._pixels(config, view)
        features = self.features.row(view.seed)
        if isinstance(features, str):
            raise UnreadableImage(view.picture.key, features)
        return features

    def fixed_keys(self, config: TrainingConfig) -> list[int]:
        """64 bits that name each of the few views that a run sees: the first of every picture, then the second ones."""
        return [
            self._fixed(config, turn, number).seed
            for turn in range(config.data.fixed_views)
            for number in range(len(self))
        ]

    def read_fixed(
        self, config: TrainingConfig, numbers: Sequence[int], size: int
    ) -> Iterator[tuple[Sequence[int], list[Tensor | str]]]:
        """Those of the few views, by their number in `fixed_keys`: `size` numbers at a time, decoded ahead.

        With the numbers come their pixels (3, S, S), or the reason why a picture cannot be read.
        """
        groups = (numbers[start : start + size] for start in range(0, len(numbers), size))
        work = ((group, [self._fixed(config, *divmod(number, len(self))) for number in group]) for group in groups)
        with closing(read_ahead(work, lambda view: self._pixels_or_reason(config, view), config.data.workers)) as read:
            for group, futures in read:
                yield group, [future.result() for future in futures]

    def _fixed(self, config: TrainingConfig, turn: int, number: int) -> View:
        """One of the few views of a picture, which is the same in every run and beside whatever other pictures."""
        picture = self._picture(number)
        if number not in self._contents:  # once: a picture in memory is read whole
            self._contents[number] = json.dumps([picture.key, shown_content(picture.image)])
        identity = f"{config.run.seed}/{turn}/{self._contents[number]}".encode()
        bits = int.from_bytes(hashlib.blake2b(identity, digest_size=8).digest(), "little")
        return View(picture, bits, is_fixed=True)

    def _picture(self, number: int) -> NamedPicture:
        group = bisect.bisect_right(self.first_numbers, number) - 1
        return self._groups[group][number - self.first_numbers[group]]

    def _pixels(self, config: TrainingConfig, view: View) -> Tensor:
        size = self._preprocess.config.image_size
        try:
            picture, _ = read_image(view.picture.image, min_side=self._preprocess.min_decode_side)
        except UnreadableImage as error:
            raise UnreadableImage(view.picture.key, error.reason) from error
        return self._preprocess(augment(picture, config.augmentation, size=size, seed=view.seed))

    def _pixels_or_reason(self, config: TrainingConfig, view: View) -> Tensor | str:
        try:
            return self._pixels(config, view)
        except UnreadableImage as error:
            return error.reason


def read_ahead(
    work: Iterable[tuple[Work, Sequence[View]]], read: Callable[[View], Read], workers: int
) -> Generator[tuple[Work, list[Future[Read]]], None, None]:
    """What is read for each piece of work, in its order, while threads read for the pieces after it.

    Args:
        work: Each piece, with the views that it needs.
        read: What is done to a view.
        workers: The number of threads; 0 for as many as this process has cores.
    """
    pool = ThreadPoolExecutor(workers or own_cores(), thread_name_prefix="training-views")
    ahead: deque[tuple[Work, list[Future[Read]]]] = deque()
    try:
        for piece, views in work:
            ahead.append((piece, [pool.submit(read, view) for view in views]))
            if len(ahead) > STEPS_AHEAD:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def own_cores() -> int:
    """How many threads a process has cores for, among those on its machine that train together: from 2 to 16."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_WORKERS, max(2, cores // processes_of_machine()))
