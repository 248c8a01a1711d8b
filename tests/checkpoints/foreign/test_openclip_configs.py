"""OpenCLIP's model configs are read whole: what changes a number is built or refused."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from small_checkpoint import SMALL_CONFIG

from cocasearch.checkpoints.foreign.openclip_configs import from_openclip_config, read_architecture
from cocasearch.errors import CocaSearchError
from cocasearch.model.config import presets

LARGE = {  # as OpenCLIP ships coca_ViT-L-14.json
    "embed_dim": 768,
    "vision_cfg": {
        "image_size": 224,
        "layers": 24,
        "width": 1024,
        "patch_size": 14,
        "attentional_pool": True,
        "attn_pooler_heads": 8,
        "output_tokens": True,
    },
    "text_cfg": {
        "context_length": 76,
        "vocab_size": 49408,
        "layers": 12,
        "heads": 12,
        "width": 768,
        "embed_cls": True,
        "output_tokens": True,
    },
    "multimodal_cfg": {
        "context_length": 76,
        "vocab_size": 49408,
        "width": 768,
        "heads": 12,
        "layers": 12,
        "attn_pooler_heads": 12,
    },
    "custom_text": True,
}


def test_the_shipped_config_is_the_preset() -> None:
    assert from_openclip_config("large", LARGE).config == presets()["coca_ViT-L-14"]
    assert read_architecture("coca_ViT-L-14").config == presets()["coca_ViT-L-14"]
    assert read_architecture("coca_base").preprocess.image_size == 288


def test_a_file_says_architecture_and_preprocessing(tmp_path: Path) -> None:
    file = tmp_path / "open_clip_config.json"
    file.write_text(json.dumps(SMALL_CONFIG))
    architecture = read_architecture(str(file))
    assert architecture.config.pooler.queries == 4
    assert architecture.config.text.context_length == 20
    assert architecture.preprocess.image_size == 32
    assert architecture.preprocess.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("part", "key", "value", "sentence"),
    [
        ("vision_cfg", "timm_model_name", "fastvit_mci0", "vision_cfg has timm_model_name fastvit_mci0"),
        ("vision_cfg", "attentional_pool", "parallel", "OpenCLIP's own CoCa does not run"),
        ("vision_cfg", "mlp_ratio", 4.9, "mlp_ratio 4.9; only 4.0 is built"),
        ("text_cfg", "embed_cls", False, "embed_cls False; only True is built"),
        ("text_cfg", "hf_model_name", "roberta-base", "roberta-base as the text half"),
        ("multimodal_cfg", "width", 64, "width 64; only 16 is built"),
        ("text_cfg", "norm_kwargs", {"eps": 1e-6}, "norm_kwargs .*, which is not built here"),
        ("vision_cfg", "layers", [3, 4, 6, 3], r"vision_cfg has layers \[3, 4, 6, 3\], which is no whole number"),
        ("vision_cfg", "image_size", [32, 48], "image_size"),
        ("vision_cfg", "patch_size", 0, "patch_size 0, which is no whole number above 0"),
        ("text_cfg", "heads", "2", "heads 2, which is no whole number"),
    ],
)
def test_what_is_not_built_here_is_refused(part: str, key: str, value: Any, sentence: str) -> None:
    described: Any = copy.deepcopy(SMALL_CONFIG)
    described["model_cfg"][part][key] = value
    with pytest.raises(CocaSearchError, match=sentence):
        from_openclip_config("other", described)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "is no JSON object"),
        ("{}", "it has no embed_dim"),
        ('{"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}}', "it has no multimodal_cfg"),
        ('{"embed_dim": 8, "vision_cfg": null, "text_cfg": {}, "multimodal_cfg": {}}', "it has no vision_cfg"),
        (
            '{"embed_dim": "8", "vision_cfg": {}, "text_cfg": {}, "multimodal_cfg": {}}',
            "embed_dim 8, which is no whole",
        ),
        ('{"model_cfg": []}', "it has no model_cfg"),
        (None, "cannot read the architecture"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path: Path, content: str | None, sentence: str) -> None:
    file = tmp_path / "config.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(CocaSearchError, match=sentence) as caught:
        read_architecture(str(file))
    assert str(file) in str(caught.value)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CocaSearchError, match=r"unknown architecture 'ViT-B-32'; there are .*coca_ViT-B-32"):
        read_architecture("ViT-B-32")
