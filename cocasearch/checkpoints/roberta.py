"""RoBERTa as Hugging Face writes it: its `config.json` as our architecture, its weights inside OpenCLIP's CoCa.

Source: transformers 4.56.2, modeling_roberta.py; OpenCLIP keeps the tower under `text.transformer`.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from cocasearch.checkpoints.tensor_sources import Source, Table, affine, stacked, whole
from cocasearch.errors import CocaSearchError
from cocasearch.model.config import RobertaConfig

_TOWER, _LAYER = "text.transformer", "text.transformer.encoder.layer.*"
WORDS = f"{_TOWER}.embeddings.word_embeddings.weight"
_SIZES = {
    "vocab_size": "vocab_size",
    "hidden_size": "width",
    "num_attention_heads": "heads",
    "num_hidden_layers": "layers",
    "intermediate_size": "mlp_width",
    "max_position_embeddings": "positions",
    "layer_norm_eps": "norm_epsilon",
    "pad_token_id": "pad_id",
}
_BUILT = {"model_type": "roberta", "hidden_act": "gelu", "position_embedding_type": "absolute", "type_vocab_size": 1}


def read_roberta_config(fields: Mapping[str, Any], *, context_length: int = 76) -> RobertaConfig:
    """The text half that Hugging Face's `config.json` describes.

    Raises:
        CocaSearchError: It is of another kind of model, or lacks a size.
    """
    for key, built in _BUILT.items():
        if (value := fields.get(key, None if key == "model_type" else built)) != built:
            raise CocaSearchError(f"the text config has {key} {value}; only {built} is built here")
    if missing := [key for key in _SIZES if not isinstance(fields.get(key), int | float)]:
        raise CocaSearchError(f"the text config has no number for {missing[0]}")
    return RobertaConfig(context_length=context_length, **{ours: fields[theirs] for theirs, ours in _SIZES.items()})


def refuse_narrow_vocabulary(found: Mapping[str, Tensor], config: RobertaConfig) -> None:
    """Refuse a decoder as OpenCLIP's own config builds it, which cannot write all of RoBERTa's words.

    Raises:
        CocaSearchError: It is one.
    """
    logits = found.get("text_decoder.text_projection")
    if logits is not None and logits.ndim == 2 and logits.shape[1] < config.vocab_size:
        raise CocaSearchError(
            f"its decoder can write {logits.shape[1]} of the {config.vocab_size} words that its text half reads",
            hint=f"train it with vocab_size {config.vocab_size} in its text_cfg",
        )


def _attention_inputs(kind: str) -> Source:
    return stacked(*(f"{_LAYER}.attention.self.{part}.{kind}" for part in ("query", "key", "value")))


ROBERTA_TEXT_TOWER: Table = {
    "text_decoder.token_embedding.weight": whole(WORDS),
    "text_decoder.positions": whole(f"{_TOWER}.embeddings.position_embeddings.weight"),
    # The only row: RoBERTa knows no second type of token.
    "text_decoder.token_type": Source(
        (f"{_TOWER}.embeddings.token_type_embeddings.weight",), lambda value: value[0], lambda shape: (1, *shape)
    ),
    **affine("text_decoder.input_norm", f"{_TOWER}.embeddings.LayerNorm"),
    "text_decoder.blocks.*.attention.qkv.weight": _attention_inputs("weight"),
    "text_decoder.blocks.*.attention.qkv.bias": _attention_inputs("bias"),
    **affine("text_decoder.blocks.*.attention.out", f"{_LAYER}.attention.output.dense"),
    **affine("text_decoder.blocks.*.attention_norm", f"{_LAYER}.attention.output.LayerNorm"),
    **affine("text_decoder.blocks.*.mlp.expand", f"{_LAYER}.intermediate.dense"),
    **affine("text_decoder.blocks.*.mlp.contract", f"{_LAYER}.output.dense"),
    **affine("text_decoder.blocks.*.mlp_norm", f"{_LAYER}.output.LayerNorm"),
    "text_decoder.projection.weight": whole("text.proj.weight"),
}
