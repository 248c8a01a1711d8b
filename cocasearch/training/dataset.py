"""Captioned and labelled pictures -> training batches, the same ones for the same seed and step.

Every random choice of a step comes from (seed, step), so a resumed run sees what an uninterrupted one would have.
Worker threads decode and augment ahead of the model; a picture that cannot be read is left out and named at the end.
"""

import bisect
import functools
import hashlib
import itertools
import json
import os
import random
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cocasearch.captioned_data import CaptionedImage
from cocasearch.checkpoints.sentence_encoder import SENTENCE_WIDTH
from cocasearch.counting import counted
from cocasearch.errors import CocaSearchError, UnreadableImage
from cocasearch.file_parts import PictureSource, shown_content
from cocasearch.images.decoding import read_image
from cocasearch.images.transforms import Preprocess
from cocasearch.model.text_decoder import trim_padding
from cocasearch.text.tokenizer import Tokenizer
from cocasearch.training.augmentation import augment
from cocasearch.training.class_names import in_template
from cocasearch.training.config import TrainingConfig
from cocasearch.training.frozen_features import FeatureFile
from cocasearch.training.sentence_vectors import SentenceVectors

STEPS_AHEAD = 2
_MOST_WORKERS = 16
# A label as people would write it below a picture.
CAPTION_TEMPLATES = ("{a} {name}.", "a photo of {a} {name}.", "a close up of {a} {name}.")


@dataclass(frozen=True)
class Source:
    """Pictures of one kind; `weight` is their share of each step relative to the other sources'."""

    images: list[CaptionedImage]
    weight: float


@dataclass(frozen=True)
class LabelledImages:
    """Pictures with a class index each, for the name loss; `names` are the words of every class."""

    images: list[PictureSource]
    classes: list[int]
    names: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class TrainingBatch:
    """B pictures with T captions in all; `owners` (T,) names each caption's picture.

    Where features are cached, these stand in the place of pixels.

    `labelled_pixels` (B', 3, S, S), `labels` (B',) and the captions made of them `labelled_ids` (B', L') are empty
    without labelled pictures.
    """

    pixels: Tensor
    ids: Tensor  # (T, L), cut after the longest caption
    owners: Tensor
    labelled_pixels: Tensor
    labels: Tensor
    labelled_ids: Tensor
    sentences: Tensor = field(default_factory=lambda: torch.empty(0, SENTENCE_WIDTH))  # (T, D), none without a teacher


class _View(NamedTuple):
    """One view of a picture: what the seed makes of it, which also names it if it is one of a few."""

    image: PictureSource
    key: str
    seed: int
    is_fixed: bool = False


@dataclass
class TrainingData:
    """All that a run trains on.

    `unreadable` gathers what could not be decoded, by key; with `features` these are read instead of pictures.
    `sentences` is what every caption means, where a run learns that.
    """

    sources: Sequence[Source]
    tokenizer: Tokenizer
    preprocess: Preprocess
    context_length: int
    labelled: LabelledImages | None = None
    unreadable: dict[str, str] = field(default_factory=dict)
    features: FeatureFile | None = None
    sentences: SentenceVectors | None = None
    _contents: dict[int, str] = field(default_factory=dict)

    def captions(self) -> list[str]:
        """Every caption once, in the order of the pictures."""
        return list(
            dict.fromkeys(text for source in self.sources for image in source.images for text in image.captions)
        )

    def __post_init__(self) -> None:
        if not self.sources or not all(source.images for source in self.sources):
            raise CocaSearchError("there are no captioned pictures to train on")
        # Captions are tokenized once; a row is the ids without padding.
        self._ids = [
            [self.tokenizer(image.captions, self.context_length) for image in source.images] for source in self.sources
        ]
        sizes = [len(source.images) for source in self.sources]
        self._first_numbers = list(itertools.accumulate(sizes, initial=0))  # of each source's pictures, then labelled

    @property
    def n_pictures(self) -> int:
        """How many pictures there are, labelled ones included."""
        return self._first_numbers[-1] + (len(self.labelled.images) if self.labelled else 0)

    def fixed_view_keys(self, config: TrainingConfig) -> list[int]:
        """64 bits that name each of the few views that a run sees: the first of every picture, then the second ones."""
        return [
            self._fixed_view(config, turn, number).seed
            for turn in range(config.fixed_views)
            for number in range(self.n_pictures)
        ]

    def fixed_views(
        self, config: TrainingConfig, numbers: Sequence[int], size: int
    ) -> Iterator[tuple[Sequence[int], list[Tensor | str]]]:
        """Those of the few views, by their number in `fixed_view_keys`: `size` numbers at a time, decoded ahead.

        With the numbers come their pixels (3, S, S), or the reason why a picture cannot be read.
        """
        pool = ThreadPoolExecutor(config.workers or own_cores(), thread_name_prefix="fixed-views")
        ahead: deque[tuple[Sequence[int], list[Future[Tensor | str]]]] = deque()
        groups = [numbers[start : start + size] for start in range(0, len(numbers), size)]
        try:
            for group in groups:
                views = [self._fixed_view(config, *divmod(number, self.n_pictures)) for number in group]
                ahead.append((group, [pool.submit(self._pixels_or_reason, config, view) for view in views]))
                if len(ahead) > STEPS_AHEAD:
                    done, futures = ahead.popleft()
                    yield done, [future.result() for future in futures]
            for done, futures in ahead:
                yield done, [future.result() for future in futures]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _pixels_or_reason(self, config: TrainingConfig, view: "_View") -> Tensor | str:
        try:
            return self._pixels(config, view)
        except UnreadableImage as error:
            return error.reason

    def steps_per_pass(self, config: TrainingConfig) -> int:
        """Steps until every picture of the first source was seen once."""
        return max(1, round(len(self.sources[0].images) / self._shares(config)[0]))

    def batches(
        self, config: TrainingConfig, *, first_step: int, steps: int, rank: int = 0, processes: int = 1
    ) -> Generator[TrainingBatch, None, None]:
        """Batches of the steps from `first_step` up to `steps`; closing the iterator stops the workers.

        Of several processes each reads its own share of every step; together they read what one alone would.

        Raises:
            CocaSearchError: A step has fewer pictures than there are processes.
        """
        if (pictures := sum(self._shares(config))) < processes:
            raise CocaSearchError(
                f"a step of {counted(pictures, 'picture')} cannot be shared by {processes} processes",
                hint=f"images_per_step of {processes} at least, or fewer processes",
            )
        pool = ThreadPoolExecutor(config.workers or own_cores(), thread_name_prefix="training-views")
        ahead: deque[tuple[_Plan, list[Future[Tensor]]]] = deque()
        try:
            for step in range(first_step, steps):
                plan = self._plan(config, step).share(rank, processes)
                ahead.append((plan, [pool.submit(self._view, config, view) for view in plan.views]))
                if len(ahead) > STEPS_AHEAD:
                    yield self._gather(config, *ahead.popleft())
            while ahead:
                yield self._gather(config, *ahead.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _shares(self, config: TrainingConfig) -> list[int]:
        total = sum(source.weight for source in self.sources)
        shares = [max(1, round(config.images_per_step * source.weight / total)) for source in self.sources]
        # A picture twice in a step would be its own wrong answer.
        return [min(share, len(source.images)) for share, source in zip(shares, self.sources, strict=True)]

    def _plan(self, config: TrainingConfig, step: int) -> "_Plan":
        """Which pictures, captions and labelled pictures a step trains on."""
        plan, chance = _Plan(), random.Random(f"{config.seed}/{step}")
        for number, (source, share) in enumerate(zip(self.sources, self._shares(config), strict=True)):
            for index in _chosen(len(source.images), share, step, config, f"{config.seed}/{number}"):
                image, rows = source.images[index], self._ids[number][index]
                kept = chance.sample(range(len(rows)), min(config.captions_per_image, len(rows)))
                plan.views.append(self._drawn_view(config, self._first_numbers[number] + index, chance))
                plan.captions.append(rows[kept])
                plan.sentences.append(self._sentences(image, kept))
        if self.labelled is not None:
            for position in range(step * config.labelled_per_step, (step + 1) * config.labelled_per_step):
                index = _shuffled(len(self.labelled.images), position, f"{config.seed}/labelled")
                plan.views.append(self._drawn_view(config, self._first_numbers[-1] + index, chance))
                plan.labels.append(self.labelled.classes[index])
            names = [self.labelled.names[label][0] for label in plan.labels]
            plan.label_captions = [in_template(name, chance.choice(CAPTION_TEMPLATES)) for name in names]
        return plan

    def _drawn_view(self, config: TrainingConfig, number: int, chance: random.Random) -> _View:
        """A new view of a picture, or one of the few that there are of it."""
        if not config.fixed_views:
            return _View(*self._picture(number), chance.getrandbits(60))
        return self._fixed_view(config, chance.randrange(config.fixed_views), number)

    def _fixed_view(self, config: TrainingConfig, turn: int, number: int) -> _View:
        """One of the few views of a picture, which is the same in every run and beside whatever other pictures."""
        picture, name = self._picture(number)
        if number not in self._contents:  # once: a picture in memory is read whole
            self._contents[number] = json.dumps([name, shown_content(picture)])
        of = f"{config.seed}/{turn}/{self._contents[number]}".encode()
        bits = int.from_bytes(hashlib.blake2b(of, digest_size=8).digest(), "little")
        return _View(picture, name, bits, is_fixed=True)

    def _picture(self, number: int) -> tuple[PictureSource, str]:
        """One of all pictures, captioned ones first, and the name that it is told by."""
        if number >= self._first_numbers[-1]:
            assert self.labelled is not None
            index = number - self._first_numbers[-1]
            labelled = self.labelled.images[index]
            return labelled, str(labelled) if isinstance(labelled, Path) else f"labelled picture {index}"
        source = bisect.bisect_right(self._first_numbers, number) - 1
        image = self.sources[source].images[number - self._first_numbers[source]]
        return image.image, image.key

    def _view(self, config: TrainingConfig, view: _View) -> Tensor:
        if self.features is None or not view.is_fixed:
            return self._pixels(config, view)
        features = self.features.row(view.seed)
        if isinstance(features, str):
            raise UnreadableImage(view.key, features)
        return features

    def _pixels(self, config: TrainingConfig, view: _View) -> Tensor:
        size = self.preprocess.config.image_size
        try:
            picture, _ = read_image(view.image, min_side=self.preprocess.min_decode_side)
        except UnreadableImage as error:
            raise UnreadableImage(view.key, error.reason) from error
        return self.preprocess(augment(picture, config.augmentation, size=size, seed=view.seed))

    def _gather(self, config: TrainingConfig, plan: "_Plan", futures: list[Future[Tensor]]) -> TrainingBatch:
        views: list[Tensor | None] = []
        for future in futures:
            try:
                views.append(future.result())
            except UnreadableImage as error:
                self.unreadable[error.path] = error.reason
                views.append(None)
        captioned = [
            (view, ids, sentences)
            for view, ids, sentences in zip(views, plan.captions, plan.sentences, strict=False)
            if view is not None
        ]
        labelled = [
            (view, label, caption)
            for view, label, caption in zip(views[len(plan.captions) :], plan.labels, plan.label_captions, strict=True)
            if view is not None
        ]
        if not captioned:
            captioned = [self._first_readable(config)]
        counts = torch.tensor([len(ids) for _, ids, _ in captioned])
        size, pad_id = self.preprocess.config.image_size, self.tokenizer.pad_id
        label_ids = self.tokenizer([caption for _, _, caption in labelled], self.context_length)
        return TrainingBatch(
            pixels=torch.stack([view for view, _, _ in captioned]),
            ids=trim_padding(torch.cat([ids for _, ids, _ in captioned]), pad_id),
            owners=torch.arange(len(captioned)).repeat_interleave(counts),
            labelled_pixels=torch.stack([v for v, _, _ in labelled]) if labelled else torch.empty(0, 3, size, size),
            labels=torch.tensor([label for _, label, _ in labelled], dtype=torch.long),
            labelled_ids=trim_padding(label_ids, pad_id),
            sentences=torch.cat([sentences for _, _, sentences in captioned]),
        )

    def _sentences(self, image: CaptionedImage, kept: Sequence[int]) -> Tensor:
        """What so many of a picture's captions mean, one row each; no rows where no run learns it."""
        if self.sentences is None:
            return torch.empty(0, SENTENCE_WIDTH)
        return self.sentences.of([image.captions[number] for number in kept])

    def _first_readable(self, config: TrainingConfig) -> tuple[Tensor, Tensor, Tensor]:
        """A picture, its captions and what they mean for a step none of whose own pictures can be read."""
        for first, source, ids in zip(self._first_numbers, self.sources, self._ids, strict=False):
            for number, (image, rows) in enumerate(zip(source.images, ids, strict=True), start=first):
                view = self._fixed_view(config, 0, number) if self.features else _View(*self._picture(number), 0)
                try:
                    kept = range(min(config.captions_per_image, len(rows)))
                    return self._view(config, view), rows[: len(kept)], self._sentences(image, kept)
                except UnreadableImage as error:
                    self.unreadable[error.path] = error.reason
        key, reason = next(iter(self.unreadable.items()))
        raise CocaSearchError(f"not one of the pictures to train on can be read; the first: {key}: {reason}")


@dataclass
class _Plan:
    """One step before its pictures are decoded: views of captioned pictures first, labelled ones after."""

    views: list[_View] = field(default_factory=list)
    captions: list[Tensor] = field(default_factory=list)
    sentences: list[Tensor] = field(default_factory=list)  # of each picture's captions
    labels: list[int] = field(default_factory=list)
    label_captions: list[str] = field(default_factory=list)

    def share(self, rank: int, processes: int) -> "_Plan":
        """What one of several processes reads of it."""
        own, labelled = (
            slice(count * rank // processes, count * (rank + 1) // processes)
            for count in (len(self.captions), len(self.labels))
        )
        pictures, labelled_pictures = self.views[: len(self.captions)], self.views[len(self.captions) :]
        return _Plan(
            pictures[own] + labelled_pictures[labelled],
            self.captions[own],
            self.sentences[own],
            self.labels[labelled],
            self.label_captions[labelled],
        )


def own_cores() -> int:
    """How many threads a process has cores for, among those on its machine that train together: from 2 to 16."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
    return min(_MOST_WORKERS, max(2, cores // processes))


def _chosen(size: int, share: int, step: int, config: TrainingConfig, seed: str) -> list[int]:
    """Which of a source's pictures a step sees: each once in a pass, or any, whatever steps before it saw."""
    if config.resampled:
        return random.Random(f"{seed}/resampled/{step}").sample(range(size), share)
    return [_shuffled(size, position, seed) for position in range(step * share, (step + 1) * share)]


def _shuffled(size: int, position: int, seed: str) -> int:
    """The index at a position of an endless sequence that goes through all indices, shuffled anew each time."""
    round_number, place = divmod(position, size)
    return _order(size, f"{seed}/{round_number}")[place]


@functools.lru_cache(maxsize=8)
def _order(size: int, seed: str) -> list[int]:
    return random.Random(seed).sample(range(size), size)
