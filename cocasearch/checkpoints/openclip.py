"""OpenCLIP's CoCa weights in our parameter names.

Receives a state dict as OpenCLIP's CoCa writes it (spec: coca_model.py of release 3.3.0) and the architecture it was
made for; hands on a state dict for `CoCa.load_state_dict`. The map is linear, so gradients pass through it too.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from cocasearch.model.config import CoCaConfig

_BLOCK_PARTS = {
    "ln_1": "attention_norm",
    "ln_1_kv": "context_norm",
    "ln_2": "mlp_norm",
    "mlp.c_fc": "mlp.expand",
    "mlp.c_proj": "mlp.contract",
    "attn.out_proj": "attention.out",
    "ls_1": "attention_residual.scale",
    "ls_2": "mlp_residual.scale",
}
_STEMS = {
    "visual.transformer.resblocks": "image_encoder.blocks",
    "text.transformer.resblocks": "text_decoder.blocks",
    "text_decoder.resblocks": "multimodal_decoder.self_blocks",
    "text_decoder.cross_attn": "multimodal_decoder.cross_blocks",
}
_SINGLES = {
    "logit_scale": "logit_scale",
    "text.cls_emb": "text_decoder.cls_embedding",
    "text.positional_embedding": "text_decoder.positions",
    "text.token_embedding.weight": "text_decoder.token_embedding.weight",
    "text.ln_final.weight": "text_decoder.output_norm.weight",
    "text.ln_final.bias": "text_decoder.output_norm.bias",
    "visual.class_embedding": "image_encoder.class_embedding",
    "visual.positional_embedding": "image_encoder.positions",
    "visual.conv1.weight": "image_encoder.patches.weight",
    "visual.ln_pre.weight": "image_encoder.input_norm.weight",
    "visual.ln_pre.bias": "image_encoder.input_norm.bias",
    "visual.ln_post.weight": "pooling.norm.weight",
    "visual.ln_post.bias": "pooling.norm.bias",
    "visual.attn_pool.query": "pooling.pooler.queries",
    "visual.attn_pool.ln_q.weight": "pooling.pooler.query_norm.weight",
    "visual.attn_pool.ln_q.bias": "pooling.pooler.query_norm.bias",
    "visual.attn_pool.ln_k.weight": "pooling.pooler.context_norm.weight",
    "visual.attn_pool.ln_k.bias": "pooling.pooler.context_norm.bias",
    "visual.attn_pool.attn.out_proj.weight": "pooling.pooler.attention.out.weight",
    "visual.attn_pool.attn.out_proj.bias": "pooling.pooler.attention.out.bias",
    "text_decoder.ln_final.weight": "multimodal_decoder.output_norm.weight",
    "text_decoder.ln_final.bias": "multimodal_decoder.output_norm.bias",
}
_TRANSPOSED = {  # stored [in, out] and used as x @ W
    "text.text_projection": "text_decoder.projection.weight",
    "visual.proj": "image_projection.weight",
    "text_decoder.text_projection": "multimodal_decoder.vocabulary.weight",
}
_BLOCK_KEY = re.compile(rf"({'|'.join(map(re.escape, _STEMS))})\.(\d+)\.(.+?)(?:\.|_)(weight|bias|gamma)$")


def from_openclip(state_dict: Mapping[str, Tensor], config: CoCaConfig) -> dict[str, Tensor]:
    """A CoCa state dict of ours with the same tensors.

    Raises:
        KeyError: A key that OpenCLIP's CoCa does not have.
    """
    converted: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        if key in _SINGLES:
            converted[_SINGLES[key]] = value
        elif key in _TRANSPOSED:
            converted[_TRANSPOSED[key]] = value.T
        elif key.startswith("visual.attn_pool.attn."):
            continue  # query, key and value projections, joined below
        elif match := _BLOCK_KEY.match(key):
            converted.update(_block_parameter(*match.groups(), value=value))
        else:
            raise KeyError(key)
    if config.pooler.kind == "single":
        converted.update(_pooler_projections(state_dict))
    return converted


def _block_parameter(stem: str, layer: str, part: str, kind: str, *, value: Tensor) -> dict[str, Tensor]:
    block = f"{_STEMS[stem]}.{layer}"
    if part != "attn.in_proj":
        return {f"{block}.{_BLOCK_PARTS[part]}.{kind}": value}
    if stem != "text_decoder.cross_attn":
        return {f"{block}.attention.qkv.{kind}": value}
    width = len(value) // 3
    return {f"{block}.attention.query.{kind}": value[:width], f"{block}.attention.key_value.{kind}": value[width:]}


def _pooler_projections(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    source, target = "visual.attn_pool.attn.", "pooling.pooler.attention."
    bias = state_dict[source + "in_proj_bias"]
    width = len(bias) // 3
    if source + "in_proj_weight" in state_dict:  # when image and pooler are equally wide
        weight = state_dict[source + "in_proj_weight"]
        query, key_value = weight[:width], weight[width:]
    else:
        query = state_dict[source + "q_proj_weight"]
        key_value = torch.cat([state_dict[source + "k_proj_weight"], state_dict[source + "v_proj_weight"]])
    return {
        target + "query.weight": query,
        target + "query.bias": bias[:width],
        target + "key_value.weight": key_value,
        target + "key_value.bias": bias[width:],
    }
