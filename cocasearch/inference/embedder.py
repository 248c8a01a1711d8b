"""Pixels and texts in, unit vectors out: numpy rows in float32, whose dot products are cosines.

Knows nothing about indexes or queries; where images come from ends with `embed_image_file`.
"""

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
    """Vectors of images and texts in the space that both share.

    Args:
        loaded: The model that embeds.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded

    @torch.inference_mode()
    def embed_pixels(self, pixels: Tensor) -> Vectors:
        """Unit rows (B, E) of images (B, 3, S, S), as the model's `preprocess` makes them."""
        return as_numpy(self._loaded.model.encode_image(self._loaded.to_device(pixels)))

    def embed_image_file(self, source: ImageSource | Image.Image) -> Vectors:
        """The unit vector (E,) of one image: a file, its bytes, or PIL's image in memory.

        Raises:
            UnreadableImage: If it is none, or damaged.
        """
        preprocess = self._loaded.preprocess
        if isinstance(source, Image.Image):
            image = make_upright(source)
        else:
            image, _ = read_image(source, min_side=preprocess.min_decode_side)
        return self.embed_pixels(preprocess(image)[None])[0]

    @torch.inference_mode()
    def embed_texts(self, texts: str | Sequence[str], batch_size: int = 64) -> Vectors:
        """Unit rows (N, E) of texts, of one alone a single row; what exceeds the model's context is not read.

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
    """A model's vectors are infinite or no numbers."""


def as_numpy(vectors: Tensor) -> Vectors:
    """The same rows as numpy's, in float32, on the CPU.

    Raises:
        NoNumbersError: Not all are numbers.
    """
    rows: Vectors = vectors.float().cpu().numpy()
    if not np.isfinite(rows).all():
        raise NoNumbersError(
            "the model gives vectors that are no numbers: it overflows, or its weights are damaged",
            hint="COCASEARCH_DTYPE=float32 in front of the same command",
        )
    return rows
