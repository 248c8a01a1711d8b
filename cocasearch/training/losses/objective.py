"""What one training step minimises: contrastive, captioning and name loss of one batch.

Receives batches of tensors; hands back embeddings and losses. Knows nothing about files, schedules or checkpoints, nor
how a step is divided among micro-batches and processes: that is `gradients.py`.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.checkpoint import checkpoint

from cocasearch.model.coca import CoCa, unit_rows
from cocasearch.model.losses import distribution_divergence
from cocasearch.model.text_decoder import trim_padding
from cocasearch.model.vision_transformer import VisionTransformer
from cocasearch.model.vocabulary_loss import LOGITS_AT_ONCE, linear_cross_entropy
from cocasearch.text.tokenizer import Tokenizer
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import TrainingBatch
from cocasearch.training.data.frozen_features import FrozenPart
from cocasearch.training.losses.distillation import DistillationTeacher, TeacherOutput
from cocasearch.training.losses.name_teacher import NameTeacher
from cocasearch.training.losses.self_critical import SelfCritic
from cocasearch.training.model.precision import autocast_dtype
from cocasearch.training.model.starting_point import LOGIT_BIAS


class Names(NamedTuple):
    """The texts of a step's name loss: ids (G, L) of its names, and each picture's target (B + B', G) over them."""

    ids: Tensor
    target: Tensor


class Embeddings(NamedTuple):
    """Unit rows that the losses over a whole batch compare; `image` has labelled pictures after captioned ones."""

    image: Tensor  # (B + B', E)
    text: Tensor  # (T, E)
    names: Tensor  # (G, E), none without a name loss
    logit_scale: Tensor
    logit_bias: Tensor  # of the sigmoid loss; zero without


class Forward(NamedTuple):
    """What one pass over a part of a batch gives: embeddings to be compared, and losses that are sums, by name."""

    embeddings: Embeddings | None
    sums: dict[str, Tensor]


class Objective(nn.Module):
    """A model with the losses that train it under a config; calling it runs one part of a batch.

    Args:
        teacher: Adds the name loss, on captioned and labelled pictures alike.
        larger: Adds the distillation losses, on captioned pictures.

    Attributes:
        frozen: What makes tokens of features, where batches hold those instead of pixels.
        critic: What draws and rewards captions, in a run that learns from its own.
    """

    def __init__(
        self,
        model: CoCa,
        tokenizer: Tokenizer,
        config: TrainingConfig,
        teacher: NameTeacher | None = None,
        larger: DistillationTeacher | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.config = config
        self.teacher = teacher
        self.larger = larger
        self.frozen: FrozenPart | None = None
        self.critic: SelfCritic | None = None
        self.autocast = autocast_dtype(config, model.logit_scale.device)

    @property
    def has_embeddings(self) -> bool:
        """Whether a loss compares embeddings: the contrastive one, or that of names."""
        return self._compares_with_captions or self.teacher is not None

    @property
    def trains_retrieval(self) -> bool:
        """Whether recall says what a run learns: not where all that compares pictures and captions has no weight."""
        return self._compares_with_captions or not self.has_captions

    @property
    def has_captions(self) -> bool:
        """Whether the captioning half is trained."""
        distils = self.larger is not None and self.larger.with_captions
        config = self.config
        weighs = (
            max(config.losses.caption_weight, config.losses.label_caption_weight, config.losses.self_critical_weight)
            > 0
        )
        return self.config.losses.objective != "contrastive" and (weighs or distils)

    @property
    def _compares_with_captions(self) -> bool:
        distils = self.larger is not None and self.config.distillation.distill_weight > 0
        return self.config.losses.objective != "caption" and (self.config.losses.contrastive_weight > 0 or distils)

    def forward(
        self,
        batch: TrainingBatch,
        *,
        tokens: Tensor | None = None,
        names: Tensor | None = None,
        teacher_output: TeacherOutput | None = None,
        embeddings: bool = True,
        captions: bool = True,
    ) -> Forward:
        """Embeddings and captioning losses of a part of a batch.

        Args:
            batch: The part.
            tokens: What the image encoder made of its pictures, captioned and labelled, where that is known.
            names: Ids (G, L) of class names to embed beside.
            teacher_output: What a larger model makes of it.
            embeddings: Compute them; a captioning loss alone does without.
            captions: Compute the captioning losses.
        """
        if tokens is None:
            tokens = self._encode(batch)
        with self._precision(tokens):
            context, image = self._image(tokens, embeddings, captions)
            states, text = self._text(batch.ids, embeddings, captions)
            compared = None
            if image is not None and text is not None:
                named = text[:0] if names is None else self.model.unpadded_text_features(names)[0]
                scale = self.model.logit_scale.exp()
                # A copy: processes that share gradients take a parameter that comes out as it is for unused.
                bias = getattr(self.model, LOGIT_BIAS, torch.zeros_like(scale)).clone()
                compared = Embeddings(image, text, named, scale, bias)
            sums = {} if context is None or states is None else self._sums(batch, context, states, teacher_output)
        return Forward(compared, sums)

    def _sums(
        self, batch: TrainingBatch, context: Tensor, states: Tensor, teacher_output: TeacherOutput | None
    ) -> dict[str, Tensor]:
        """The losses over tokens and drawn captions of a part of a batch, and the reward of the latter, by name."""
        own, labelled = context[: len(batch.pixels)], context[len(batch.pixels) :]
        predicting, targets = self._predicting(states, own, batch.ids, batch.owners)
        sums = {"caption": self._caption_loss(predicting, targets)}
        if teacher_output is not None and teacher_output.states is not None:
            sums["caption_distillation"] = self._divergence(predicting, teacher_output.states)
        if self.config.losses.label_caption_weight:
            label_caption = self._label_caption(batch, labelled, own)
            sums |= {} if label_caption is None else {"label_caption": label_caption}
        if self.critic is not None:
            sums["self_critical"], sums["reward"] = self._self_critical(self.critic, batch, own)
        return sums

    def teacher_output(self, batch: TrainingBatch) -> TeacherOutput | None:
        """What the larger model makes of a part of a batch."""
        if self.larger is None:
            return None
        with self._precision(batch.pixels):
            return self.larger.output(batch)

    def encode(self, batch: TrainingBatch) -> Tensor:
        """The image encoder's tokens (B + B', S, C) of captioned and labelled pictures.

        A convolutional encoder always runs in float32: the backward pass of bfloat16 depthwise convolutions is slower
        on CPUs.
        """
        return self._encode(batch)

    def _encode(self, batch: TrainingBatch) -> Tensor:  # not `encode`, which fetches divided weights itself
        pixels = torch.cat([batch.pixels, batch.labelled_pixels]) if len(batch.labels) else batch.pixels
        with self._precision(pixels, narrow=isinstance(self.model.image_encoder, VisionTransformer)):
            tokens: Tensor = self.frozen.tokens(pixels) if self.frozen else self.model.image_encoder(pixels)
        return tokens.to(self.model.image_projection.weight.dtype) if tokens.dtype == torch.float32 else tokens

    def n_targets(self, ids: Tensor) -> int:
        """How many tokens of ids (T, L) a captioning loss predicts."""
        return int(self._is_target(ids[:, 1:]).sum())

    def _is_target(self, ids: Tensor) -> Tensor:
        """Which ids are words that the decoder can write."""
        return (ids != self.tokenizer.pad_id) & (ids < self.model.config.output_vocab_size)

    def names(
        self, parts: Sequence[TrainingBatch], tokens: Sequence[Tensor | None], rng: random.Random
    ) -> Names | None:
        """The names that a step's pictures are compared with, as `NameTeacher.names` draws them; None without one."""
        if self.teacher is None:
            return None
        texts, target = self.teacher.names(parts, tokens, self.config.losses.names_per_step, rng)
        ids = self.tokenizer(texts, self.model.config.text.context_length)
        return Names(trim_padding(ids, self.tokenizer.pad_id).to(target.device), target)

    @property
    def _is_repeated_at_random(self) -> bool:
        """Whether a pass without captions must draw the random numbers of one with them, which may follow it.

        The shorter way to the vectors alone draws others.
        """
        config = self.config
        return self.model.training and self.has_captions and bool(config.model.dropout or config.adapters.lora_dropout)

    def _image(self, tokens: Tensor, embeddings: bool, captions: bool) -> tuple[Tensor | None, Tensor | None]:
        """The decoder's context and the vector of each picture, as far as they are needed."""
        if not captions and not self._is_repeated_at_random:
            return None, unit_rows(self.model.image_projection(self.model.pooling.vector(tokens)))
        if embeddings:
            image = self.model.pool(tokens)
            return image.tokens if captions else None, image.embedding
        return self.model.pooling(tokens)[1], None

    def _text(self, ids: Tensor, embeddings: bool, captions: bool) -> tuple[Tensor | None, Tensor | None]:
        """The states and the vector of each text, as far as they are needed."""
        if not captions and not self._is_repeated_at_random:
            return None, self.model.encode_text(ids)
        vector, states = self.model.unpadded_text_features(ids)
        return states if captions else None, vector if embeddings else None

    def _predicting(
        self, states: Tensor, context: Tensor, ids: Tensor, owners: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The decoder's states (n, D) where a real token follows, and those tokens (n,)."""
        targets = ids[:, 1:]
        is_target = self._is_target(targets)
        if owners is not None and torch.equal(owners, torch.arange(len(context), device=owners.device)):
            owners = None  # a caption each: no copies of keys and values
        packed = self.model.multimodal_decoder.unpadded(states[:, :-1], context, is_target, owners=owners)
        return packed, targets[is_target]

    def _label_caption(self, batch: TrainingBatch, labelled: Tensor, own: Tensor) -> Tensor | None:
        """The captioning loss of what labels say, None without labels."""
        ids, context, weight = batch.labelled_ids, labelled, 1.0
        if not len(batch.labels):
            if not isinstance(self, FSDPModule):
                return None
            # Processes that fetch weights from each other must all come here: a caption stands in, for nothing.
            ids, context, weight = batch.ids[:1], own[:1], 0.0
        _, states = self.model.unpadded_text_features(ids)
        return weight * self._caption_loss(*self._predicting(states, context, ids))

    def _self_critical(self, critic: SelfCritic, batch: TrainingBatch, own: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of drawn captions, each as often as its advantage says, and the sum of their rewards."""
        drawn = critic.draw(self.model, own.detach(), batch.pictures)
        _, states = self.model.unpadded_text_features(drawn.ids)
        predicting, targets = self._predicting(states, own, drawn.ids, drawn.owners)
        worth = drawn.advantages.repeat_interleave(self._is_target(drawn.ids[:, 1:]).sum(1))
        weight = self.model.multimodal_decoder.vocabulary.weight
        return linear_cross_entropy(predicting, weight, targets, worth=worth), drawn.rewards.sum()

    def _caption_loss(self, states: Tensor, targets: Tensor) -> Tensor:
        """As `losses.caption_loss`, summed, with logits for the real targets only and never for all at once."""
        weight = self.model.multimodal_decoder.vocabulary.weight
        return linear_cross_entropy(states, weight, targets, label_smoothing=self.config.losses.label_smoothing)

    def _divergence(self, states: Tensor, teacher_states: Tensor) -> Tensor:
        """The sum over tokens of the divergence from a larger model's next tokens, some tokens' logits at a time."""
        vocabulary = self.model.multimodal_decoder.vocabulary

        def of_some(own: Tensor, theirs: Tensor) -> Tensor:
            assert self.larger is not None
            return distribution_divergence(
                vocabulary(own), self.larger.model.multimodal_decoder.vocabulary(theirs)
            ).sum()

        rows = max(1, LOGITS_AT_ONCE // vocabulary.out_features)
        groups = zip(torch.split(states, rows), torch.split(teacher_states, rows), strict=True)
        return torch.stack([checkpoint(of_some, *group, use_reentrant=False) for group in groups]).sum()

    def _precision(self, x: Tensor, *, narrow: bool = True) -> torch.autocast:
        return torch.autocast(x.device.type, self.autocast, enabled=narrow and self.autocast is not None)
