"""A step's batch in parts that fit in memory, and what was found of the parts put together again."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cocasearch.training.data.dataset import TrainingBatch
from cocasearch.training.losses.distillation import TeacherOutput
from cocasearch.training.losses.objective import Embeddings


@dataclass(frozen=True)
class Part:
    """One micro-batch, with a frozen encoder's tokens of it, the names to embed beside, and its random seed.

    An idle one is computed for the sake of processes that have more parts, and counts for nothing.
    """

    batch: TrainingBatch
    tokens: Tensor | None
    names: Tensor | None
    teacher_output: TeacherOutput | None
    seed: int
    is_idle: bool = False


def divide(batch: TrainingBatch, count: int) -> list[TrainingBatch]:
    """A batch in so many parts of about as many pictures each, with their captions; labelled pictures likewise."""
    if count == 1:
        return [batch]
    parts = []
    for number in range(count):
        first, end = (len(batch.pixels) * n // count for n in (number, number + 1))
        labelled = slice(*(len(batch.labels) * n // count for n in (number, number + 1)))
        own = (batch.owners >= first) & (batch.owners < end)
        parts.append(
            TrainingBatch(
                pixels=batch.pixels[first:end],
                ids=batch.ids[own],
                owners=batch.owners[own] - first,
                labelled_pixels=batch.labelled_pixels[labelled],
                labels=batch.labels[labelled],
                labelled_ids=batch.labelled_ids[labelled],
                sentences=batch.sentences[own] if len(batch.sentences) else batch.sentences,
                pictures=batch.pictures[first:end],
            )
        )
    return parts


def joined(embeddings: Sequence[Embeddings], parts: Sequence[Part]) -> Embeddings:
    """The embeddings of all parts; captioned pictures first, labelled ones after."""
    captioned, labelled = [], []
    for own, part in zip(embeddings, parts, strict=True):
        captioned.append(own.image[: len(part.batch.pixels)])
        labelled.append(own.image[len(part.batch.pixels) :])
    image = torch.cat([*captioned, *labelled])
    text = torch.cat([own.text for own in embeddings])
    return Embeddings(image, text, embeddings[0].names, embeddings[0].logit_scale, embeddings[0].logit_bias)


def joined_teacher_outputs(outputs: Sequence[TeacherOutput]) -> TeacherOutput:
    """What a larger model makes of the vectors of all parts; what it makes of tokens stays with each part."""
    image, text = torch.cat([own.image for own in outputs]), torch.cat([own.text for own in outputs])
    return TeacherOutput(image, text, outputs[0].logit_scale, None)


def divided(gradients: Embeddings, parts: Sequence[Part]) -> list[Embeddings]:
    """What each part gets of the gradients; the logit scale's and the names' go to the first."""
    batches = [part.batch for part in parts]
    sizes = [*(len(batch.pixels) for batch in batches), *(len(batch.labels) for batch in batches)]
    images = torch.split(gradients.image, sizes)
    texts = torch.split(gradients.text, [len(batch.ids) for batch in batches])
    return [
        Embeddings(
            torch.cat([images[number], images[len(parts) + number]]),
            text,
            gradients.names if number == 0 else gradients.names[:0],
            gradients.logit_scale if number == 0 else torch.zeros_like(gradients.logit_scale),
            gradients.logit_bias if number == 0 else torch.zeros_like(gradients.logit_bias),
        )
        for number, text in enumerate(texts)
    ]


def detached(embeddings: Embeddings) -> Embeddings:
    """The same embeddings without a graph."""
    return Embeddings(*(x.detach() for x in embeddings))
