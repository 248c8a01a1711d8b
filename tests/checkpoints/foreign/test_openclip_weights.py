"""OpenCLIP's weights in our model give OpenCLIP's numbers.

The weights follow the seeded rule of `seeded_openclip`, so none are stored; `golden/README.md` says where the numbers
come from.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from seeded_openclip import POOLED, TINY, compare_captions, openclip_shapes, seeded_weights, tiny
from torch import Tensor

from cocasearch.checkpoints.foreign.openclip_weights import from_openclip
from cocasearch.errors import CocaSearchError
from cocasearch.model.coca import CoCa, CoCaOutput
from cocasearch.model.config import (
    CoCaConfig,
    VisionTransformerConfig,
    presets,
)
from cocasearch.model.losses import caption_loss, contrastive_loss
from cocasearch.text.tokenizer import clip_tokenizer

GOLDEN = Path(__file__).parents[2] / "golden" / "openclip"
LOSS_WEIGHTS = ((1, 0), (1, 1), (2, 1))  # caption, contrastive; the order of `losses` in the goldens


def forward(model: CoCa, weights: Mapping[str, Tensor], pixels: Tensor, ids: Tensor) -> CoCaOutput:
    """The model with OpenCLIP's weights put in its place, so that gradients reach them."""
    output: CoCaOutput = torch.func.functional_call(model, from_openclip(weights, model.config), (pixels, ids))
    return output


def compare_losses(output: CoCaOutput, ids: Tensor, golden: Tensor, *, rtol: float = 1e-6) -> None:
    caption = caption_loss(output.caption_logits, ids)
    contrastive = contrastive_loss(output.image_embedding, output.text_embedding, output.logit_scale)
    for (caption_weight, contrastive_weight), expected in zip(LOSS_WEIGHTS, golden, strict=True):
        ours = torch.stack([contrastive_weight * contrastive, caption_weight * caption])
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=rtol)


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_model_gives_openclips_numbers(name: str) -> None:
    config, seed, gain = TINY[name]
    golden = load_file(GOLDEN / f"{name}.safetensors")
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(100 + seed))
    model = CoCa(config)
    model.load_state_dict(from_openclip(seeded_weights(config, seed, gain, 999), config))
    with torch.no_grad():
        output = model(pixels, golden["text"])
        image = model.image_features(pixels)
        _, states = model.text_features(golden["text"])

    close = {"atol": 1e-5, "rtol": 0.0}
    torch.testing.assert_close(output.image_embedding, golden["image_features"], **close)
    torch.testing.assert_close(output.text_embedding, golden["text_features"], **close)
    torch.testing.assert_close(model.encode_text(golden["text"]), golden["text_features"], **close)
    torch.testing.assert_close(image.embedding, golden["image_features"], **close)
    torch.testing.assert_close(image.tokens, golden["image_tokens"], **close)
    torch.testing.assert_close(states, golden["token_states"], **close)
    logits = output.caption_logits
    torch.testing.assert_close(logits[:, :, ::7], golden["logits_every_7th"], atol=1e-4, rtol=0)
    torch.testing.assert_close(logits.logsumexp(dim=-1), golden["logits_logsumexp"], atol=1e-4, rtol=0)
    compare_losses(output, golden["text"], golden["losses"])


@pytest.fixture(scope="module")
def real_size() -> CoCa:
    """A gigabyte: made once, and gone with the module."""
    config = presets()["coca_ViT-B-32"]
    with torch.device("meta"):
        model = CoCa(config)
    model.load_state_dict(from_openclip(seeded_weights(config, 11, 1.2, 49407), config), assign=True)
    return model.eval().requires_grad_(False)


def test_the_real_size_gives_openclips_numbers(real_size: CoCa) -> None:
    model, golden = real_size, load_file(GOLDEN / "coca_ViT-B-32.safetensors")
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(111))
    with torch.no_grad():
        output = model(pixels, golden["text"])
        tokens = model.image_features(pixels).tokens
        _, states = model.text_features(golden["text"])

    logits = output.caption_logits
    torch.testing.assert_close(output.image_embedding, golden["image_features"], atol=1e-5, rtol=0)
    torch.testing.assert_close(output.text_embedding, golden["text_features"], atol=1e-5, rtol=0)
    torch.testing.assert_close(tokens[:, ::32], golden["image_tokens_every_32nd"], atol=1e-4, rtol=0)
    torch.testing.assert_close(states[:, ::15], golden["token_states_every_15th"], atol=1e-4, rtol=0)
    torch.testing.assert_close(logits[:, [0, 5, 74], ::256], golden["logits_0_5_74_every_256th"], atol=1e-4, rtol=0)
    torch.testing.assert_close(logits.logsumexp(dim=-1), golden["logits_logsumexp"], atol=1e-4, rtol=0)
    assert torch.equal(logits.argmax(dim=-1), golden["logits_argmax"])
    # OpenCLIP's own float32 sum over 49,408 words is off by 5e-6 of the loss in double precision.
    compare_losses(output, golden["text"], golden["losses"], rtol=1e-5)


def test_the_real_size_writes_openclips_captions(real_size: CoCa) -> None:
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(111))
    compare_captions("coca_ViT-B-32", real_size, clip_tokenizer(), pixels)


def test_bfloat16_keeps_the_direction_of_the_real_sizes_vectors(real_size: CoCa) -> None:
    narrow = copy.deepcopy(real_size)
    narrow.to_dtype(torch.bfloat16)
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(111))
    ids = clip_tokenizer()(["a dog on a beach", "two people riding bikes down a long road in the mountains"], 76)
    with torch.inference_mode():
        for precise, rounded in (
            (real_size.encode_image(pixels), narrow.encode_image(pixels)),
            (real_size.encode_text(ids), narrow.encode_text(ids)),
        ):
            assert rounded.dtype == torch.float32
            cosines = (precise * rounded).sum(dim=1)
            assert cosines.min() >= 0.999 and cosines.max() < 1 - 1e-6


def test_gradients_are_openclips() -> None:
    config, seed, gain = TINY["tiny_main"]
    golden = load_file(GOLDEN / "tiny_main.safetensors")
    weights = {key: value.requires_grad_() for key, value in seeded_weights(config, seed, gain, 999).items()}
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(100 + seed))
    output = forward(CoCa(config), weights, pixels, golden["text"])
    contrastive = contrastive_loss(output.image_embedding, output.text_embedding, output.logit_scale)
    (contrastive + 2 * caption_loss(output.caption_logits, golden["text"])).backward()
    for key, value in weights.items():
        assert value.grad is not None, key
        torch.testing.assert_close(
            value.grad.flatten()[::29], golden[f"gradient_every_29th.{key}"], atol=1e-4, rtol=0, msg=key
        )
        torch.testing.assert_close(
            value.grad.norm().reshape(1), golden[f"gradient_norm.{key}"], atol=1e-4, rtol=1e-5, msg=key
        )


@pytest.mark.parametrize("name", ["coca_base", "coca_ViT-B-32", "coca_ViT-L-14"])
def test_published_layouts_fill_the_presets(name: str) -> None:
    config = presets()[name]
    with torch.device("meta"):
        converted = from_openclip({key: torch.empty(shape) for key, shape in openclip_shapes(config).items()}, config)
        expected = CoCa(config).state_dict()
    assert {key: value.shape for key, value in converted.items()} == {
        key: value.shape for key, value in expected.items()
    }


def test_a_fused_pooler_projection_equals_separate_ones() -> None:
    config = tiny(pooler=POOLED, image_width=64)
    fused = seeded_weights(config, 3, 2.0, 999)
    separate = dict(fused)
    attention = "visual.attn_pool.attn"
    names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    weights = separate.pop(f"{attention}.in_proj_weight").chunk(3)
    separate |= {f"{attention}.{name}": weight for name, weight in zip(names, weights, strict=True)}
    first, second = from_openclip(fused, config), from_openclip(separate, config)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_what_is_no_weight_is_dropped_and_prefixes_go() -> None:
    config = TINY["tiny_main"][0]
    plain = seeded_weights(config, 1, 3.1, 999)
    cluttered = {f"module._orig_mod.{key}": value for key, value in plain.items()}
    cluttered["module._orig_mod.logit_scale"] = plain["logit_scale"].reshape(1)
    for key in ("text.attn_mask", "text_decoder.attn_mask", "text.transformer.embeddings.position_ids", "logit_bias"):
        cluttered[f"module._orig_mod.{key}"] = torch.zeros(3)
    expected, converted = from_openclip(plain, config), from_openclip(cluttered, config)
    assert expected.keys() == converted.keys()
    assert all(torch.equal(expected[name], converted[name]) for name in expected)


def test_clips_flat_text_keys_are_read() -> None:
    config = TINY["tiny_main"][0]
    plain = seeded_weights(config, 1, 3.1, 999)
    flat = {key.removeprefix("text.") if key != "text.cls_emb" else key: value for key, value in plain.items()}
    assert "transformer.resblocks.0.ln_1.weight" in flat
    expected, converted = from_openclip(plain, config), from_openclip(flat, config)
    assert all(torch.equal(expected[name], converted[name]) for name in expected)


def resized(config: CoCaConfig, *, image_size: int, context_length: int) -> CoCaConfig:
    assert isinstance(config.image, VisionTransformerConfig)
    return replace(
        config,
        image=replace(config.image, image_size=image_size),
        text=replace(config.text, context_length=context_length),
    )


def test_positions_are_resized_as_openclip_does_it() -> None:
    config, seed, gain = TINY["tiny_main"]
    golden = load_file(GOLDEN / "resized_positions.safetensors")
    weights = seeded_weights(config, seed, gain, 999)
    larger = resized(config, image_size=48, context_length=32)
    converted = from_openclip(weights, larger, keep_cls_position=False)
    for ours, theirs in (("image_encoder", "visual"), ("text_decoder", "text")):
        expected = golden[f"{theirs}.positional_embedding"]
        torch.testing.assert_close(converted[f"{ours}.positions"], expected, atol=1e-6, rtol=0)
    model = CoCa(larger)
    model.load_state_dict(converted)
    assert model.encode_image(torch.randn(1, 3, 48, 48)).isfinite().all()


@pytest.mark.parametrize(("length", "row"), [(12, -1), (32, -2)])  # fewer rows: the CLS itself, more: the last word
def test_cls_and_words_keep_apart_where_openclip_blends_them(length: int, row: int) -> None:
    config, seed, gain = TINY["tiny_main"]
    weights = seeded_weights(config, seed, gain, 999)
    positions, longer = weights["text.positional_embedding"], resized(config, image_size=32, context_length=length)
    apart, blended = (
        from_openclip(weights, longer, keep_cls_position=keep)["text_decoder.positions"] for keep in (True, False)
    )
    assert apart.shape == blended.shape == (length + 1, 64)
    assert torch.equal(apart[row], positions[row])
    assert not torch.allclose(blended[row], positions[row], atol=1e-2)


def without(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key: value for key, value in weights.items() if not key.startswith(prefix)}


ROTARY = "visual.transformer.resblocks.0.attn.rotary.weight"
MISFITS = {
    "surplus": (lambda w: w | {ROTARY: torch.zeros(1)}, rf"{ROTARY} is not part of it"),
    "cut off": (
        lambda w: without(w, "text_decoder.resblocks.1"),
        r"text_decoder\.resblocks\.1\.ln_1\.weight is missing",
    ),
    "a clip": (lambda w: without(w, "text_decoder."), "weights of a CLIP, not of a CoCa"),
    "a resnet": (
        lambda _: {"conv1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)},
        r"but conv1.weight \(and 1 more",
    ),
    "nothing": (lambda _: {}, "there is no visual.conv1.weight, but nothing"),
    "ours": (lambda w: {"multimodal_decoder.x": torch.zeros(1)}, "cocasearch's own layout"),
    "transposed": (lambda w: w | {"visual.proj": torch.zeros(3, 64)}, r"visual.proj is \(3, 64\), not \(64, 64\)"),
    "fused": (
        lambda w: w | {"text_decoder.cross_attn.1.attn.in_proj_weight": torch.zeros(12, 64)},
        r"text_decoder.cross_attn.1.attn.in_proj_weight is \(12, 64\), not \(192, 64\)",
    ),
    "second of two": (
        lambda w: w | {"visual.attn_pool.attn.v_proj_weight": torch.zeros(64, 5)},
        r"v_proj_weight is \(64, 5\), not \(64, 96\)",
    ),
    "integers": (lambda w: w | {"visual.proj": torch.zeros(64, 64, dtype=torch.int8)}, "stored as torch.int8"),
    "no square": (lambda w: w | {"visual.positional_embedding": torch.zeros(16, 96)}, "16 image positions"),
}


@pytest.mark.parametrize(("change", "sentence"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_named(change: Callable[[dict[str, Tensor]], dict[str, Tensor]], sentence: str) -> None:
    config, seed, gain = TINY["tiny_main"]
    with pytest.raises(CocaSearchError, match=sentence):
        from_openclip(change(seeded_weights(config, seed, gain, 999)), config)


def test_the_architecture_that_would_fit_is_proposed() -> None:
    with torch.device("meta"):
        large = {key: torch.empty(shape) for key, shape in openclip_shapes(presets()["coca_ViT-L-14"]).items()}
        with pytest.raises(CocaSearchError, match=r"is \(1024,\), not \(768,\)") as caught:
            from_openclip(large, presets()["coca_ViT-B-32"])
    assert caught.value.hint is not None
    assert "--arch coca_ViT-L-14" in caught.value.hint


def test_an_architecture_of_ours_alone_is_refused() -> None:
    with pytest.raises(CocaSearchError, match="not one of OpenCLIP's") as caught:
        from_openclip(seeded_weights(TINY["tiny_main"][0], 1, 3.1, 999), presets()["coca-mini"])
    assert caught.value.hint is not None
    assert "coca_ViT-L-14" in caught.value.hint
