"""Captioned and labelled pictures -> training batches, the same ones for the same seed and step.

Every random choice of a step comes from (seed, step), so a resumed run sees what an uninterrupted one would have.
Worker threads decode and augment ahead of the model; a picture that cannot be read is left out and named at the end.
"""

import functools
import random
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from cocasearch.byte_range import ImageSource
from cocasearch.captioned_data import CaptionedImage
from cocasearch.checkpoints.sentence_encoder import SENTENCE_WIDTH
from cocasearch.counting import pluralize
from cocasearch.errors import CocaSearchError, UnreadableImage
from cocasearch.images.transforms import Preprocess
from cocasearch.model.text_decoder import trim_padding
from cocasearch.text.tokenizer import Tokenizer
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.class_names import in_template
from cocasearch.training.data.sentence_vectors import SentenceVectors
from cocasearch.training.data.views import NamedPicture, View, Views, read_ahead

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

    images: list[ImageSource]
    classes: list[int]
    names: Sequence[tuple[str, ...]]

    @property
    def pictures(self) -> list[NamedPicture]:
        """The pictures, each with the name that it is reported by."""
        return [
            NamedPicture(image, str(image) if isinstance(image, Path) else f"labelled photo {index}")
            for index, image in enumerate(self.images)
        ]


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
    pictures: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))  # (B,) numbers among the run's


@dataclass
class TrainingData:
    """All that a run trains on.

    `unreadable` gathers what could not be decoded, by key. `sentences` is what every caption means, where a run learns
    that. `views` are those of all pictures, labelled ones last.
    """

    sources: Sequence[Source]
    tokenizer: Tokenizer
    preprocess: Preprocess
    context_length: int
    labelled: LabelledImages | None = None
    unreadable: dict[str, str] = field(default_factory=dict)
    sentences: SentenceVectors | None = None
    views: Views = field(init=False)

    def __post_init__(self) -> None:
        if not self.sources or not all(source.images for source in self.sources):
            raise CocaSearchError("there are no captioned photos to train on")
        # Captions are tokenized once; a row is the ids without padding.
        self._ids = [
            [self.tokenizer(image.captions, self.context_length) for image in source.images] for source in self.sources
        ]
        pictures = [[NamedPicture(image.image, image.key) for image in source.images] for source in self.sources]
        labelled = self.labelled.pictures if self.labelled else []
        self.views = Views([*pictures, labelled], self.preprocess)

    def captions_of_pictures(self) -> list[tuple[str, ...]]:
        """The captions of every picture, by its number."""
        return [tuple(image.captions) for source in self.sources for image in source.images]

    def captions(self) -> list[str]:
        """Every caption once, in the order of the pictures."""
        return list(
            dict.fromkeys(text for source in self.sources for image in source.images for text in image.captions)
        )

    def steps_per_epoch(self, config: TrainingConfig) -> int:
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
                f"a step of {pluralize(pictures, 'photo')} cannot be shared by {processes} processes",
                hint=f"batch_size of {processes} at least, or fewer processes",
            )
        plans = (self._plan(config, step).share(rank, processes) for step in range(first_step, steps))
        work = ((plan, plan.views) for plan in plans)
        with closing(read_ahead(work, lambda view: self.views.read(config, view), config.data.workers)) as read:
            for plan, futures in read:
                yield self._gather(config, plan, futures)

    def _shares(self, config: TrainingConfig) -> list[int]:
        total = sum(source.weight for source in self.sources)
        shares = [max(1, round(config.data.batch_size * source.weight / total)) for source in self.sources]
        # A picture twice in a step would be its own wrong answer.
        return [min(share, len(source.images)) for share, source in zip(shares, self.sources, strict=True)]

    def _plan(self, config: TrainingConfig, step: int) -> "_Plan":
        """Which pictures, captions and labelled pictures a step trains on."""
        plan, rng = _Plan(), random.Random(f"{config.run.seed}/{step}")
        for number, (source, share) in enumerate(zip(self.sources, self._shares(config), strict=True)):
            for index in _chosen(len(source.images), share, step, config, f"{config.run.seed}/{number}"):
                image, rows = source.images[index], self._ids[number][index]
                kept = rng.sample(range(len(rows)), min(config.data.captions_per_image, len(rows)))
                plan.views.append(self.views.draw(config, self.views.first_numbers[number] + index, rng))
                plan.pictures.append(self.views.first_numbers[number] + index)
                plan.captions.append(rows[kept])
                plan.sentences.append(self._sentences(image, kept))
        if self.labelled is not None:
            for position in range(step * config.data.labelled_per_step, (step + 1) * config.data.labelled_per_step):
                index = _shuffled(len(self.labelled.images), position, f"{config.run.seed}/labelled")
                plan.views.append(self.views.draw(config, self.views.first_numbers[-2] + index, rng))
                plan.labels.append(self.labelled.classes[index])
            names = [self.labelled.names[label][0] for label in plan.labels]
            plan.label_captions = [in_template(name, rng.choice(CAPTION_TEMPLATES)) for name in names]
        return plan

    def _gather(self, config: TrainingConfig, plan: "_Plan", futures: list[Future[Tensor]]) -> TrainingBatch:
        views: list[Tensor | None] = []
        for future in futures:
            try:
                views.append(future.result())
            except UnreadableImage as error:
                self.unreadable[error.path] = error.reason
                views.append(None)
        captioned = [
            (view, ids, sentences, picture)
            for view, ids, sentences, picture in zip(views, plan.captions, plan.sentences, plan.pictures, strict=False)
            if view is not None
        ]
        labelled = [
            (view, label, caption)
            for view, label, caption in zip(views[len(plan.captions) :], plan.labels, plan.label_captions, strict=True)
            if view is not None
        ]
        if not captioned:
            captioned = [self._first_readable(config)]
        counts = torch.tensor([len(ids) for _, ids, *_ in captioned])
        size, pad_id = self.preprocess.config.image_size, self.tokenizer.pad_id
        label_ids = self.tokenizer([caption for _, _, caption in labelled], self.context_length)
        return TrainingBatch(
            pixels=torch.stack([view for view, *_ in captioned]),
            ids=trim_padding(torch.cat([ids for _, ids, *_ in captioned]), pad_id),
            owners=torch.arange(len(captioned)).repeat_interleave(counts),
            labelled_pixels=torch.stack([v for v, _, _ in labelled]) if labelled else torch.empty(0, 3, size, size),
            labels=torch.tensor([label for _, label, _ in labelled], dtype=torch.long),
            labelled_ids=trim_padding(label_ids, pad_id),
            sentences=torch.cat([sentences for _, _, sentences, _ in captioned]),
            pictures=torch.tensor([picture for *_, picture in captioned]),
        )

    def _sentences(self, image: CaptionedImage, kept: Sequence[int]) -> Tensor:
        """What so many of a picture's captions mean, one row each; no rows where no run learns it."""
        if self.sentences is None:
            return torch.empty(0, SENTENCE_WIDTH)
        return self.sentences.rows([image.captions[number] for number in kept])

    def _first_readable(self, config: TrainingConfig) -> tuple[Tensor, Tensor, Tensor, int]:
        """A picture, its captions, what they mean and its number, for a step none of whose own pictures can be read."""
        for first, source, ids in zip(self.views.first_numbers, self.sources, self._ids, strict=False):
            for number, (image, rows) in enumerate(zip(source.images, ids, strict=True), start=first):
                try:
                    kept = range(min(config.data.captions_per_image, len(rows)))
                    view = self.views.read(config, self.views.any_of(config, number))
                    return view, rows[: len(kept)], self._sentences(image, kept), number
                except UnreadableImage as error:
                    self.unreadable[error.path] = error.reason
        key, reason = next(iter(self.unreadable.items()))
        raise CocaSearchError(f"not one of the photos to train on can be read; the first: {key}: {reason}")


@dataclass
class _Plan:
    """One step before its pictures are decoded: views of captioned pictures first, labelled ones after."""

    views: list[View] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)
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
            self.pictures[own],
            self.captions[own],
            self.sentences[own],
            self.labels[labelled],
            self.label_captions[labelled],
        )


def _chosen(size: int, share: int, step: int, config: TrainingConfig, seed: str) -> list[int]:
    """Which of a source's pictures a step sees: each once in an epoch, or any, whatever steps before it saw."""
    if config.data.resampled:
        return random.Random(f"{seed}/resampled/{step}").sample(range(size), share)
    return [_shuffled(size, position, seed) for position in range(step * share, (step + 1) * share)]


def _shuffled(size: int, position: int, seed: str) -> int:
    """The index at a position of an endless sequence that goes through all indices, shuffled anew each time."""
    round_number, place = divmod(position, size)
    return _order(size, f"{seed}/{round_number}")[place]


@functools.lru_cache(maxsize=8)
def _order(size: int, seed: str) -> list[int]:
    return random.Random(seed).sample(range(size), size)
