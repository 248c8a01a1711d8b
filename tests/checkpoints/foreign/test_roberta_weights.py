"""RoBERTa's weights in our text half give the numbers of Hugging Face's RoBERTa with a causal mask.

The weights follow the seeded rule of `seeded_roberta`, so none are stored; `golden/README.md` says where the numbers
come from.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import serving, use
from safetensors.torch import load_file, save_file
from seeded_roberta import PUBLISHED, TINY, openclip_shapes, seeded_weights, tiny_config
from typer.testing import CliRunner, Result

from cocasearch.checkpoints.foreign.openclip_weights import from_openclip
from cocasearch.checkpoints.foreign.roberta_weights import read_roberta_config
from cocasearch.cli.app import app
from cocasearch.errors import CocaSearchError
from cocasearch.inference.embedder import Embedder
from cocasearch.inference.generation.captioner import Captioner, CaptionOptions
from cocasearch.inference.loaded_model import load_model
from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig, RobertaConfig, presets

GOLDEN = load_file(Path(__file__).parents[2] / "golden" / "roberta" / "causal.safetensors")


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


def narrow_config(words: int = 290) -> CoCaConfig:
    """With a decoder that writes fewer words than are read, as OpenCLIP's own config makes it."""
    config = tiny_config()
    return replace(config, multimodal=replace(config.multimodal, vocab_size=words))


def test_a_decoder_of_openclips_that_writes_fewer_words_gives_its_numbers() -> None:
    golden = load_file(Path(__file__).parents[2] / "golden" / "openclip" / "tiny_roberta.safetensors")
    config = narrow_config()
    coca = CoCa(config).eval()
    coca.load_state_dict(from_openclip(seeded_weights(config), config))
    with torch.no_grad():
        output = coca(torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(3)), golden["ids"])
    close = {"atol": 1e-5, "rtol": 0.0}
    torch.testing.assert_close(output.image_embedding, golden["image_features"], **close)
    torch.testing.assert_close(output.text_embedding, golden["text_features"], **close)
    is_real = (golden["ids"] != 1)[:, :-1, None]
    torch.testing.assert_close(output.caption_logits[:, :-1] * is_real, golden["logits"] * is_real, atol=1e-4, rtol=0)


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
    assert "its vectors of texts are not OpenCLIP's" in " ".join(result.stderr.split())
    assert "its decoder writes" not in result.stderr
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


def test_a_decoder_that_writes_fewer_words_is_imported_and_writes(import_: Import, tmp_path: Path) -> None:
    narrow = replace(narrow_config(300), text=read_roberta_config(json.loads((tmp_path / "config.json").read_text())))
    save_file(seeded_weights(narrow), tmp_path / "coca.safetensors")
    result = import_("--text-config", "config.json")
    assert result.exit_code == 0, result.output
    assert "warning: its decoder writes 300 of the 320 words that its text half reads" in " ".join(
        result.stderr.split()
    )
    loaded = load_model(tmp_path / "home" / "models" / "mine", device="cpu")
    assert loaded.config.multimodal.vocab_size == 300
    words = ("dog", "boat", "sea.", "above the", "triangles")
    prompt = next(word for word in words if max(loaded.tokenizer.encode(word)) >= 300)
    pixels = torch.randn(2, 3, 16, 16)
    options = CaptionOptions(prompt=prompt, repetition_penalty=1.5, max_length=12)
    for strategy in ("beam", "greedy", "sample"):
        captions = Captioner(loaded).caption_pixels(pixels, replace(options, strategy=strategy))
        ids = [caption.token_ids[-len(caption.token_logprobs) :] for caption in captions]
        assert all(max(row) < 300 for row in ids)


def test_a_repository_with_a_roberta_is_pulled_with_its_text_config(
    import_: Import, tmp_path: Path, roberta_tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as hub:
        use(hub, tmp_path / "cache", monkeypatch)
        hub.repositories["someone/roberta"] = {
            "open_clip_config.json": (tmp_path / "arch.json").read_bytes(),
            "open_clip_model.safetensors": (tmp_path / "coca.safetensors").read_bytes(),
        }
        command = ["models", "pull", "someone/roberta", "--tokenizer", str(roberta_tokenizer_file)]
        refused = CliRunner().invoke(app, command)
        assert refused.exit_code == 1
        assert "hint: --text-config and --tokenizer" in refused.stderr
        pulled = CliRunner().invoke(app, [*command, "--text-config", "config.json"])
    assert pulled.exit_code == 0, pulled.output
    assert "its vectors of texts are not OpenCLIP's" in " ".join(pulled.stderr.split())
    assert load_model(tmp_path / "home" / "models" / "roberta", device="cpu").config.text.vocab_size == 320
