"""CoCa: one image encoder, a text decoder in two halves, a contrastive vector and a caption from one image pass.

Tensors in, tensors out; knows nothing about files, words or devices. Dimensions: B batch, N image tokens, L text
tokens, R rows being written (k per image), D width, E embedding, V vocabulary.
Source: arXiv 2205.01917; numbers as in OpenCLIP's coca_model.py.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocasearch.errors import CocaSearchError
from cocasearch.model.attention import KeyValues
from cocasearch.model.attentional_pooler import build_pooling
from cocasearch.model.config import CoCaConfig, EfficientNetLiteConfig, RobertaConfig, VisionTransformerConfig
from cocasearch.model.efficientnet_lite import EfficientNetLite
from cocasearch.model.roberta import RobertaTextDecoder
from cocasearch.model.text_decoder import MultimodalDecoder, UnimodalTextDecoder
from cocasearch.model.vision_transformer import VisionTransformer

Tower = Literal["image", "text", "caption"]
# A text query needs the text tower alone, an image query the image tower; a caption reads its own words and the image.
TOWERS: dict[Tower, tuple[str, ...]] = {
    "image": ("image_encoder", "pooling", "image_projection"),
    "text": ("text_decoder",),
    "caption": ("multimodal_decoder",),
}
"""The parts of a CoCa that can do without each other, and their modules; captions need all three."""

# CLIP's initial temperature of 0.07 (arXiv 2103.00020). Its logarithm is what is learned, so that it stays positive.
INITIAL_LOGIT_SCALE = math.log(1 / 0.07)


@dataclass(frozen=True)
class ImageFeatures:
    """The result of an image pass: `embedding` (B, E) unit rows in float32, `tokens` (B, N, D) for the decoder."""

    embedding: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class CoCaOutput:
    """The result of a training pass; `caption_logits` (B, L, V) at position i predict the id at i + 1."""

    image_embedding: Tensor
    text_embedding: Tensor
    caption_logits: Tensor
    logit_scale: Tensor


@dataclass
class DecoderCache:
    """What a caption needs to be continued by one id: self-attention of both halves, cross-attention of the image.

    R rows are written for B images, k = R / B each, in image order. The rows of an image share one set of keys and
    values, n positions in the order they were written. Rows that part or end leave it as it is; `ancestors` says which
    positions each row descends from. `length` is the number of positions of a row.
    """

    text: list[KeyValues]
    multimodal: list[KeyValues]
    images: list[KeyValues]
    ancestors: Tensor  # (B, k, n)
    readable: Tensor  # (B, n): whether the text half may attend to a position
    next_readable: Tensor  # (B, k): the same of the position that each row writes next
    length: int

    def select(self, rows: Tensor, images: Tensor | None = None) -> None:
        """Keep, repeat or reorder rows (R',), and images (B',) where given, in place.

        Rows stay grouped by image: R' = B' * k', and every row must have come from the image it is grouped with.
        """
        if images is not None:
            for cache in (*self.text, *self.multimodal, *self.images):
                cache.select(images)
            self.readable = self.readable.index_select(0, images)
        # Rows change their places, the keys and values do not: it is enough to know which positions each row has.
        remaining, positions = self.readable.shape
        self.ancestors = self.ancestors.flatten(0, 1).index_select(0, rows).view(remaining, -1, positions)
        self.next_readable = self.next_readable.flatten().index_select(0, rows).view(remaining, -1)

    def extend(self, is_padding: Tensor) -> tuple[Tensor, Tensor]:
        """Add one new id per row, and give the masks (B, 1, k, n + k) of both halves for it.

        Args:
            is_padding: Whether the id of each row (B, k) is padding.
        """
        images, beams = is_padding.shape
        # The k new positions stand behind the n old ones; each row sees its own of them and none of its neighbours'.
        itself = torch.eye(beams, dtype=torch.bool, device=is_padding.device).expand(images, -1, -1)
        self.ancestors = torch.cat([self.ancestors, itself], dim=2)  # (B, k, n + k)
        # The padding mask is shifted by one (`visible_keys`): whether a position may be read depends on the id before
        # it, which was known a step ago. What is known now counts for the next.
        self.readable = torch.cat([self.readable, self.next_readable], dim=1)
        self.next_readable = ~is_padding
        self.length += 1
        return (self.ancestors & self.readable[:, None])[:, None], self.ancestors[:, None]


class CoCa(nn.Module):
    """The model that `config` describes, with fresh weights."""

    def __init__(self, config: CoCaConfig) -> None:
        super().__init__()
        self.config = config
        width, quick_gelu = config.text.width, config.quick_gelu
        self.image_encoder = build_image_encoder(config)
        self.pooling, pooled_width = build_pooling(
            config.pooler, width=width, embed_dim=config.embed_dim, context_width=config.image.width
        )
        # Both vectors are projected into the shared space without a bias, by a matrix that keeps their variance.
        self.image_projection = nn.Linear(pooled_width, config.embed_dim, bias=False)
        nn.init.normal_(self.image_projection.weight, std=pooled_width**-0.5)
        self.text_decoder = build_text_decoder(config)
        self.multimodal_decoder = MultimodalDecoder(
            config.multimodal, width=width, vocab_size=config.output_vocab_size, quick_gelu=quick_gelu
        )
        self.logit_scale = nn.Parameter(torch.tensor(INITIAL_LOGIT_SCALE))

    def to_dtype(self, dtype: torch.dtype) -> None:
        """Let the model compute in `dtype`, in place; embeddings and logits stay float32.

        In a model with a convolutional encoder only that changes: the text halves are small, and rounding them would
        harm captions more than it saves time.
        """
        if isinstance(self.image_encoder, EfficientNetLite):
            self.image_encoder.to_dtype(dtype)
        else:
            self.to(dtype)

    def unload(self, towers: Collection[Tower]) -> None:
        """Drop some towers, in place; whatever needs them raises CocaSearchError from then on."""
        for tower in towers:
            for name in TOWERS[tower]:
                setattr(self, name, UnloadedTower(tower))

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, H, W), normalised as the model folder says, to unit rows (B, E) in float32."""
        tokens = self.image_encoder(pixels)  # (B, S, C)
        return unit_rows(self.image_projection(self.pooling.vector(tokens)))

    def encode_text(self, ids: Tensor) -> Tensor:
        """Token ids (B, L), padded, to unit rows (B, E) in float32; cost grows with the longest real text."""
        return unit_rows(self.text_decoder.vector(ids))

    def image_features(self, pixels: Tensor) -> ImageFeatures:
        """The contrastive vector and the decoder's context from one pass of the image encoder."""
        return self.pool(self.image_encoder(pixels))

    def pool(self, tokens: Tensor) -> ImageFeatures:
        """The same from tokens (B, S, C) of the image encoder, for training on stored ones."""
        pooled, context = self.pooling(tokens)  # (B, D or E), (B, N, D)
        # The decoder's context is not projected: only the vector goes to the space that images and texts share.
        return ImageFeatures(unit_rows(self.image_projection(pooled)), context)

    def forward(self, pixels: Tensor, ids: Tensor) -> CoCaOutput:
        """Embeddings and caption logits from one pass; logits at padding positions mean nothing."""
        # Section 3.2 of the paper: the unimodal half of the decoder never sees the image, so that one pass of it serves
        # the contrastive loss and, as input of the multimodal half, the captioning loss.
        image = self.image_features(pixels)
        text_embedding, states = self.text_features(ids)  # (B, E), (B, L, D)
        logits = self.multimodal_decoder.vocabulary(self.multimodal_decoder(states, image.tokens))  # (B, L, V)
        return CoCaOutput(image.embedding, text_embedding, logits, self.logit_scale.exp())

    def text_features(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Unit rows (B, E) and token states (B, L, D) for the multimodal decoder."""
        vector, states = self.text_decoder(ids)
        return unit_rows(vector), states

    def unpadded_text_features(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The same as `text_features` without the work for padding, whose states are zero; for training."""
        vector, states = self.text_decoder.unpadded(ids)
        return unit_rows(vector), states

    def prefill(self, image_tokens: Tensor, ids: Tensor) -> tuple[Tensor, DecoderCache]:
        """Logits (B, V) in float32 that follow the prompt ids (B, P), and the cache to go on from."""
        states, text, visible = self.text_decoder.prefill(ids)  # (B, P, D), caches, (B, P + 1)
        logits, multimodal, images = self.multimodal_decoder.prefill(states, image_tokens)  # (B, V), caches
        ancestors = torch.ones_like(visible[:, None, :-1])  # (B, 1, P): one row an image, which has the whole prompt
        # The last column of the shifted mask is about the first position to be written.
        cache = DecoderCache(text, multimodal, images, ancestors, visible[:, :-1], visible[:, -1:], ids.shape[1])
        return logits.float(), cache

    def decode_step(self, ids: Tensor, cache: DecoderCache) -> Tensor:
        """Logits (R, V) in float32 that follow one more id per row (R,); the cache grows by that position."""
        ids, position = ids.view(len(cache.readable), -1), cache.length  # (R,) -> (B, k)
        text_mask, mask = cache.extend(ids == self.config.text.pad_id)
        # Only the unimodal half has the padding mask, as in OpenCLIP; the multimodal half is causal and no more.
        states = self.text_decoder.decode_step(ids, position, cache.text, text_mask)  # (B, k, D)
        logits = self.multimodal_decoder.decode_step(states, cache.multimodal, cache.images, mask)
        return logits.flatten(0, 1).float()  # (R, V)


class UnloadedTower(nn.Module):
    """A stand-in for a part of the model that was not loaded, which says so when it is used."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self._message = f"this model was loaded without its {tower} tower; load it with towers=(..., '{tower}')"

    def forward(self, *_: Any) -> Tensor:
        raise CocaSearchError(self._message)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for by copying, pickling and the like, which go on without
            raise AttributeError(name)
        raise CocaSearchError(self._message)


def build_image_encoder(config: CoCaConfig) -> VisionTransformer | EfficientNetLite:
    """The image encoder that the configuration names: pixels (B, 3, S, S) in, tokens (B, S', C) out."""
    image = config.image
    if isinstance(image, EfficientNetLiteConfig):
        return EfficientNetLite(image)
    assert isinstance(image, VisionTransformerConfig)
    return VisionTransformer(image, quick_gelu=config.quick_gelu)


def build_text_decoder(config: CoCaConfig) -> UnimodalTextDecoder | RobertaTextDecoder:
    """The unimodal text decoder that the configuration names: ids (B, L) in, text vectors and token states out."""
    if isinstance(config.text, RobertaConfig):
        return RobertaTextDecoder(config.text, embed_dim=config.embed_dim)
    return UnimodalTextDecoder(config.text, embed_dim=config.embed_dim, quick_gelu=config.quick_gelu)


def unit_rows(x: Tensor) -> Tensor:
    """Rows of length 1 in float32."""
    # In float32 whatever the model computes in: in bfloat16 cosines near 1 come in steps of 0.004.
    return F.normalize(x.float(), dim=-1)
