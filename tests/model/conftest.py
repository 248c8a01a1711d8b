"""A tiny CoCa in which everything matters: no parameter is small, zero or one, as fresh ones are."""

from collections.abc import Callable

import pytest
import torch

from cocasearch.model.coca import CoCa
from cocasearch.model.config import (
    CoCaConfig,
    EfficientNetLiteConfig,
    MultimodalConfig,
    PoolerConfig,
    RobertaConfig,
    TextConfig,
    VisionTransformerConfig,
)

VISION_TRANSFORMER = VisionTransformerConfig(image_size=16, patch_size=4, layers=1, width=32, head_width=16)
CONVOLUTIONAL = EfficientNetLiteConfig(
    image_size=16, stem_channels=8, head_channels=48, blocks=((1, 3, 1, 1, 8), (2, 3, 2, 4, 16))
)


def tiny_config(pooler: str, *, layers: int, convolutional: bool) -> CoCaConfig:
    return CoCaConfig(
        embed_dim=24,
        image=CONVOLUTIONAL if convolutional else VISION_TRANSFORMER,
        pooler=PoolerConfig(kind=pooler, queries=6, heads=4),  # type: ignore[arg-type]
        text=TextConfig(context_length=12, vocab_size=50, width=32, heads=4, layers=layers),
        multimodal=MultimodalConfig(layers=layers, heads=4),
    )


@pytest.fixture(scope="session")
def build_tiny() -> Callable[..., CoCa]:
    """build_tiny(pooler, layers=2, convolutional=False): a fresh tiny model, the same one every time."""

    def build(pooler: str, *, layers: int = 2, convolutional: bool = False) -> CoCa:
        torch.manual_seed(0)
        return CoCa(tiny_config(pooler, layers=layers, convolutional=convolutional))

    return build


@pytest.fixture(scope="session")
def tiny(build_tiny: Callable[..., CoCa]) -> CoCa:
    return stirred(build_tiny("single"))


@pytest.fixture(scope="session")
def tiny_roberta_config() -> CoCaConfig:
    """RoBERTa as the text half, no pooler, as in coca_roberta-ViT-B-32."""
    return CoCaConfig(
        embed_dim=24,
        image=VISION_TRANSFORMER,
        pooler=PoolerConfig(kind="none"),
        text=RobertaConfig(context_length=12, vocab_size=50, width=32, heads=4, layers=2, mlp_width=80, positions=20),
        multimodal=MultimodalConfig(layers=2, heads=4),
    )


@pytest.fixture(scope="session")
def tiny_roberta(tiny_roberta_config: CoCaConfig) -> CoCa:
    torch.manual_seed(0)
    return stirred(CoCa(tiny_roberta_config))


def stirred(model: CoCa) -> CoCa:
    model.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model
