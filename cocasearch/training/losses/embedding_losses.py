"""The losses that compare the embeddings of a whole batch, over all processes, and their gradients.

Receives this process's embeddings without their graph; hands back what each of them should change by, to be carried on
into the model by whoever holds the graph. The modes are OpenCLIP's (its loss.py), told apart by what a process computes
and what it learns from the others:

- gather_with_grad: the gradients of one process with the whole batch, exactly; with local_loss each process computes
  the rows of its own pictures and texts alone, and they add up what they return.
- neither: every process computes the whole loss and keeps the gradients of its own embeddings, which the averaging over
  processes then divides by their number: OpenCLIP's default.
- local_loss alone: the rows of its own pictures and texts, the others being constants.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cocasearch.model.losses import (
    SoftTargets,
    grouped_contrastive_loss,
    image_to_text_losses,
    name_loss,
    pair_losses,
    sentence_targets,
    sigmoid_contrastive_loss,
    similarity_distillation_loss,
    text_to_image_losses,
)
from cocasearch.training.config import TrainingConfig
from cocasearch.training.losses.distillation import TeacherOutput
from cocasearch.training.losses.objective import Embeddings
from cocasearch.training.losses.step_losses import loss_weights
from cocasearch.training.step.processes import Processes


@dataclass(frozen=True)
class EmbeddingLosses:
    """The losses that the run has by name, and the gradients of their weighted sum, to be averaged over processes."""

    values: dict[str, Tensor]
    gradients: Embeddings


def embedding_losses(
    embeddings: Embeddings,
    owners: Tensor,
    targets: Tensor | None,
    teacher_output: TeacherOutput | None,
    config: TrainingConfig,
    processes: Processes,
    sentences: Tensor | None = None,
) -> EmbeddingLosses:
    """Losses and gradients of this process's embeddings.

    Args:
        embeddings: Captioned pictures first, as many as `owners` names; labelled ones after.
        owners: (T,) the picture of each text.
        targets: (B + B', G) what the name loss wants each picture to be called.
        teacher_output: What a larger model makes of the captioned pictures and the texts.
        config: Weights and modes.
        processes: Who else has embeddings.
        sentences: (T, D) what each text means, with a `sentence_weight`.
    """
    n_captioned = int(owners.max()) + 1
    captioned = embeddings._replace(image=embeddings.image[:n_captioned])
    gradients = Embeddings(*(torch.zeros_like(x) for x in embeddings))
    values, weights = {}, loss_weights(config)
    of_captioned = gradients.image[:n_captioned], gradients.text, gradients.logit_scale, gradients.logit_bias
    if config.losses.objective != "caption" and weights["contrastive"]:
        values["contrastive"], *parts = _contrastive(captioned, owners, sentences, config, processes)
        for total, part in zip(of_captioned, parts, strict=True):
            total.add_(part, alpha=weights["contrastive"])
    if teacher_output is not None and config.losses.objective != "caption" and weights["distillation"]:
        values["distillation"], *parts = _divergence(captioned, owners, teacher_output, config, processes)
        for total, part in zip(of_captioned, parts, strict=False):
            total.add_(part, alpha=weights["distillation"])
    if targets is not None:
        values["name"], *parts = _name(embeddings, targets, processes)
        for total, part in zip((gradients.image, gradients.names, gradients.logit_scale), parts, strict=True):
            total.add_(part, alpha=weights["name"])
    return EmbeddingLosses(values, gradients)


def _contrastive(
    embeddings: Embeddings, owners: Tensor, sentences: Tensor | None, config: TrainingConfig, processes: Processes
) -> tuple[Tensor, ...]:
    """The loss, and the gradients of own images, own texts, the logit scale and the logit bias."""
    image, text = embeddings.image, embeddings.text
    images, texts, all_owners, first_image, first_text = _gathered(image, text, owners, processes)
    own_images = slice(first_image, first_image + len(image))
    own_texts = slice(first_text, first_text + len(text))
    leaves = [x.detach().requires_grad_() for x in (images, texts, embeddings.logit_scale, embeddings.logit_bias)]
    images, texts, scale, bias = leaves
    is_sigmoid = config.losses.contrastive_loss == "sigmoid"
    soft = _soft_targets(sentences, all_owners, config, processes)
    with torch.enable_grad():
        if config.computation.local_loss and processes.count > 1:
            columns = (images, texts) if config.computation.gather_with_grad else (images.detach(), texts.detach())
            index = torch.arange(len(images), device=image.device)[own_images]
            n_images, n_texts = (
                (len(images), len(texts)) if config.computation.gather_with_grad else (len(image), len(text))
            )
            if is_sigmoid:  # each pair counts half from either side
                everyone, n_images = torch.arange(len(images), device=image.device), n_texts
                image_rows = pair_losses(images[own_images], index, columns[1], all_owners, scale, bias)
                text_rows = pair_losses(columns[0], everyone, texts[own_texts], all_owners[own_texts], scale, bias)
            else:
                of_images, of_texts = (soft.image[own_images], soft.text[own_texts]) if soft else (None, None)
                image_rows = image_to_text_losses(images[own_images], index, columns[1], all_owners, scale, of_images)
                text_rows = text_to_image_losses(texts[own_texts], all_owners[own_texts], columns[0], scale, of_texts)
            loss = (image_rows.sum() / n_images + text_rows.sum() / n_texts) / 2
        elif is_sigmoid:
            loss = sigmoid_contrastive_loss(images, texts, all_owners, scale, bias)
        else:
            loss = grouped_contrastive_loss(images, texts, all_owners, scale, soft)
        gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
    image_gradient, text_gradient, *scalar_gradients = gradients
    # What comes out is averaged over the processes, so what belongs to one alone counts as often as there are.
    copies = processes.count if config.computation.gather_with_grad else 1
    if config.computation.local_loss and config.computation.gather_with_grad:
        image_gradient, text_gradient = processes.sum(image_gradient), processes.sum(text_gradient)
        scalar_gradients, loss = [copies * gradient for gradient in scalar_gradients], copies * loss
    return loss.detach(), copies * image_gradient[own_images], copies * text_gradient[own_texts], *scalar_gradients


def _soft_targets(
    sentences: Tensor | None, all_owners: Tensor, config: TrainingConfig, processes: Processes
) -> SoftTargets | None:
    """What the whole batch's contrastive loss wants, where sentences teach it."""
    if not config.losses.sentence_weight:
        return None
    assert sentences is not None
    everyone = torch.cat(processes.gather_rows(sentences))
    return sentence_targets(
        everyone, all_owners, weight=config.losses.sentence_weight, temperature=config.losses.sentence_temperature
    )


def _divergence(
    embeddings: Embeddings, owners: Tensor, teacher_output: TeacherOutput, config: TrainingConfig, processes: Processes
) -> tuple[Tensor, ...]:
    """The loss over the whole batch, whose every row is small, and gradients as of `_contrastive` but the bias."""
    images, texts, _, first_image, first_text = _gathered(embeddings.image, embeddings.text, owners, processes)
    theirs = [torch.cat(processes.gather_rows(rows)) for rows in (teacher_output.image, teacher_output.text)]
    leaves = [x.detach().requires_grad_() for x in (images, texts, embeddings.logit_scale)]
    with torch.enable_grad():
        loss = similarity_distillation_loss(
            leaves[0], leaves[1], leaves[2], theirs[0], theirs[1], teacher_output.logit_scale
        )
        image_gradient, text_gradient, scale_gradient = torch.autograd.grad(loss, leaves)
    copies = processes.count if config.computation.gather_with_grad else 1
    own_images = image_gradient[first_image : first_image + len(embeddings.image)]
    own_texts = text_gradient[first_text : first_text + len(embeddings.text)]
    return loss.detach(), copies * own_images, copies * own_texts, scale_gradient


def _gathered(
    image: Tensor, text: Tensor, owners: Tensor, processes: Processes
) -> tuple[Tensor, Tensor, Tensor, int, int]:
    """All images, all texts, their owners, and where this process's own begin."""
    images, texts, owner_lists = (processes.gather_rows(x) for x in (image, text, owners))
    counts = [len(rows) for rows in images]
    starts = [sum(counts[:rank]) for rank in range(len(counts))]
    shifted = [rows + start for rows, start in zip(owner_lists, starts, strict=True)]
    first_text = sum(len(rows) for rows in texts[: processes.rank])
    return torch.cat(images), torch.cat(texts), torch.cat(shifted), starts[processes.rank], first_text


def _name(embeddings: Embeddings, targets: Tensor, processes: Processes) -> tuple[Tensor, ...]:
    """The loss, and the gradients of images, names and the logit scale; each process compares with its own names."""
    leaves = [x.detach().requires_grad_() for x in (embeddings.image, embeddings.names, embeddings.logit_scale)]
    total = processes.sum(embeddings.image.new_tensor(float(len(embeddings.image))))
    share = processes.count * len(embeddings.image) / float(total)
    with torch.enable_grad():
        loss = share * name_loss(leaves[0], leaves[1], targets, leaves[2])
        gradients = torch.autograd.grad(loss, leaves)
    return loss.detach(), *gradients
