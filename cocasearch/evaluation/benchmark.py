"""Evaluation of a model on captioned images: how well it finds them and describes them.

Each image is encoded once, for its vector and its caption.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cocasearch.captioned_data import CaptionedImage
from cocasearch.counting import pluralize
from cocasearch.errors import CocaSearchError
from cocasearch.evaluation.caption_metrics import CaptionScores, score_captions
from cocasearch.evaluation.described_images import describe_images
from cocasearch.evaluation.hallucination import HallucinationReport, hallucination_report
from cocasearch.evaluation.outcomes import ImageOutcomes, caption_figures, retrieval_figures
from cocasearch.evaluation.retrieval_metrics import RetrievalScores, distinct_texts, ranks_both_ways, summarise
from cocasearch.inference.describer import ImageDescriber
from cocasearch.inference.embedder import Embedder
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.loaded_model import LoadedModel


@dataclass(frozen=True)
class EvaluationReport:
    """The figures of a model on a captioned set.

    Attributes:
        model: The model's name.
        n_images: Number of images measured.
        n_texts: Number of different texts among their captions. Equal captions count as one, which is right for each of
            its images.
        retrieval: Recall from 0 to 1 and median rank, both ways.
        captions: Scores of the written captions; None if none were asked for.
        unreadable: Key and reason of each image that could not be read; no other figure counts these.
        caption_loss: Loss of people's captions in nats per token; None except in a run that trains on it alone.
        hallucination: How often the written captions name what is not there; None if none were asked for.
    """

    model: str
    n_images: int
    n_texts: int
    retrieval: RetrievalScores
    captions: CaptionScores | None
    unreadable: tuple[tuple[str, str], ...]
    caption_loss: float | None = None
    hallucination: HallucinationReport | None = None

    def to_dict(self) -> dict[str, object]:
        """The report as `eval --json` prints it."""
        hallucination = {"hallucination": self.hallucination.to_dict()} if self.hallucination else {}
        return {
            "model": self.model,
            "n_images": self.n_images,
            "n_texts": self.n_texts,
            "n_unreadable": len(self.unreadable),
            "text_to_image": self.retrieval.text_to_image.to_dict(),
            "image_to_text": self.retrieval.image_to_text.to_dict(),
            "captions": {**self.captions.to_dict(), **hallucination} if self.captions else None,
            **({} if self.caption_loss is None else {"caption_loss": self.caption_loss}),
        }


def evaluate(
    loaded: LoadedModel,
    data: Sequence[CaptionedImage],
    *,
    caption_options: CaptionOptions | None,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> EvaluationReport:
    """The report of a model on captioned images.

    Args:
        loaded: The model.
        data: Images with the captions that are right for them.
        caption_options: How captions are written; None writes none, which is much faster.
        batch_size: Number of images in a pass.
        progress: Called after each batch with the images done and the images in all.

    Raises:
        CocaSearchError: Not one of the images can be read.
    """
    return examine(loaded, data, caption_options=caption_options, batch_size=batch_size, progress=progress).report


@dataclass(frozen=True)
class Examination:
    """A report with the outcome of each of its images and the caption that was written for it."""

    report: EvaluationReport
    outcomes: ImageOutcomes
    captions: tuple[str, ...]


def examine(
    loaded: LoadedModel,
    data: Sequence[CaptionedImage],
    *,
    caption_options: CaptionOptions | None,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Examination:
    """The same as `evaluate` with the outcome of each image, so that two models can be compared on them."""
    described = describe_images(loaded, data, ImageDescriber(loaded, caption_options).describe, batch_size, progress)
    if not described.rows:
        raise CocaSearchError(_none_readable(described.unreadable))
    references = [row.captions for row in described.rows]
    captions = [description.caption or "" for description in described.descriptions]
    confidences = [description.caption_confidence for description in described.descriptions]
    distinct = distinct_texts(references)
    images = np.stack([description.embedding for description in described.descriptions])
    texts = Embedder(loaded).embed_texts(distinct.texts)
    text_ranks, image_ranks = ranks_both_ways(images, texts, distinct.pairs)
    report = EvaluationReport(
        model=loaded.name,
        n_images=len(described.rows),
        n_texts=len(distinct.texts),
        retrieval=RetrievalScores(summarise(text_ranks), summarise(image_ranks)),
        captions=score_captions(captions, references) if caption_options else None,
        unreadable=tuple(described.unreadable),
        hallucination=hallucination_report(captions, references, confidences) if caption_options else None,
    )
    figures = retrieval_figures(text_ranks, image_ranks, distinct.pairs)
    if caption_options:
        figures |= caption_figures(captions, references)
    keys = tuple(row.key for row in described.rows)
    return Examination(report, ImageOutcomes(keys, figures), tuple(captions))


def _none_readable(unreadable: Sequence[tuple[str, str]]) -> str:
    if not unreadable:
        return "there are no photos to evaluate"
    key, reason = unreadable[0]
    return f"not one of {pluralize(len(unreadable), 'photo')} can be read, beginning with {key}: {reason}"
