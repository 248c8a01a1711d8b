"""Configurations go to JSON and back, and say which key is wrong."""

import json
from typing import Any

import pytest

from cocasearch.errors import CocaSearchError
from cocasearch.model.config import (
    CoCaConfig,
    EfficientNetLiteConfig,
    MultimodalConfig,
    PoolerConfig,
    RobertaConfig,
    TextConfig,
    VisionTransformerConfig,
    presets,
)


@pytest.mark.parametrize("name", presets())
def test_presets_survive_json(name: str) -> None:
    config = presets()[name]
    assert CoCaConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_missing_keys_have_defaults() -> None:
    assert CoCaConfig.from_dict({}) == CoCaConfig()
    assert CoCaConfig.from_dict({"image": {"kind": "efficientnet_lite"}}).image == EfficientNetLiteConfig()
    assert CoCaConfig.from_dict({"pooler": {"kind": "cascade"}}).pooler == PoolerConfig(kind="cascade")
    assert CoCaConfig.from_dict({"text": {"layers": 3}}).text == TextConfig(layers=3)
    roberta = {"text": {"kind": "roberta", "vocab_size": 60000}, "pooler": {"kind": "none"}}
    assert CoCaConfig.from_dict(roberta).text == RobertaConfig(vocab_size=60000)


@pytest.mark.parametrize(
    ("fields", "wrong", "nearest"),
    [
        ({"embed_dims": 512}, "embed_dims", "embed_dim"),
        ({"text": {"context_lenght": 76}}, "context_lenght", "context_length"),
        ({"image": {"patchsize": 16}}, "patchsize", "patch_size"),
        ({"image": {"kind": "efficientnet_lite", "stem_chanels": 16}}, "stem_chanels", "stem_channels"),
        ({"pooler": {"n_queries": 256}}, "n_queries", "queries"),
        ({"text": {"kind": "roberta", "mlp_widht": 64}}, "mlp_widht", "mlp_width"),
        ({"multimodal": {"layer": 2}}, "layer", "layers"),
    ],
)
def test_an_unknown_key_names_the_nearest(fields: dict[str, Any], wrong: str, nearest: str) -> None:
    with pytest.raises(CocaSearchError, match=f"'{wrong}'.*'{nearest}'"):
        CoCaConfig.from_dict(fields)


def test_an_unknown_kind_lists_the_known() -> None:
    with pytest.raises(CocaSearchError, match=r"image encoder 'resnet'.*vision_transformer, efficientnet_lite"):
        CoCaConfig.from_dict({"image": {"kind": "resnet"}})
    with pytest.raises(CocaSearchError, match=r"text decoder 'bert'.*clip, roberta"):
        CoCaConfig.from_dict({"text": {"kind": "bert"}})


def test_a_context_longer_than_robertas_positions_is_refused() -> None:
    assert RobertaConfig(context_length=512).positions == 514
    with pytest.raises(CocaSearchError, match=r"513 ids.*514 positions.*512"):
        RobertaConfig(context_length=513)


@pytest.mark.parametrize("kind", ["attention", "Single", "", None])
def test_an_unknown_pooler_is_refused(kind: str | None) -> None:
    with pytest.raises(CocaSearchError, match=f"unknown pooler '{kind}'"):
        CoCaConfig.from_dict({"pooler": {"kind": kind}})


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"text": TextConfig(width=512, heads=6)}, "text decoder width of 512 .* 6 heads"),
        ({"multimodal": MultimodalConfig(heads=6)}, "multimodal decoder width of 512 .* 6 heads"),
        ({"pooler": PoolerConfig(heads=6)}, "pooler width of 512 .* 6 heads"),
        ({"pooler": PoolerConfig(kind="cascade"), "embed_dim": 100}, "contrastive pooler width of 100 .* 8 heads"),
        ({"image": VisionTransformerConfig(width=200, head_width=64)}, "image encoder width of 200 .* 3 heads"),
        ({"image": VisionTransformerConfig(width=32, head_width=64)}, "image encoder width of 32 .* 0 heads"),
    ],
)
def test_heads_must_share_the_width_evenly(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CocaSearchError, match=sentence):
        CoCaConfig(**changed)


def test_without_a_pooler_image_and_text_must_be_equally_wide() -> None:
    with pytest.raises(CocaSearchError, match=r"768.*512"):
        CoCaConfig(pooler=PoolerConfig(kind="none"))
