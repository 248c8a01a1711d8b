"""CoCa models with OpenCLIP's goldens: the rule that their weights follow, and the captions that they write.

`golden/README.md` says where the numbers come from. Shapes are written out here from OpenCLIP's layout, not derived
from ours.
"""

import functools
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from cocasearch.images.transforms import Preprocess, PreprocessConfig
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.generation.captioner import Captioner
from cocasearch.inference.loaded_model import LoadedModel
from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig, MultimodalConfig, PoolerConfig, TextConfig, VisionTransformerConfig
from cocasearch.text.tokenizer import Tokenizer

CAPTIONS = Path(__file__).parent / "golden" / "openclip" / "captions.safetensors"
Shapes = dict[str, tuple[int, ...]]


def tiny(
    *, pooler: PoolerConfig, image_width: int, head_width: int = 32, layer_scale: float | None = None
) -> CoCaConfig:
    return CoCaConfig(
        embed_dim=64,
        image=VisionTransformerConfig(
            image_size=32, patch_size=8, layers=2, width=image_width, head_width=head_width, layer_scale=layer_scale
        ),
        pooler=pooler,
        text=TextConfig(context_length=24, vocab_size=1000, width=64, heads=4, layers=2, layer_scale=layer_scale),
        multimodal=MultimodalConfig(layers=2, heads=4, layer_scale=layer_scale),
        quick_gelu=layer_scale is not None,
    )


POOLED = PoolerConfig(kind="single", queries=16, heads=8)
# name -> architecture, seed of its weights, length of the vocabulary's column for the end of text
TINY: dict[str, tuple[CoCaConfig, int, float]] = {
    "tiny_main": (tiny(pooler=POOLED, image_width=96), 1, 3.1),
    "tiny_tokpool": (tiny(pooler=PoolerConfig(kind="none"), image_width=64, head_width=16), 2, 2.3),
    "tiny_quickgelu_ls": (tiny(pooler=POOLED, image_width=96, layer_scale=0.1), 5, 2.5),
}


def openclip_shapes(config: CoCaConfig) -> Shapes:
    """Every key of OpenCLIP's CoCa with its shape."""
    image, text, embed_dim = config.image, config.text, config.embed_dim
    assert isinstance(image, VisionTransformerConfig)
    pooled_width = image.width if config.pooler.kind == "none" else embed_dim
    shapes: Shapes = {
        "logit_scale": (),
        "text.cls_emb": (text.width,),
        "text.positional_embedding": (text.context_length + 1, text.width),
        "text.text_projection": (text.width, embed_dim),
        "text.token_embedding.weight": (text.vocab_size, text.width),
        "visual.class_embedding": (image.width,),
        "visual.positional_embedding": (image.grid_size**2 + 1, image.width),
        "visual.proj": (pooled_width, embed_dim),
        "visual.conv1.weight": (image.width, 3, image.patch_size, image.patch_size),
        "text_decoder.text_projection": (text.width, text.vocab_size),
        **norm_shapes("text.ln_final", text.width),
        **norm_shapes("visual.ln_pre", image.width),
        **norm_shapes("visual.ln_post", pooled_width),
        **norm_shapes("text_decoder.ln_final", text.width),
    }
    for layer in range(image.layers):
        shapes |= block_shapes(f"visual.transformer.resblocks.{layer}", image.width, image.layer_scale)
    for layer in range(text.layers):
        shapes |= block_shapes(f"text.transformer.resblocks.{layer}", text.width, text.layer_scale)
    for layer in range(config.multimodal.layers):
        cross = f"text_decoder.cross_attn.{layer}"
        shapes |= block_shapes(f"text_decoder.resblocks.{layer}", text.width, config.multimodal.layer_scale)
        shapes |= block_shapes(cross, text.width, config.multimodal.layer_scale)
        shapes |= norm_shapes(f"{cross}.ln_1_kv", text.width)
    if config.pooler.kind == "single":
        shapes |= pooler_shapes(embed_dim, image.width, config.pooler.queries)
    return shapes


def norm_shapes(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def block_shapes(name: str, width: int, layer_scale: float | None) -> Shapes:
    scales: Shapes = {} if layer_scale is None else {f"{name}.ls_{branch}.gamma": (width,) for branch in (1, 2)}
    return {
        **norm_shapes(f"{name}.ln_1", width),
        **norm_shapes(f"{name}.ln_2", width),
        f"{name}.attn.in_proj_weight": (3 * width, width),
        f"{name}.attn.in_proj_bias": (3 * width,),
        f"{name}.attn.out_proj.weight": (width, width),
        f"{name}.attn.out_proj.bias": (width,),
        f"{name}.mlp.c_fc.weight": (4 * width, width),
        f"{name}.mlp.c_fc.bias": (4 * width,),
        f"{name}.mlp.c_proj.weight": (width, 4 * width),
        f"{name}.mlp.c_proj.bias": (width,),
        **scales,
    }


def pooler_shapes(width: int, image_width: int, queries: int) -> Shapes:
    name, attention = "visual.attn_pool", "visual.attn_pool.attn"
    projections: Shapes = {f"{attention}.in_proj_weight": (3 * width, width)}
    if image_width != width:
        projections = {
            f"{attention}.q_proj_weight": (width, width),
            f"{attention}.k_proj_weight": (width, image_width),
            f"{attention}.v_proj_weight": (width, image_width),
        }
    return {
        f"{name}.query": (queries, width),
        **norm_shapes(f"{name}.ln_q", width),
        **norm_shapes(f"{name}.ln_k", image_width),
        **projections,
        f"{attention}.in_proj_bias": (3 * width,),
        f"{attention}.out_proj.weight": (width, width),
        f"{attention}.out_proj.bias": (width,),
    }


def seeded_weights(config: CoCaConfig, seed: int, end_of_text_gain: float, end_of_text: int) -> dict[str, Tensor]:
    """The weights that the goldens were made with: normal noise per key, scaled so that every part matters."""
    weights = {key: seeded_tensor(key, shape, seed) for key, shape in openclip_shapes(config).items()}
    direction = torch.nn.functional.normalize(weights["text_decoder.ln_final.bias"], dim=0)
    weights["text_decoder.text_projection"][:, end_of_text] = end_of_text_gain * direction
    return weights


def seeded_tensor(key: str, shape: tuple[int, ...], seed: int) -> Tensor:
    if key == "logit_scale":
        return torch.tensor(2.6593)
    generator = torch.Generator().manual_seed((zlib.crc32(key.encode()) + 1000003 * seed) & 0x7FFFFFFF)
    noise = torch.randn(shape, generator=generator)
    if len(shape) < 2:
        if ".ln_" in key and key.endswith("weight"):
            return 1 + 0.1 * noise
        return noise * (0.5 if key == "text_decoder.ln_final.bias" else 0.1)
    if key == "text.token_embedding.weight":
        return 0.5 * noise
    if key.endswith(("positional_embedding", "query")):
        return 0.3 * noise
    if key == "text_decoder.text_projection":
        return 3 * noise * shape[0] ** -0.5
    fan_in = noise[0].numel() if key.endswith("weight") else shape[0]
    return noise * fan_in**-0.5


# OpenCLIP's options of each case -> ours; what is not given has OpenCLIP's default in both
CASES: dict[str, dict[str, Any]] = {
    "beam_default_6x3": {},
    "beam_2x1": {"num_beams": 2, "num_beam_groups": 1},
    "beam_4x1": {"num_beams": 4, "num_beam_groups": 1},
    "beam_6x1": {"num_beam_groups": 1},
    "beam_6x1_rep1.5": {"num_beam_groups": 1, "repetition_penalty": 1.5},
    "beam_6x1_min9": {"num_beam_groups": 1, "min_length": 9},
    "beam_6x1_fixed": {"num_beam_groups": 1},
    "greedy_topk1": {"strategy": "greedy"},
    "greedy_topk1_rep1.5": {"strategy": "greedy", "repetition_penalty": 1.5},
    "greedy_topk1_min9": {"strategy": "greedy", "min_length": 9},
    "greedy_topk1_fixed": {"strategy": "greedy"},
    "greedy_topk1_prompt": {"strategy": "greedy", "prompt": "7 8"},
}


def compare_captions(name: str, model: CoCa, tokenizer: Tokenizer, pixels: Tensor) -> None:
    """Write captions in every way that the goldens of a model know, and find the same ids."""
    loaded = LoadedModel(
        name, model, tokenizer, Preprocess(PreprocessConfig()), name, torch.device("cpu"), torch.float32
    )
    tokens = model.image_features(pixels).tokens
    length = 30 if name.startswith("coca") else 18
    goldens = {key.removeprefix(f"{name}."): ids for key, ids in load_file(CAPTIONS).items() if key.startswith(name)}
    assert len(goldens) >= 9
    write = functools.cache(Captioner(loaded).caption_tokens)  # cases that differ in padding alone are run once
    for case, expected in goldens.items():
        options = CaptionOptions(**{"compat": "openclip", "max_length": length, **CASES[case]})
        written = [caption.token_ids for caption in write(tokens, options)]
        longest = length if case.endswith("fixed") else max(map(len, written))
        assert [[*ids, *[tokenizer.pad_id] * (longest - len(ids))] for ids in written] == expected.tolist(), case


def training_batch() -> tuple[Tensor, Tensor]:
    """Eight pictures (8, 3, 32, 32) and their captions (8, 24), of 4 to 24 ids; the halves differ in tokens."""
    generator = torch.Generator().manual_seed(17)
    pixels = torch.randn(8, 3, 32, 32, generator=generator)
    ids = torch.randint(1, 998, (8, 24), generator=generator)
    for row, length in enumerate((24, 17, 20, 9, 4, 11, 6, 8)):
        ids[row, 0], ids[row, length - 1], ids[row, length:] = 998, 999, 0
    return pixels, ids
