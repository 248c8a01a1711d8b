"""The teacher of the name loss: what a classifier sees in a step's pictures, in words.

Receives batches as the student sees them; hands back texts and how well each fits each picture, never with gradients.
"""

import copy
import random
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cocasearch.checkpoints.foreign.efficientnet_weights import Classifier
from cocasearch.model.coca import CoCa
from cocasearch.training.data.class_names import ClassNames
from cocasearch.training.data.dataset import TrainingBatch
from cocasearch.training.data.frozen_features import FrozenPart

# How much of a labelled picture's target is its label; the rest is what the classifier sees in it.
_LABEL_SHARE = 0.5


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
        self.frozen: FrozenPart | None = None  # where batches hold its features instead of pixels

    def move_to(self, device: torch.device) -> None:
        """Move it to where the model is trained."""
        self.encoder.to(device)
        self.classifier = Classifier(self.classifier.weight.to(device), self.classifier.bias.to(device))

    @torch.no_grad()
    def probabilities(self, pixels: Tensor, tokens: Tensor | None) -> Tensor:
        """Class probabilities (B, C) of a batch; a student that has not moved yet lends its tokens."""
        if tokens is None or not self.is_student_at_start:
            tokens = self.frozen.tokens(pixels, self.encoder) if self.frozen else self.encoder(pixels)
        return self.classifier.logits(tokens).softmax(dim=1)

    @torch.no_grad()
    def names(
        self, parts: Sequence[TrainingBatch], tokens: Sequence[Tensor | None], count: int, rng: random.Random
    ) -> tuple[tuple[str, ...], Tensor]:
        """Up to `count` texts to compare a step's pictures with, and each picture's target (B + B', G) over them.

        They are drawn once for all parts of the step. In the target, labelled pictures come after captioned ones.

        Args:
            parts: The batch, divided.
            tokens: What a frozen encoder made of each part.
            count: How many names at most.
            rng: Draws them.
        """
        seen, labelled = [], []
        for part, part_tokens in zip(parts, tokens, strict=True):
            pixels = torch.cat([part.pixels, part.labelled_pixels])
            probabilities = self.probabilities(pixels, part_tokens)
            of_labelled = probabilities[len(part.pixels) :]
            seen.append(probabilities[: len(part.pixels)])
            labels = F.one_hot(part.labels, of_labelled.shape[1]).to(of_labelled)
            labelled.append(_LABEL_SHARE * labels + (1 - _LABEL_SHARE) * of_labelled)
        probabilities = torch.cat([*seen, *labelled])
        drawn = self.class_names.draw(probabilities, count, rng)
        return drawn.texts, drawn.target(probabilities)
