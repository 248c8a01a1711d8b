"""RoBERTa's weights in our text half give the numbers of Hugging Face's RoBERTa with a causal mask.

The weights follow a seeded rule, so none are stored; `golden/README.md` says where the numbers come from. Shapes are
written out here from the layout there, not derived from ours.
"""

import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner, Result

from cocasearch.checkpoints.openclip import from_openclip
from cocasearch.checkpoints.roberta import read_roberta_config
from cocasearch.cli.app import app
from cocasearch.errors import CocaSearchError
from cocasearch.inference.embedding import Embedder
from cocasearch.inference.loaded_model import load_model
from cocasearch.model.coca import CoCa
from cocasearch.model.config import (
    CoCaConfig,
    MultimodalConfig,
    PoolerConfig,
    RobertaConfig,
    VisionTransformerConfig,
    presets,
)

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "roberta" / "causal.safetensors")
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
        "text_decoder.text_projection": (text.width, text.vocab_size),
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


@pytest.fixture(scope="module")
def model() -> CoCa:
    config = tiny_config()
    coca = CoCa(config).eval().requires_grad_(False)
    coca.load_state_dict(from_openclip(seeded_weights(config), config))
    return coca


def test_states_and_vectors_are_those_of_a_causal_roberta(model: CoCa) -> None:
    ids = GOLDEN["ids"]
    vectors, states = model.text_features(ids)
    is_real = (ids != 1)[..., None]
    torch.testing.assert_close(states * is_real, GOLDEN["states"], atol=1e-5, rtol=0)
    torch.testing.assert_close(vectors, GOLDEN["text_features"], atol=1e-5, rtol=0)
    torch.testing.assert_close(model.encode_text(ids), GOLDEN["text_features"], atol=1e-5, rtol=0)


def test_states_written_one_by_one_are_the_same(model: CoCa) -> None:
    ids, text = GOLDEN["ids"][:1], model.text_decoder
    states, caches, _ = text.prefill(ids[:, :3])
    written = [states]
    for position in range(3, 16):
        mask = torch.ones(1, 1, 1, position + 1, dtype=torch.bool)
        written.append(text.decode_step(ids[:, position : position + 1], position, caches, mask))
    torch.testing.assert_close(torch.cat(written, dim=1), GOLDEN["states"][:1], atol=1e-5, rtol=0)


def test_the_real_layout_fills_the_preset() -> None:
    config = presets()["coca_roberta-ViT-B-32"]
    with torch.device("meta"):
        weights = {key: torch.empty(shape) for key, shape in openclip_shapes(config).items()}
        weights["text.transformer.embeddings.position_ids"] = torch.empty(1, 514, dtype=torch.int64)
        converted, expected = from_openclip(weights, config), CoCa(config).state_dict()
    assert {key: value.shape for key, value in converted.items()} == {
        key: value.shape for key, value in expected.items()
    }


def test_openclips_narrow_decoder_is_refused() -> None:
    config = tiny_config()
    weights = seeded_weights(config) | {"text_decoder.text_projection": torch.zeros(48, 290)}
    with pytest.raises(CocaSearchError, match="290 of the 300 words") as caught:
        from_openclip(weights, config)
    assert caught.value.hint == "train it with vocab_size 300 in its text_cfg"


def test_missing_and_surplus_weights_are_named() -> None:
    config, weights = tiny_config(), seeded_weights(tiny_config())
    key = "text.transformer.encoder.layer.2.attention.self.value.bias"
    with pytest.raises(CocaSearchError, match=f"{key} is missing"):
        from_openclip({name: value for name, value in weights.items() if name != key}, config)
    with pytest.raises(CocaSearchError, match=r"pooler\.dense\.bias is not part of it"):
        from_openclip(weights | {"text.transformer.pooler.dense.bias": torch.zeros(48)}, config)


def test_roberta_base_is_the_preset_s_text_half() -> None:
    assert read_roberta_config(PUBLISHED) == presets()["coca_roberta-ViT-B-32"].text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": "bert"}, "model_type bert; only roberta"),
        ({"model_type": None}, "model_type None; only roberta"),
        ({"hidden_act": "relu"}, "hidden_act relu; only gelu"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type relative_key; only absolute"),
        ({"hidden_size": None}, "no number for hidden_size"),
        ({"vocab_size": "many"}, "no number for vocab_size"),
        ({"max_position_embeddings": 64}, "76 ids does not fit 64 positions"),
    ],
)
def test_other_models_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CocaSearchError, match=sentence):
        read_roberta_config(PUBLISHED | change)


ARCHITECTURE: dict[str, Any] = {  # coca_roberta-ViT-B-32 as OpenCLIP writes it, but small
    "embed_dim": 24,
    "vision_cfg": {
        "image_size": 16,
        "layers": 1,
        "width": 48,
        "patch_size": 8,
        "head_width": 16,
        "output_tokens": True,
    },
    "text_cfg": {
        "hf_model_name": "roberta-base",
        "hf_tokenizer_name": "roberta-base",
        "hf_proj_type": "linear",
        "width": 48,
        "output_tokens": True,
    },
    "multimodal_cfg": {"context_length": 76, "width": 48, "heads": 4, "layers": 1},
    "custom_text": True,
}
Import = Callable[..., Result]


@pytest.fixture
def import_(tmp_path: Path, roberta_tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """import_("--text-config", …): `models import` of small weights in OpenCLIP's layout, beside files of its parts."""
    monkeypatch.setenv("COCASEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    tokens = TINY | {"vocab_size": 320, "max_position_embeddings": 80}
    (tmp_path / "config.json").write_text(json.dumps(tokens))
    (tmp_path / "arch.json").write_text(json.dumps(ARCHITECTURE))
    save_file(seeded_weights(replace(tiny_config(), text=read_roberta_config(tokens))), tmp_path / "coca.safetensors")

    def run(*options: str, arch: str = "arch.json", tokenizer: str = str(roberta_tokenizer_file)) -> Result:
        given = ["--arch", arch, "--name", "mine", *(["--tokenizer", tokenizer] if tokenizer else []), *options]
        return CliRunner().invoke(app, ["models", "import", "coca.safetensors", *given])

    return run


def test_import_takes_text_half_and_tokenizer_from_files(import_: Import, tmp_path: Path) -> None:
    result = import_("--text-config", "config.json")
    assert result.exit_code == 0, result.output
    loaded = load_model(tmp_path / "home" / "models" / "mine", device="cpu")
    assert loaded.config.text == RobertaConfig(
        vocab_size=320, width=48, heads=4, layers=3, mlp_width=80, positions=80, norm_epsilon=1e-5, pad_id=1
    )
    weights = load_file(tmp_path / "coca.safetensors")
    assert loaded.model.text_decoder.token_embedding.weight.equal(
        weights["text.transformer.embeddings.word_embeddings.weight"]
    )
    together = Embedder(loaded).embed_texts(["a red square", "Two boats"])
    assert abs(float(together[0] @ together[1])) < 0.999


def test_import_says_what_is_missing_or_wrong(import_: Import, tmp_path: Path) -> None:
    def refused(*options: str, **given: str) -> str:
        result = import_(*options, **given)
        assert result.exit_code == 1, result.output
        assert not (tmp_path / "home" / "models" / "mine").exists()
        return " ".join(result.stderr.split())

    text_config = ("--text-config", "config.json")
    assert "roberta-base as the text half, whose own config is needed" in refused()
    assert "give the tokenizer that belongs to them" in refused(*text_config, tokenizer="")
    assert "this architecture has no RoBERTa" in refused(*text_config, arch="coca_ViT-B-32")
    assert "cannot read the text config absent.json" in refused("--text-config", "absent.json")
    assert "image tokens of width 768, so the text width must be the same, not 48" in refused(
        *text_config, arch="coca_roberta-ViT-B-32"
    )
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED | {"model_type": "bert"}))
    assert "config.json: the text config has model_type bert" in refused(*text_config)
    (tmp_path / "arch.json").write_text(
        json.dumps(ARCHITECTURE | {"text_cfg": ARCHITECTURE["text_cfg"] | {"hf_proj_type": "mlp"}})
    )
    (tmp_path / "config.json").write_text(json.dumps(TINY | {"max_position_embeddings": 80}))
    assert "hf_proj_type mlp; only linear is built here" in refused(*text_config)
