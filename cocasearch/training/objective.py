"""What one training step minimises: contrastive, captioning and name loss of one batch.

Receives batches of tensors; hands back losses. Knows nothing about files, schedules or checkpoints.
"""

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cocasearch.checkpoints.efficientnet_lite import Classifier
from cocasearch.inference.device import is_faster_in_bfloat16
from cocasearch.model.coca import CoCa
from cocasearch.model.layers import Residual
from cocasearch.model.losses import grouped_contrastive_loss, name_loss
from cocasearch.model.text_decoder import trim_padding
from cocasearch.text.tokenizer import Tokenizer
from cocasearch.training.class_names import ClassNames
from cocasearch.training.config import TrainingConfig
from cocasearch.training.dataset import TrainingBatch

# How much of a labelled picture's target is its label; the rest is what the classifier sees in it.
_LABEL_SHARE = 0.5


@dataclass(frozen=True)
class StepLosses:
    """The losses of one step, each a scalar; `name` is zero without class names."""

    total: Tensor
    contrastive: Tensor
    caption: Tensor
    name: Tensor


class NameTeacher:
    """The image encoder as it was before training, with its own classifier, and the words for its classes."""

    def __init__(
        self,
        model: CoCa,
        classifier: Classifier,
        class_names: ClassNames,
        *,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.encoder = copy.deepcopy(model.image_encoder).requires_grad_(False).eval()
        self.is_student_at_start = weights is None
        if weights is not None:
            self.encoder.load_state_dict(weights)
        self.classifier = classifier
        self.class_names = class_names

    def place(self, device: torch.device) -> None:
        """Move it to where the model is trained."""
        self.encoder.to(device)
        self.classifier = Classifier(self.classifier.weight.to(device), self.classifier.bias.to(device))

    @torch.no_grad()
    def probabilities(self, pixels: Tensor, tokens: Tensor | None) -> Tensor:
        """Class probabilities (B, C) of a batch; a student that has not moved yet lends its tokens."""
        if tokens is None or not self.is_student_at_start:
            tokens = self.encoder(pixels)
        return self.classifier.logits(tokens).softmax(dim=1)


class Objective:
    """The training losses of a model under a config.

    Args:
        teacher: Adds the name loss, on captioned and labelled pictures alike.
    """

    def __init__(
        self, model: CoCa, tokenizer: Tokenizer, config: TrainingConfig, teacher: NameTeacher | None = None
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.config = config
        self.teacher = teacher
        faster = is_faster_in_bfloat16(model.logit_scale.device)
        self.autocast = faster if config.precision == "auto" else config.precision == "bfloat16"

    def losses(self, batch: TrainingBatch, *, encoder_is_frozen: bool, chance: random.Random) -> StepLosses:
        """The weighted sum and its parts, ready for `total.backward()`."""
        pixels = torch.cat([batch.pixels, batch.labelled_pixels]) if len(batch.labels) else batch.pixels
        tokens = self._encode(pixels, encoder_is_frozen)
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.autocast):
            image = self.model.pool(tokens)
            text, states = self.model.text_features(batch.ids)
            contrastive = grouped_contrastive_loss(
                image.embedding[: len(batch.pixels)], text, batch.owners, self.model.logit_scale.exp()
            )
            caption = self._caption_loss(states, image.tokens[: len(batch.pixels)], batch.ids, batch.owners)
            label_caption = contrastive.new_zeros(())
            if self.config.label_caption_weight and len(batch.labels):
                _, label_states = self.model.text_features(batch.labelled_ids)
                label_caption = self._caption_loss(label_states, image.tokens[len(batch.pixels) :], batch.labelled_ids)
            name = contrastive.new_zeros(())
            if self.teacher is not None:
                name = self._name_loss(image.embedding, pixels, tokens if encoder_is_frozen else None, batch, chance)
        config = self.config
        total = config.contrastive_weight * contrastive + config.caption_weight * caption + config.name_weight * name
        total = total + config.label_caption_weight * label_caption
        return StepLosses(total, contrastive.detach(), caption.detach(), name.detach())

    def _encode(self, pixels: Tensor, encoder_is_frozen: bool) -> Tensor:
        # Always float32: the backward pass of bfloat16 depthwise convolutions is slower on CPUs.
        with torch.set_grad_enabled(not encoder_is_frozen and torch.is_grad_enabled()):
            tokens: Tensor = self.model.image_encoder(pixels)
        return tokens

    def _caption_loss(self, states: Tensor, image_tokens: Tensor, ids: Tensor, owners: Tensor | None = None) -> Tensor:
        """As `losses.caption_loss`, with logits for the real targets only."""
        decoder = self.model.multimodal_decoder
        hidden = decoder(states, image_tokens, owners=owners)[:, :-1]
        targets = ids[:, 1:]
        is_target = targets != self.tokenizer.pad_id
        logits = decoder.vocabulary(hidden[is_target])
        return F.cross_entropy(logits.float(), targets[is_target], label_smoothing=self.config.label_smoothing)

    def _name_loss(
        self, image: Tensor, pixels: Tensor, tokens: Tensor | None, batch: TrainingBatch, chance: random.Random
    ) -> Tensor:
        assert self.teacher is not None
        probabilities = self.teacher.probabilities(pixels, tokens)
        if len(batch.labels):
            labels = F.one_hot(batch.labels, probabilities.shape[1]).to(probabilities)
            seen = probabilities[len(batch.pixels) :]
            labelled = _LABEL_SHARE * labels + (1 - _LABEL_SHARE) * seen
            probabilities = torch.cat([probabilities[: len(batch.pixels)], labelled])
        drawn = self.teacher.class_names.draw(probabilities, self.config.names_per_step, chance)
        ids = self.tokenizer(drawn.texts, self.model.config.text.context_length)
        names, _ = self.model.text_features(trim_padding(ids, self.tokenizer.pad_id).to(pixels.device))
        return name_loss(image, names, drawn.target(probabilities), self.model.logit_scale.exp())


def set_dropout(model: CoCa, probability: float) -> None:
    """Dropout on every residual branch of both text halves while training."""
    for part in (model.text_decoder, model.multimodal_decoder):
        for module in part.modules():
            if isinstance(module, Residual):
                module.dropout = probability
