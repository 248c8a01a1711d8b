"""The description of images from one image pass: vector, caption, and how well the two agree."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cocasearch.inference.embedder import Embedder, Vectors, as_numpy
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.generation.captioner import Captioner, image_seeds
from cocasearch.inference.loaded_model import LoadedModel


@dataclass(frozen=True, eq=False)
class ImageDescription:
    """What the model says about an image.

    Attributes:
        embedding: The unit vector (E,).
        caption: The caption; None, like all that follows, if none was asked for.
        caption_score: Cosine of the image and its own caption, by which beams are reranked.
        caption_logprob: Mean log-probability per token of the caption.
        caption_confidence: Probability that the caption is right, 0 to 1; None if the model was never calibrated.
    """

    embedding: Vectors
    caption: str | None = None
    caption_score: float | None = None
    caption_logprob: float | None = None
    caption_confidence: float | None = None


class ImageDescriber:
    """The describer of images, which takes a single pass of the image encoder for each.

    Args:
        loaded: The model.
        options: How captions are written; None for vectors alone.
    """

    def __init__(self, loaded: LoadedModel, options: CaptionOptions | None) -> None:
        self._loaded, self._options = loaded, options
        self._captioner, self._embedder = Captioner(loaded), Embedder(loaded)

    @torch.inference_mode()
    def describe(self, pixels: Tensor) -> list[ImageDescription]:
        """The descriptions of the images `pixels` (B, 3, S, S), which the model's `preprocess` has made."""
        if self._options is None:
            return [ImageDescription(embedding) for embedding in self._embedder.embed_pixels(pixels)]
        features = self._loaded.model.image_features(self._loaded.to_device(pixels))
        seeds = image_seeds(pixels, self._options)
        captions = self._captioner.caption_features(features, self._options, seeds=seeds)
        return [
            ImageDescription(embedding, caption.text, caption.score, caption.mean_logprob, caption.confidence)
            for embedding, caption in zip(as_numpy(features.embedding), captions, strict=True)
        ]
