"""CoCa models with a RoBERTa as text half, in OpenCLIP's layout: the seeded rule that their weights follow.

Shapes are written out here from the layout there, not derived from ours.
"""

import zlib
from typing import Any

import torch
from torch import Tensor

from cocasearch.checkpoints.foreign.roberta_weights import read_roberta_config
from cocasearch.model.config import CoCaConfig, MultimodalConfig, PoolerConfig, RobertaConfig, VisionTransformerConfig

PUBLISHED: dict[str, Any] = {  # what roberta-base says of itself, as far as it matters
    "model_type": "roberta",
    "hidden_act": "gelu",
    "vocab_size": 50265,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-05,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "attention_probs_dropout_prob": 0.1,
}
TINY = PUBLISHED | {
    "vocab_size": 300,
    "hidden_size": 48,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "intermediate_size": 80,
    "max_position_embeddings": 40,
}
Shapes = dict[str, tuple[int, ...]]


def tiny_config() -> CoCaConfig:
    return CoCaConfig(
        embed_dim=24,
        image=VisionTransformerConfig(image_size=16, patch_size=8, layers=1, width=48, head_width=16),
        pooler=PoolerConfig(kind="none"),
        text=read_roberta_config(TINY, context_length=16),
        multimodal=MultimodalConfig(layers=1, heads=4),
    )


def openclip_shapes(config: CoCaConfig) -> Shapes:
    """Every key of OpenCLIP's CoCa with RoBERTa, which has no pooler, with its shape."""
    image, text = config.image, config.text
    assert isinstance(image, VisionTransformerConfig)
    assert isinstance(text, RobertaConfig)
    shapes: Shapes = {
        "logit_scale": (),
        "visual.class_embedding": (image.width,),
        "visual.positional_embedding": (image.grid_size**2 + 1, image.width),
        "visual.proj": (image.width, config.embed_dim),
        "visual.conv1.weight": (image.width, 3, image.patch_size, image.patch_size),
        "text_decoder.text_projection": (text.width, config.output_vocab_size),
        **linear_shapes("visual.ln_pre", image.width),
        **linear_shapes("visual.ln_post", image.width),
        **linear_shapes("text_decoder.ln_final", text.width),
        **roberta_shapes(text, config.embed_dim),
    }
    for layer in range(image.layers):
        shapes |= block_shapes(f"visual.transformer.resblocks.{layer}", image.width)
    for layer in range(config.multimodal.layers):
        shapes |= block_shapes(f"text_decoder.resblocks.{layer}", text.width)
        shapes |= block_shapes(f"text_decoder.cross_attn.{layer}", text.width)
        shapes |= linear_shapes(f"text_decoder.cross_attn.{layer}.ln_1_kv", text.width)
    return shapes


def roberta_shapes(text: RobertaConfig, embed_dim: int) -> Shapes:
    embeddings, width = "text.transformer.embeddings", text.width
    shapes: Shapes = {
        f"{embeddings}.word_embeddings.weight": (text.vocab_size, width),
        f"{embeddings}.position_embeddings.weight": (text.positions, width),
        f"{embeddings}.token_type_embeddings.weight": (1, width),
        **linear_shapes(f"{embeddings}.LayerNorm", width),
        "text.proj.weight": (embed_dim, width),
    }
    for number in range(text.layers):
        layer = f"text.transformer.encoder.layer.{number}"
        for part in ("query", "key", "value"):
            shapes |= linear_shapes(f"{layer}.attention.self.{part}", width, width)
        shapes |= linear_shapes(f"{layer}.attention.output.dense", width, width)
        shapes |= linear_shapes(f"{layer}.attention.output.LayerNorm", width)
        shapes |= linear_shapes(f"{layer}.intermediate.dense", text.mlp_width, width)
        shapes |= linear_shapes(f"{layer}.output.dense", width, text.mlp_width)
        shapes |= linear_shapes(f"{layer}.output.LayerNorm", width)
    return shapes


def linear_shapes(name: str, outputs: int, *inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, *inputs), f"{name}.bias": (outputs,)}


def block_shapes(name: str, width: int) -> Shapes:
    return {
        **linear_shapes(f"{name}.ln_1", width),
        **linear_shapes(f"{name}.ln_2", width),
        f"{name}.attn.in_proj_weight": (3 * width, width),
        f"{name}.attn.in_proj_bias": (3 * width,),
        **linear_shapes(f"{name}.attn.out_proj", width, width),
        **linear_shapes(f"{name}.mlp.c_fc", 4 * width, width),
        **linear_shapes(f"{name}.mlp.c_proj", width, 4 * width),
    }


def seeded_weights(config: CoCaConfig) -> dict[str, Tensor]:
    return {key: seeded_tensor(key, shape) for key, shape in openclip_shapes(config).items()}


def seeded_tensor(key: str, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed((zlib.crc32(key.encode()) + 1000003) & 0x7FFFFFFF)
    noise = torch.randn(shape, generator=generator)
    if len(shape) < 2:
        return 1 + 0.1 * noise if key.endswith(("LayerNorm.weight", "logit_scale")) else 0.1 * noise
    return 0.5 * noise if "embeddings" in key else noise * shape[1] ** -0.5
