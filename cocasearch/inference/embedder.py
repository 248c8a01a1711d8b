"""Embedding of pixels and texts as unit vectors: float32 rows of numpy, whose dot products are cosines."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cocasearch.byte_range import ImageSource
from cocasearch.errors import CocaSearchError
from cocasearch.images.decoding import make_upright, read_image
from cocasearch.inference.loaded_model import LoadedModel

Vectors = NDArray[np.float32]
_TOKENIZED_TOGETHER = 4096


class Embedder:
    """The embedder of images and texts in the space that both share.

    Args:
        loaded: The model.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    @torch.inference_mode()
    def embed_pixels(self, pixels: Tensor) -> Vectors:
        """The unit rows (B, E) of images (B, 3, S, S), which the model's `preprocess` has made."""
        return as_numpy(self._loaded.model.encode_image(self._loaded.to_device(pixels)))

    def embed_image_file(self, source: ImageSource | Image.Image) -> Vectors:
        """The unit vector (E,) of one image: a file, its bytes, or an image of PIL's in memory.

        Raises:
            UnreadableImage: It is not an image, or damaged.
        """
        preprocess = self._loaded.preprocess
        if isinstance(source, Image.Image):
            image = make_upright(source)
        else:
            image, _ = read_image(source, min_side=preprocess.min_decode_side)
        return self.embed_pixels(preprocess(image)[None])[0]

    @torch.inference_mode()
    def embed_texts(self, texts: str | Sequence[str], batch_size: int = 64) -> Vectors:
        """The unit rows (N, E) of N texts; text beyond the model's context is not read.

        Texts of one length are computed together, so that none waits for a longer one.
        """
        texts = [texts] if isinstance(texts, str) else texts
        vectors = np.empty((len(texts), self._loaded.config.embed_dim), dtype=np.float32)
        for start in range(0, len(texts), _TOKENIZED_TOGETHER):
            ids = self._loaded.tokenize(texts[start : start + _TOKENIZED_TOGETHER])
            by_length = (ids != self._loaded.config.text.pad_id).sum(dim=1).argsort(stable=True)
            for at in range(0, len(by_length), batch_size):
                rows = by_length[at : at + batch_size]
                vectors[start + rows.cpu().numpy()] = as_numpy(self._loaded.model.encode_text(ids[rows]))
        return vectors


class NoNumbersError(CocaSearchError):
    """A model gives vectors that are infinite or not numbers."""


def as_numpy(vectors: Tensor) -> Vectors:
    """Vectors as float32 rows of numpy.

    Raises:
        NoNumbersError: Some are infinite or not numbers.
    """
    rows: Vectors = vectors.float().cpu().numpy()
    if not np.isfinite(rows).all():
        raise NoNumbersError(
            "the model gives vectors that are no numbers: it overflows, or its weights are damaged",
            hint="COCASEARCH_DTYPE=float32 in front of the same command",
        )
    return rows
