"""The losses that train a CoCa model, as pure functions of tensors.

As in OpenCLIP's loss.py, padding is not a target, captions are shifted by one here, and the usual weights are 1 for the
contrastive and 2 for the captioning loss.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class SoftTargets(NamedTuple):
    """Targets of the contrastive loss for B images and T texts, in place of their own alone; rows add up to 1."""

    image: Tensor  # (B, T) the share of each text in an image's target
    text: Tensor  # (T, B) the share of each image in a text's target


def contrastive_loss(image: Tensor, text: Tensor, logit_scale: Tensor) -> Tensor:
    """Symmetric cross-entropy over the similarities of B matched unit rows (B, E)."""
    # (B, B): row i holds image i against all texts of the batch, of which text i alone is right. Cosines lie in -1..1;
    # the learned scale lets the softmax become as sharp as the data bear.
    logits = logit_scale * image @ text.T
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def grouped_contrastive_loss(
    image: Tensor, text: Tensor, owners: Tensor, logit_scale: Tensor, soft: SoftTargets | None = None
) -> Tensor:
    """The contrastive loss when images (B, E) have several texts (T, E); `owners` (T,) names each text's image.

    Text to image it is the usual cross-entropy; image to text the target is shared evenly among the image's own
    texts. With one text an image it equals `contrastive_loss`. `soft` replaces these targets.
    """
    index = torch.arange(len(image), device=image.device)
    of_images, of_texts = soft or (None, None)
    image_to_text = image_to_text_losses(image, index, text, owners, logit_scale, of_images)
    return (image_to_text.mean() + text_to_image_losses(text, owners, image, logit_scale, of_texts).mean()) / 2


def image_to_text_losses(
    image: Tensor, index: Tensor, text: Tensor, owners: Tensor, logit_scale: Tensor, target: Tensor | None = None
) -> Tensor:
    """The loss (b,) of some images (b, E), whose numbers are `index` (b,), over all texts (T, E).

    `target` (b, T) replaces the target that is each image's own texts.
    """
    # Cross-entropy with a target that is a distribution: mean over the right texts of their negative log-probability.
    share = _even_shares(index, owners) if target is None else target  # (b, T), rows add up to 1
    return -(share * (logit_scale * image @ text.T).log_softmax(dim=1)).sum(dim=1)


def text_to_image_losses(
    text: Tensor, owners: Tensor, image: Tensor, logit_scale: Tensor, target: Tensor | None = None
) -> Tensor:
    """The loss (t,) of some texts (t, E), whose images are `owners` (t,), over all images (B, E).

    `target` (t, B) replaces the target that is each text's own image.
    """
    wanted = owners if target is None else target
    return F.cross_entropy(logit_scale * text @ image.T, wanted, reduction="none")


def sentence_targets(sentences: Tensor, owners: Tensor, *, weight: float, temperature: float) -> SoftTargets:
    """Contrastive targets of which `weight` is shared among all pairs, by how near the sentences are in meaning.

    The similarity of an image and a text is the mean of those between the text and the image's own texts, so texts
    that say the same of two images are not pushed away from either.

    Args:
        sentences: (T, D) unit rows of what the texts mean.
        owners: (T,) each text's image; every image has a text.
        weight: Share of the targets that goes by meaning; the rest belongs to the own image or, evenly, the own texts.
        temperature: The similarities are divided by it before their softmax.
    """
    sentences = sentences.float()
    own = _even_shares(torch.arange(int(owners.max()) + 1, device=owners.device), owners)  # (B, T)
    similarities = own @ sentences @ sentences.T / temperature
    # (B, T) for images to choose texts by; for texts the other way round, where `own` marks the one image of each.
    of_images = torch.lerp(own, similarities.softmax(dim=1), weight)
    of_texts = torch.lerp((own.T > 0).float(), similarities.T.softmax(dim=1), weight)
    return SoftTargets(of_images, of_texts)


def _even_shares(index: Tensor, owners: Tensor) -> Tensor:
    """(b, T) with 1 / n where a text is one of the n of the image whose number is in `index` (b,)."""
    is_own = owners[None, :] == index[:, None]  # (b, T)
    return is_own / is_own.sum(dim=1, keepdim=True)


def caption_loss(logits: Tensor, ids: Tensor, *, pad_id: int = 0, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of logits (B, L, V) against the next id of ids (B, L); padding is not a target."""
    # Position i has seen the ids up to i and predicts the one at i + 1: the last prediction has no target, the first id
    # is never predicted.
    predictions, targets = logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()  # (B (L - 1), V), (B (L - 1),)
    return F.cross_entropy(predictions.float(), targets, ignore_index=pad_id, label_smoothing=label_smoothing)


def name_loss(image: Tensor, names: Tensor, target: Tensor, logit_scale: Tensor) -> Tensor:
    """KL divergence from target probabilities (B, C) to the softmax over C names given as unit rows (C, E).

    With a classifier's probabilities as target it teaches the text half the words of the classifier's classes.
    """
    log_probabilities = (logit_scale * image @ names.T).log_softmax(dim=1)
    return F.kl_div(log_probabilities, target, reduction="batchmean")


def sigmoid_contrastive_loss(
    image: Tensor, text: Tensor, owners: Tensor, logit_scale: Tensor, logit_bias: Tensor
) -> Tensor:
    """The loss that classifies each pair of B images (B, E) and T texts (T, E); `owners` (T,) names each text's image.

    The sum over all pairs, per text, of the binary cross-entropy of `logit_scale * similarity + logit_bias` (SigLIP,
    arXiv 2303.15343). With one text an image it is OpenCLIP's SigLipLoss.
    """
    index = torch.arange(len(image), device=image.device)
    return pair_losses(image, index, text, owners, logit_scale, logit_bias).sum() / len(text)


def pair_losses(
    image: Tensor, index: Tensor, text: Tensor, owners: Tensor, logit_scale: Tensor, logit_bias: Tensor
) -> Tensor:
    """The binary cross-entropy (b, t) of some images (b, E), whose numbers are `index` (b,), and some texts (t, E)."""
    # Most pairs do not belong together. The bias, learned and far below 0 at first, says so from the start; without it
    # the first steps would only unlearn a half for every pair.
    logits = logit_scale * image @ text.T + logit_bias  # (b, t)
    return -F.logsigmoid(torch.where(owners[None, :] == index[:, None], logits, -logits))


def similarity_distillation_loss(
    image: Tensor,
    text: Tensor,
    logit_scale: Tensor,
    teacher_image: Tensor,
    teacher_text: Tensor,
    teacher_logit_scale: Tensor,
) -> Tensor:
    """KL divergence from a teacher's similarity distributions to ours, image to text and text to image, averaged.

    Rows are unit rows of the same B images and T texts; the teacher's may be of another length. OpenCLIP's
    DistillClipLoss is the cross-entropy: more by the teacher's own entropy, and equal in its gradients.
    """
    # Similarities, not vectors, are compared, so that the two spaces need not have a dimension in common.
    ours = logit_scale * image @ text.T  # (B, T)
    theirs = teacher_logit_scale * teacher_image @ teacher_text.T  # (B, T)
    ways = (ours, theirs), (ours.T, theirs.T)
    return sum((distribution_divergence(*way).mean() for way in ways), ours.new_zeros(())) / 2


def distribution_divergence(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """KL divergence (n,) from the softmax of each row of a teacher's logits (n, V) to that of ours, in float32."""
    ours, theirs = logits.float().log_softmax(dim=1), teacher_logits.float().log_softmax(dim=1)
    return F.kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=1)
