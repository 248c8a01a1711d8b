"""Loading of a model with its tokenizer and preprocessing, ready for inference."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from cocasearch.checkpoints.confidence_file import ConfidenceModel
from cocasearch.checkpoints.hub.catalogue import can_rerank
from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.checkpoints.registry import name_of, resolve_model
from cocasearch.errors import CocaSearchError
from cocasearch.images.transforms import Preprocess
from cocasearch.inference.device import choose_device, choose_dtype, keep_freed_memory
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.prepacked_linear import prepack_linear_layers
from cocasearch.model.coca import TOWERS, CoCa, Tower
from cocasearch.model.config import CoCaConfig, EfficientNetLiteConfig
from cocasearch.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory with everything that belongs to it.

    Attributes:
        name: The name by which `load_model` finds it again: a registered name or an absolute path.
        fingerprint: Digest of the weights and of all that changes their vectors.
        model: For inference alone: on a CPU its linear layers are prepacked, unseen by gradients and `state_dict`.
        preprocess: What turns an upright RGB image into a (3, S, S) tensor.
        can_rerank: Whether its vectors tell which caption fits an image; some published weights have lost that.
        confidence: The model of its captions' confidence; None if it was never calibrated, or loaded without the
            caption tower.
    """

    name: str
    model: CoCa = field(repr=False)  # page after page of layers
    tokenizer: Tokenizer = field(repr=False)
    preprocess: Preprocess = field(repr=False)
    fingerprint: str
    device: torch.device
    dtype: torch.dtype
    can_rerank: bool = True
    confidence: ConfidenceModel | None = field(default=None, repr=False)

    @property
    def config(self) -> CoCaConfig:
        return self.model.config

    def to_device(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, S, S) on the model's device, in the memory layout that suits the image encoder."""
        layout = image_memory_format(self.config)
        if self.device.type == "cuda" and pixels.device.type == "cpu":
            pixels = pixels.pin_memory()  # so that the copy need not be waited for
        return pixels.to(self.device, non_blocking=True).contiguous(memory_format=layout)

    def complete(self, options: CaptionOptions) -> CaptionOptions:
        """Caption options with the defaults that depend on the model."""
        return options.for_model(can_rerank=self.can_rerank)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token ids (B, L) of texts on the model's device."""
        return self.tokenizer(texts, self.config.text.context_length).to(self.device)


def load_model(
    name_or_folder: str | Path | None = None,
    *,
    device: str = "auto",
    dtype: str = "auto",
    towers: Tower | Collection[Tower] = tuple(TOWERS),
    prepack: bool = True,
) -> LoadedModel:
    """Load the model of a name or folder; for None the best one on this machine.

    Args:
        name_or_folder: A model's name (`cocasearch models list`) or its folder.
        device: "auto", "cpu", "cuda" or "mps".
        dtype: "auto" (bfloat16 where that is faster), "float32", "bfloat16" or "float16".
        towers: The parts that will be used, of "image", "text" and "caption": a text query needs but one of them.
        prepack: On a CPU, store linear layers as its kernels read them: faster from the second use on. Otherwise
            weights stay on disk until they are used, which is quicker for a single query.

    Raises:
        CocaSearchError: There is no such model, device, dtype or tower, or a file is damaged.
    """
    keep_freed_memory()
    towers = (towers,) if isinstance(towers, str) else towers
    if unknown := set(towers) - set(TOWERS):
        raise CocaSearchError(f"a model has no tower '{min(unknown)}'; there are {', '.join(TOWERS)}")
    stored = read_model_folder(resolve_model(name_or_folder))
    chosen_device = choose_device(device)
    chosen_dtype = choose_dtype(dtype, chosen_device)
    prepack = prepack and chosen_device.type == "cpu"
    model = stored.load_model(dtype=chosen_dtype, towers=towers, mapped=not prepack)
    model.requires_grad_(False).to(chosen_device)
    lay_out_image_encoder(model)
    if prepack:
        prepack_linear_layers(model)
    return LoadedModel(
        name=name_of(stored.folder),
        model=model,
        tokenizer=stored.tokenizer,
        preprocess=Preprocess(stored.preprocess),
        fingerprint=stored.fingerprint,
        device=chosen_device,
        dtype=chosen_dtype,
        can_rerank=can_rerank(stored.folder.resolve().name),
        confidence=stored.read_confidence() if "caption" in towers else None,
    )


def lay_out_image_encoder(model: CoCa) -> None:
    """Store the image encoder's weights in the layout in which it is fastest, in place."""
    model.image_encoder.to(memory_format=image_memory_format(model.config))  # type: ignore[call-overload]


def image_memory_format(config: CoCaConfig) -> torch.memory_format:
    """The layout in which the image encoder is fastest: channels last for convolutions."""
    is_convolutional = isinstance(config.image, EfficientNetLiteConfig)
    return torch.channels_last if is_convolutional else torch.contiguous_format
