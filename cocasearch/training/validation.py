"""By which figure a run's weights are chosen: by what its losses train, measured on held-out pictures.

Receives validations and models; knows nothing about the training loop.
"""

import dataclasses
from collections.abc import Callable, Sequence

import torch

from cocasearch.captioned_data import CaptionedImage
from cocasearch.evaluation.benchmark import EvaluationReport, evaluate
from cocasearch.images.batching import decode_batches
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.model.text_decoder import trim_padding
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import TrainingBatch
from cocasearch.training.losses.objective import Objective

_RECALL_STEP = 0.02  # of recall@1: what two sets of weights must differ by
_PICTURES_AT_ONCE = 32


def validate(
    loaded: LoadedModel,
    held_out: Sequence[CaptionedImage],
    config: TrainingConfig,
    *,
    only_captions: bool,
    progress: Callable[..., None],
) -> EvaluationReport:
    """Recall on held-out pictures, and where it does not show what is learned the captioning loss, or captions.

    Args:
        loaded: The model.
        held_out: Pictures with their captions.
        config: The run's.
        only_captions: The run learns to caption and not to find.
        progress: Called after each batch.
    """
    writes = only_captions and config.losses.self_critical_weight > 0
    options = CaptionOptions("greedy") if writes else None
    report = evaluate(loaded, held_out, caption_options=options, batch_size=64, progress=progress)
    if only_captions and not writes:
        report = dataclasses.replace(report, caption_loss=caption_loss(loaded, held_out, config, progress))
    return report


def score(report: EvaluationReport, config: TrainingConfig) -> float:
    """The figure by which weights are chosen, higher for better.

    It is recall, or less captioning loss where that was measured, or the mean reward of the captions that were written
    (`self_critical.py`).
    """
    if report.captions is not None and report.hallucination is not None:
        objects = report.hallucination.every
        invented = objects.per_object_word * objects.n_object_words / report.n_images
        return report.captions.cider_d - config.losses.invention_price * invented
    return retrieval_score(report) if report.caption_loss is None else -report.caption_loss


def retrieval_score(report: EvaluationReport) -> float:
    """The mean recall@10 of both directions, then recall@1 in 2-point steps.

    On a dozen pictures almost anything has the right one among the first ten, and recall@1 must decide. Less than a
    step apart, weights are equals, of which the longer trained write better captions.
    """
    ways = report.retrieval.text_to_image, report.retrieval.image_to_text
    first, tenth = (sum(way.at[k] for way in ways) / 2 for k in (1, 10))
    return tenth + 1e-6 * round(first / _RECALL_STEP)


@torch.inference_mode()
def caption_loss(
    loaded: LoadedModel, data: Sequence[CaptionedImage], config: TrainingConfig, progress: Callable[[], None]
) -> float:
    """The captioning loss of the pictures that can be read, in nats per token of all their captions.

    Args:
        loaded: The model.
        data: Pictures with their captions.
        config: The run's, whose precision is kept.
        progress: Called after each batch.
    """
    plain = config.changed(
        objective="caption", caption_start=0.0, caption_weight=1.0, label_smoothing=0.0, sentence_weight=0.0
    )
    objective = Objective(loaded.model, loaded.tokenizer, plain)
    context, pad_id, total, tokens = loaded.model.config.text.context_length, loaded.tokenizer.pad_id, 0.0, 0
    for batch in decode_batches(data, lambda row: row.image, loaded.preprocess, batch_size=_PICTURES_AT_ONCE):
        if batch.items:
            rows = [loaded.tokenizer(row.captions, context) for row in batch.items]
            ids = trim_padding(torch.cat(rows), pad_id).to(loaded.device)
            owners = torch.arange(len(rows)).repeat_interleave(torch.tensor([len(row) for row in rows]))
            pixels = loaded.to_device(batch.pixels)
            empty = ids.new_empty(0)
            captioned = TrainingBatch(pixels, ids, owners.to(loaded.device), pixels[:0], empty, ids[:0])
            loss = objective(captioned, embeddings=False).sums["caption"]
            total, tokens = total + float(loss), tokens + objective.n_targets(ids)
        progress()
    return total / max(1, tokens)
