"""Tiny models with random weights, restless enough that captions differ, repeat and end at different lengths."""

from collections.abc import Callable

import pytest
import torch

from cocasearch.images.transforms import Preprocess, PreprocessConfig
from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig, MultimodalConfig, PoolerConfig, TextConfig, VisionTransformerConfig
from cocasearch.text.tokenizer import Tokenizer

IMAGE_SIZE = 16


@pytest.fixture(scope="session")
def tiny_loaded(tiny_tokenizer: Tokenizer) -> Callable[[int], LoadedModel]:
    """Builds the tiny model of a seed."""

    def build(seed: int) -> LoadedModel:
        config = CoCaConfig(
            embed_dim=16,
            image=VisionTransformerConfig(image_size=IMAGE_SIZE, patch_size=8, layers=1, width=16, head_width=8),
            pooler=PoolerConfig(kind="single", queries=5, heads=2),
            text=TextConfig(context_length=16, vocab_size=tiny_tokenizer.vocab_size, width=16, heads=2, layers=1),
            multimodal=MultimodalConfig(layers=2, heads=2),
        )
        torch.manual_seed(seed)
        model = CoCa(config).eval().requires_grad_(False)
        _make_restless(model, tiny_tokenizer.eot_id)
        preprocess = Preprocess(PreprocessConfig(image_size=IMAGE_SIZE))
        cpu = torch.device("cpu")
        return LoadedModel("tiny", model, tiny_tokenizer, preprocess, f"tiny-{seed}", cpu, torch.float32)

    return build


@pytest.fixture
def pixels() -> torch.Tensor:
    """Four images of noise."""
    return torch.randn(4, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(7))


def _make_restless(model: CoCa, eot_id: int) -> None:
    """Larger weights, so that image and history decide the next id, and an end that is never far."""
    for name, weight in model.named_parameters():
        if weight.dim() > 1 and "norm" not in name:
            weight.mul_(2.5)
    model.multimodal_decoder.output_norm.bias.normal_()
    model.text_decoder.token_embedding.weight.mul_(10)
    bias = model.multimodal_decoder.output_norm.bias
    model.multimodal_decoder.vocabulary.weight[eot_id] += 2.2 * bias / bias.norm()
