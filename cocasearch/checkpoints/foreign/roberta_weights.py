"""Reading of a RoBERTa as Hugging Face writes it: config, tokenizer and weights, alone or inside OpenCLIP's CoCa.

Source: transformers 4.56.2, modeling_roberta.py; OpenCLIP keeps the tower under `text.transformer`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocasearch.checkpoints.foreign.foreign_weights import read_foreign_weights
from cocasearch.checkpoints.foreign.tensor_sources import Source, Table, affine, source_of, stacked, whole
from cocasearch.checkpoints.model_files import CONFIG_FILE, MOST_CONFIG_BYTES, TOKENIZER_FILE, WEIGHTS_FILE
from cocasearch.errors import CocaSearchError
from cocasearch.json_values import read_json, shown
from cocasearch.model.config import RobertaConfig
from cocasearch.model.roberta import RobertaTextDecoder
from cocasearch.text.tokenizer import Tokenizer

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


@dataclass(frozen=True)
class PretrainedRoberta:
    """A RoBERTa that was trained on text alone; `weights` are those of our text decoder, except its projection."""

    config: RobertaConfig
    tokenizer: Tokenizer
    weights: dict[str, Tensor]


def read_roberta_folder(folder: Path, *, context_length: int) -> PretrainedRoberta:
    """The RoBERTa in a folder as Hugging Face's libraries write one, for texts of up to `context_length` ids.

    Raises:
        CocaSearchError: A file is missing or unreadable, or they do not fit together.
    """
    if missing := [name for name in (CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE) if not (folder / name).is_file()]:
        raise CocaSearchError(f"{folder} is no folder of a RoBERTa: it has no {' and no '.join(missing)}")
    try:
        described = read_described(folder / CONFIG_FILE, "text config")
        config = read_roberta_config(described, context_length=context_length)
        weights = from_roberta(read_foreign_weights(folder / WEIGHTS_FILE), config)
        tokenizer = Tokenizer.load(folder / TOKENIZER_FILE)
    except CocaSearchError as error:
        raise CocaSearchError(f"{folder}: {error}", hint=error.hint) from error
    if tokenizer.vocab_size > config.vocab_size or tokenizer.pad_id != config.pad_id:
        raise CocaSearchError(f"{folder}: the tokenizer is of another model than the config")
    return PretrainedRoberta(config, tokenizer, weights)


def from_roberta(state_dict: Mapping[str, Tensor], config: RobertaConfig) -> dict[str, Tensor]:
    """The weights of our text decoder, except its projection, from RoBERTa's. Heads for other tasks are ignored.

    Raises:
        CocaSearchError: A tensor is missing or of another shape.
    """
    renamed = {f"{_TOWER}.{key.removeprefix('roberta.')}": value for key, value in state_dict.items()}
    with torch.device("meta"):
        tower = RobertaTextDecoder(config, embed_dim=1)
    weights = {}
    for name, parameter in tower.named_parameters():
        if name != "projection.weight":
            source = source_of(ROBERTA_TEXT_TOWER, f"text_decoder.{name}")
            wanted = source.foreign_shape(tuple(parameter.shape))
            weights[name] = source.read(*(_of_shape(renamed, key, wanted) for key in source.keys)).float()
    return weights


def _of_shape(weights: Mapping[str, Tensor], key: str, shape: tuple[int, ...]) -> Tensor:
    here = tuple(weights[key].shape) if key in weights else "missing"
    if here != shape:
        name = key.removeprefix(f"{_TOWER}.")
        raise CocaSearchError(f"the weights do not fit the config: {name} is {here}, not {shape}")
    return weights[key]


def read_described(file: Path, what: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        CocaSearchError: There is none; `what` names the file in the message.
    """
    try:
        fields = read_json(file, MOST_CONFIG_BYTES)
    except OSError as error:
        raise CocaSearchError(f"cannot read the {what} {file}: {error.strerror}") from error
    except ValueError as error:
        raise CocaSearchError(f"the {what} {file} is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise CocaSearchError(f"the {what} {file} is no JSON object")
    return fields


def read_roberta_config(fields: Mapping[str, Any], *, context_length: int = 76) -> RobertaConfig:
    """The text half that Hugging Face's `config.json` describes.

    Raises:
        CocaSearchError: It is of another kind of model, or lacks a size.
    """
    for key, built in _BUILT.items():
        if (value := fields.get(key, None if key == "model_type" else built)) != built:
            raise CocaSearchError(f"the text config has {key} {shown(value)}; only {built} is built here")
    if missing := [key for key in _SIZES if not isinstance(fields.get(key), int | float)]:
        raise CocaSearchError(f"the text config has no number for {missing[0]}")
    return RobertaConfig(context_length=context_length, **{ours: fields[theirs] for theirs, ours in _SIZES.items()})


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
