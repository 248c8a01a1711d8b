"""Conversion of OpenCLIP's CoCa weights to our parameter names.

A state dict of OpenCLIP's CoCa (coca_model.py of release 3.3.0) becomes one for `CoCa.load_state_dict`. The map is
linear, so gradients pass through it too. Each tower has a table that says from what each of our parameters is read; `*`
in it stands for a layer's number.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from cocasearch.checkpoints.foreign.position_resizing import resize_image_positions, resize_text_positions
from cocasearch.checkpoints.foreign.roberta_weights import ROBERTA_TEXT_TOWER, WORDS
from cocasearch.checkpoints.foreign.tensor_sources import (
    Source,
    Table,
    affine,
    key_value_rows,
    query_rows,
    source_of,
    stacked,
    transposed,
    whole,
)
from cocasearch.errors import CocaSearchError
from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig, RobertaConfig, VisionTransformerConfig, presets

VOCABULARY = "text_decoder.text_projection"
DOWNLOAD_AGAIN = "the file may be cut off or of another model: download it again, or name its architecture with --arch"


def _block(ours: str, theirs: str) -> Table:
    """The table of a stack of layers, except for their attention's input projection."""
    return {
        **affine(f"{ours}.*.attention_norm", f"{theirs}.*.ln_1"),
        **affine(f"{ours}.*.attention.out", f"{theirs}.*.attn.out_proj"),
        **affine(f"{ours}.*.mlp_norm", f"{theirs}.*.ln_2"),
        **affine(f"{ours}.*.mlp.expand", f"{theirs}.*.mlp.c_fc"),
        **affine(f"{ours}.*.mlp.contract", f"{theirs}.*.mlp.c_proj"),
        f"{ours}.*.attention_residual.scale.gamma": whole(f"{theirs}.*.ls_1.gamma"),
        f"{ours}.*.mlp_residual.scale.gamma": whole(f"{theirs}.*.ls_2.gamma"),
    }


def _self_attending(ours: str, theirs: str) -> Table:
    projection = {
        f"{ours}.*.attention.qkv.{kind}": whole(f"{theirs}.*.attn.in_proj_{kind}") for kind in ("weight", "bias")
    }
    return _block(ours, theirs) | projection


def _cross_attending(ours: str, theirs: str) -> Table:
    table = _block(ours, theirs) | affine(f"{ours}.*.context_norm", f"{theirs}.*.ln_1_kv")
    for kind in ("weight", "bias"):
        table[f"{ours}.*.attention.query.{kind}"] = query_rows(f"{theirs}.*.attn.in_proj_{kind}")
        table[f"{ours}.*.attention.key_value.{kind}"] = key_value_rows(f"{theirs}.*.attn.in_proj_{kind}")
    return table


IMAGE_TOWER: Table = {
    "image_encoder.class_embedding": whole("visual.class_embedding"),
    "image_encoder.positions": whole("visual.positional_embedding"),
    "image_encoder.patches.weight": whole("visual.conv1.weight"),
    **affine("image_encoder.input_norm", "visual.ln_pre"),
    **_self_attending("image_encoder.blocks", "visual.transformer.resblocks"),
    **affine("pooling.norm", "visual.ln_post"),
    "image_projection.weight": transposed("visual.proj"),
}
POOLER: Table = {
    "pooling.pooler.queries": whole("visual.attn_pool.query"),
    **affine("pooling.pooler.query_norm", "visual.attn_pool.ln_q"),
    **affine("pooling.pooler.context_norm", "visual.attn_pool.ln_k"),
    **affine("pooling.pooler.attention.out", "visual.attn_pool.attn.out_proj"),
    "pooling.pooler.attention.query.bias": query_rows("visual.attn_pool.attn.in_proj_bias"),
    "pooling.pooler.attention.key_value.bias": key_value_rows("visual.attn_pool.attn.in_proj_bias"),
    "pooling.pooler.attention.query.weight": whole("visual.attn_pool.attn.q_proj_weight"),
    "pooling.pooler.attention.key_value.weight": stacked(
        "visual.attn_pool.attn.k_proj_weight", "visual.attn_pool.attn.v_proj_weight"
    ),
}
_FUSED_PROJECTION = "visual.attn_pool.attn.in_proj_weight"  # when image and pooler are equally wide
FUSED_POOLER: Table = POOLER | {
    "pooling.pooler.attention.query.weight": query_rows(_FUSED_PROJECTION),
    "pooling.pooler.attention.key_value.weight": key_value_rows(_FUSED_PROJECTION),
}
CLIP_TEXT_TOWER: Table = {
    "text_decoder.cls_embedding": whole("text.cls_emb"),
    "text_decoder.positions": whole("text.positional_embedding"),
    "text_decoder.token_embedding.weight": whole("text.token_embedding.weight"),
    **_self_attending("text_decoder.blocks", "text.transformer.resblocks"),
    **affine("text_decoder.output_norm", "text.ln_final"),
    "text_decoder.projection.weight": transposed("text.text_projection"),
}
MULTIMODAL_DECODER: Table = {
    **_self_attending("multimodal_decoder.self_blocks", "text_decoder.resblocks"),
    **_cross_attending("multimodal_decoder.cross_blocks", "text_decoder.cross_attn"),
    **affine("multimodal_decoder.output_norm", "text_decoder.ln_final"),
    "multimodal_decoder.vocabulary.weight": transposed(VOCABULARY),
}


def from_openclip(
    state_dict: Mapping[str, Tensor], config: CoCaConfig, *, keep_cls_position: bool = True
) -> dict[str, Tensor]:
    """The state dict under our names. Its tensors are views of the given ones wherever possible.

    Args:
        state_dict: OpenCLIP's, bare or as training leaves it; what does not belong to the model is ignored.
        config: The architecture. Another image size or text length than the trained one resizes the positions.
        keep_cls_position: How text positions are resized; False is OpenCLIP's way (`resize_text_positions`).

    Raises:
        CocaSearchError: It is not a CoCa of OpenCLIP's, or does not fit the architecture; key and shapes are named.
    """
    weights = tidy(state_dict)
    _refuse_foreign(weights)
    table, converted, used = _table(config, weights), {}, set[str]()
    for name, shape in _parameter_shapes(config).items():
        source = source_of(table, name)
        _refuse_missing(source, weights)
        values = [weights[key] for key in source.keys]
        if name == "image_encoder.positions" and isinstance(config.image, VisionTransformerConfig):
            values = [resize_image_positions(values[0], config.image.grid_size)]
        elif name == "text_decoder.positions" and not isinstance(config.text, RobertaConfig):
            values = [resize_text_positions(values[0], shape[0], keep_cls=keep_cls_position)]
        _refuse_misfit(source, values, shape, weights)
        converted[name] = source.read(*values).reshape(shape)
        used.update(source.keys)
    if surplus := sorted(weights.keys() - used):
        raise CocaSearchError(
            f"the weights do not fit the architecture: {_first_of(surplus)} is not part of it", hint=_way_on(weights)
        )
    return converted


def tidy(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without what training, compiling and older releases have left in it.

    Prefixes of wrappers are removed, CLIP's old flat text keys get theirs, and what is not a weight is dropped:
    attention masks, position ids, and the scalar `logit_bias`, which moves all similarities alike and changes nothing.
    """
    tidied: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        key = key.replace("_orig_mod.", "").removeprefix("module.")
        if _OLD_TEXT_KEY.match(key):
            key = f"text.{key}"
        if not key.endswith(("attn_mask", "position_ids")) and key != "logit_bias":
            tidied[key] = value
    return tidied


_OLD_TEXT_KEY = re.compile(r"(positional_embedding|text_projection|token_embedding|transformer|ln_final)(\.|$)")


def guess_preset(weights: Mapping[str, Tensor]) -> str | None:
    """The named architecture whose patches and words are as wide as those of a tidied state dict."""
    patches = weights.get("visual.conv1.weight")
    words = weights.get("text.token_embedding.weight", weights.get(WORDS))
    for name, config in presets().items():
        image, text = config.image, config.text
        if isinstance(image, VisionTransformerConfig) and patches is not None and words is not None:
            side = image.patch_size
            if patches.shape == (image.width, 3, side, side) and words.shape == (text.vocab_size, text.width):
                return name
    return None


def _table(config: CoCaConfig, weights: Mapping[str, Tensor]) -> Table:
    if not isinstance(config.image, VisionTransformerConfig) or config.pooler.kind not in ("none", "single"):
        raise CocaSearchError(
            "this architecture is not one of OpenCLIP's, which have a ViT and one pooler or none",
            hint=f"--arch with one of {', '.join(openclip_presets())}",
        )
    pooler = FUSED_POOLER if _FUSED_PROJECTION in weights else POOLER
    text = ROBERTA_TEXT_TOWER if isinstance(config.text, RobertaConfig) else CLIP_TEXT_TOWER
    return {"logit_scale": whole("logit_scale"), **IMAGE_TOWER, **pooler, **text, **MULTIMODAL_DECODER}


def openclip_presets() -> list[str]:
    """The named architectures that OpenCLIP has too."""
    return [name for name, config in presets().items() if isinstance(config.image, VisionTransformerConfig)]


def _parameter_shapes(config: CoCaConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in CoCa(config).state_dict().items()}


def _refuse_foreign(weights: Mapping[str, Tensor]) -> None:
    if any(key.startswith("multimodal_decoder.") for key in weights):
        raise CocaSearchError("these weights are in cocasearch's own layout", hint="use their folder with --model")
    if "visual.conv1.weight" not in weights and "visual.proj" not in weights:
        first = _first_of(list(weights)) if weights else "nothing"
        raise CocaSearchError(
            f"these are no weights of a CoCa of OpenCLIP's: there is no visual.conv1.weight, but {first}",
            hint="cocasearch models list shows the published ones",
        )
    if not any(key.startswith("text_decoder.") for key in weights):
        raise CocaSearchError(
            "these are the weights of a CLIP, not of a CoCa: there is no text_decoder to write captions",
            hint="cocasearch models list shows the published ones",
        )


def _refuse_missing(source: Source, weights: Mapping[str, Tensor]) -> None:
    if missing := [key for key in source.keys if key not in weights]:
        raise CocaSearchError(
            f"the weights do not fit the architecture: {missing[0]} is missing", hint=_way_on(weights)
        )


def _refuse_misfit(source: Source, values: list[Tensor], shape: tuple[int, ...], weights: Mapping[str, Tensor]) -> None:
    wanted = source.foreign_shape(shape)
    for key, value in zip(source.keys, values, strict=True):
        here = tuple(value.shape)
        if not value.is_floating_point():
            raise CocaSearchError(f"{key} is stored as {value.dtype}: weights must be floating-point numbers")
        if here != wanted and not (value.numel() == 1 and wanted == ()):  # releases differ in how they store a scalar
            raise CocaSearchError(
                f"the weights do not fit the architecture: {key} is {here}, not {wanted}", hint=_way_on(weights)
            )


def _way_on(weights: Mapping[str, Tensor]) -> str:
    preset = guess_preset(weights)
    return (
        f"they look like --arch {preset}; if that is what you gave, download them again" if preset else DOWNLOAD_AGAIN
    )


def _first_of(keys: Iterable[str]) -> str:
    first, *others = keys
    return f"{first} (and {len(others)} more)" if others else first
