"""What the model promises its users: unit rows, one image pass, text at any length, every pooler."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cocasearch.model.coca import CoCa
from cocasearch.model.config import (
    CoCaConfig,
    MultimodalConfig,
    TextConfig,
    VisionTransformerConfig,
    presets,
)
from cocasearch.model.losses import caption_loss
from cocasearch.model.vision_transformer import drop_patches

SOT, EOT = 48, 49
IDS = torch.tensor(
    [
        [SOT, 7, 0, 9, EOT, 0, 0, 0, 0, 0, 0, 0],  # id 0 within the text
        [SOT, 7, 8, EOT, 0, 0, 0, 0, 0, 0, 0, 0],
        [SOT, 5, 6, 7, 8, 0, 0, EOT, 0, 0, 0, 0],
        [SOT, EOT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
)
# All, image half, text half, multimodal decoder; as OpenCLIP's models count. With RoBERTa it has 420,371,713 there:
# its decoder can write 49,408 ids, ours all 50,265 of RoBERTa's, each a row of 768.
PARAMETERS = {
    "coca_base": (440_337_409, 86_395_392, 134_661_120, 219_280_896),
    "coca_ViT-B-32": (253_560_065, 89_164_032, 63_428_608, 100_967_424),
    "coca_ViT-L-14": (638_450_177, 306_724_864, 123_651_072, 208_074_240),
    "coca_roberta-ViT-B-32": (420_371_713 + 857 * 768, 87_849_216, 124_448_256, 208_074_240 + 857 * 768),
}


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def count(*modules: torch.nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


@pytest.mark.parametrize("name", PARAMETERS)
def test_presets_have_openclips_parameters(name: str) -> None:
    with torch.device("meta"):
        model = CoCa(presets()[name])
    image_half = count(model.image_encoder, model.pooling, model.image_projection)
    halves = (count(model), image_half, count(model.text_decoder), count(model.multimodal_decoder))
    assert halves == PARAMETERS[name]


def test_the_bundled_size_reads_an_image_and_writes() -> None:
    config = presets()["coca-mini"]
    model = CoCa(config).eval()
    with torch.no_grad():
        image = model.image_features(torch.rand(2, 3, 192, 192))
        logits, _ = model.prefill(image.tokens, torch.tensor([[1], [1]]))
    assert image.embedding.shape == (2, 256)
    assert image.tokens.shape == (2, 32, 192)
    assert logits.shape == (2, 5000)
    assert count(model) < 10_000_000


def test_embeddings_are_unit_rows_in_float32(tiny: CoCa, pixels: Tensor) -> None:
    for rows in (tiny.encode_image(pixels), tiny.encode_text(IDS), *unit_outputs(tiny(pixels, IDS))):
        assert rows.dtype == torch.float32
        assert rows.shape == (4, 24)
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(4))


def unit_outputs(output: object) -> tuple[Tensor, Tensor]:
    return output.image_embedding, output.text_embedding  # type: ignore[attr-defined]


def test_one_pass_and_both_halves_apart_agree(tiny: CoCa, pixels: Tensor) -> None:
    output, image = tiny(pixels, IDS), tiny.image_features(pixels)
    torch.testing.assert_close(output.image_embedding, tiny.encode_image(pixels), atol=1e-6, rtol=0)
    assert torch.equal(output.image_embedding, image.embedding)
    assert torch.equal(image.embedding, tiny.pool(tiny.image_encoder(pixels)).embedding)
    assert output.caption_logits.shape == (4, 12, 50)
    torch.testing.assert_close(output.logit_scale, tiny.logit_scale.exp())


def test_a_row_does_not_depend_on_its_batch(tiny: CoCa, pixels: Tensor) -> None:
    images, texts = tiny.encode_image(pixels), tiny.encode_text(IDS)
    for row in range(4):
        torch.testing.assert_close(tiny.encode_image(pixels[row : row + 1])[0], images[row], atol=1e-6, rtol=0)
        torch.testing.assert_close(tiny.encode_text(IDS[row : row + 1])[0], texts[row], atol=1e-6, rtol=0)


def test_text_cut_after_its_first_padding_is_exactly_equal(tiny: CoCa) -> None:
    full, _ = tiny.text_features(IDS)  # nothing cut: every position is computed
    for length in range(8, 12):  # the longest text has 8 ids
        assert torch.equal(tiny.encode_text(IDS[:, :length]), tiny.encode_text(IDS))
    torch.testing.assert_close(tiny.encode_text(IDS), full, atol=2e-7, rtol=0)
    for row, length in enumerate((5, 4, 8, 2)):
        alone = tiny.encode_text(IDS[row : row + 1, :length])
        torch.testing.assert_close(alone[0], full[row], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("text", "seen", "unseen"),
    [
        (0, (0, 1, 2, 4, 5), (3, 6, 7, 8, 9, 10, 11)),  # not the id that follows an inner 0
        (1, (0, 1, 2, 3, 4), (5, 6, 7, 8, 9, 10, 11)),
        (3, (0, 1, 2), (3, 4, 5, 6, 7, 8, 9, 10, 11)),
    ],
)
def test_the_class_token_sees_what_follows_an_id_that_is_not_0(
    tiny: CoCa, text: int, seen: tuple[int, ...], unseen: tuple[int, ...]
) -> None:
    """OpenCLIP's shifted mask, on which its weights depend; so one padding position counts, and no more."""
    reference = tiny.encode_text(IDS[text : text + 1])
    for position in (*seen, *unseen):
        moved = copy.deepcopy(tiny)
        moved.text_decoder.positions[position] += torch.randn(32, generator=torch.Generator().manual_seed(position))
        difference = (moved.encode_text(IDS[text : text + 1]) - reference).abs().max()
        assert (difference > 1e-3) if position in seen else (difference < 1e-6)


def test_text_without_a_single_id_does_not_fail(tiny: CoCa) -> None:
    assert tiny.encode_text(torch.zeros(2, 12, dtype=torch.long)).isfinite().all()


def test_a_text_beyond_the_context_is_refused(tiny: CoCa) -> None:
    """One id more would take the class token's own position without a word."""
    with pytest.raises(ValueError, match="13 ids exceed the context of 12"):
        tiny.encode_text(torch.full((1, 13), 7))


def test_texts_of_one_image_share_its_keys_and_values(tiny: CoCa, pixels: Tensor) -> None:
    owners = torch.tensor([2, 0, 0, 3])
    tokens = tiny.image_features(pixels).tokens
    _, states = tiny.text_features(IDS)
    shared = tiny.multimodal_decoder(states, tokens, owners=owners)
    torch.testing.assert_close(shared, tiny.multimodal_decoder(states, tokens[owners]), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("kind", "tokens"), [("none", 16), ("single", 5), ("parallel", 6), ("cascade", 6)])
def test_every_pooler_gives_a_vector_and_a_context(
    build_tiny: Callable[..., CoCa], pixels: Tensor, kind: str, tokens: int
) -> None:
    model = build_tiny(kind)
    image = model.image_features(pixels)
    assert image.embedding.shape == (4, 24)
    assert image.tokens.shape == (4, tokens, 32)
    assert model(pixels, IDS).caption_logits.shape == (4, 12, 50)


def test_parallel_reads_the_encoder_and_cascade_the_generative_pooler(build_tiny: Callable[..., CoCa]) -> None:
    tokens = torch.randn(2, 17, 32, generator=torch.Generator().manual_seed(4))
    for kind, follows in (("parallel", False), ("cascade", True)):
        model = build_tiny(kind)
        before = model.pool(tokens).embedding
        with torch.no_grad():
            model.pooling.generative.queries += 1 * torch.randn(6, 32)
        assert torch.equal(before, model.pool(tokens).embedding) is not follows


def test_fresh_weights_start_near_chance(build_tiny: Callable[..., CoCa], pixels: Tensor) -> None:
    """OpenCLIP leaves the vocabulary uninitialised, so that a first loss may be astronomic."""
    ids = torch.randint(1, 50, (4, 12), generator=torch.Generator().manual_seed(5))
    loss = caption_loss(build_tiny("single")(pixels, ids).caption_logits, ids)
    assert loss.item() == pytest.approx(math.log(50), abs=1)


def test_fresh_text_halves_have_openclips_spread() -> None:
    config = TextConfig(context_length=30, vocab_size=500, width=64, heads=4, layers=2)
    torch.manual_seed(0)
    model = CoCa(
        CoCaConfig(text=config, image=VisionTransformerConfig(layers=1), multimodal=MultimodalConfig(layers=2))
    )
    text, cross = model.text_decoder, next(iter(model.multimodal_decoder.cross_blocks))
    block = next(iter(text.blocks))
    spreads = {
        0.02: [text.token_embedding],
        64**-0.5: [block.attention.qkv, cross.attention.query, cross.attention.key_value, text.projection],
        128**-0.5: [block.mlp.expand, cross.mlp.expand],
        256**-0.5: [block.attention.out, block.mlp.contract, cross.attention.out, cross.mlp.contract],
    }
    for spread, modules in spreads.items():
        assert [module.weight.std().item() for module in modules] == pytest.approx([spread] * len(modules), rel=0.05)
    assert text.positions.std().item() == pytest.approx(0.01, rel=0.05)


def test_bfloat16_weights_give_nearly_the_same_vectors(build_tiny: Callable[..., CoCa], pixels: Tensor) -> None:
    model = build_tiny("single").eval()
    with torch.no_grad():
        image, text = model.encode_image(pixels), model.encode_text(IDS)
        model.to(torch.bfloat16)
        features = model.image_features(pixels.bfloat16())
        logits, cache = model.prefill(features.tokens, IDS[:, :1])
        step = model.decode_step(IDS[:, 1], cache)
        assert (features.embedding * image).sum(dim=1).min() > 0.999
        assert (model.encode_text(IDS) * text).sum(dim=1).min() > 0.999
    assert logits.dtype == step.dtype == features.embedding.dtype == torch.float32


def test_patches_are_dropped_while_training_alone(tiny_config: CoCaConfig) -> None:
    encoder = CoCa(tiny_config).image_encoder
    pixels = torch.randn(3, 3, 32, 32)
    whole = encoder.train()(pixels)
    encoder.patch_dropout = 0.6
    assert encoder(pixels).shape == (3, 1 + 6, 32)  # of 16 patches
    assert torch.equal(encoder.eval()(pixels), whole)


def test_what_is_kept_of_the_patches() -> None:
    x = torch.arange(2 * 17 * 4.0).view(2, 17, 4)
    kept = drop_patches(x, 0.5)
    assert kept.shape == (2, 9, 4)
    assert torch.equal(kept[:, 0], x[:, 0])
    for image, patches in zip(x, kept, strict=True):
        rows = [int((image == patch).all(dim=1).nonzero()) for patch in patches]
        assert rows[0] == 0
        assert len(set(rows)) == 9
    assert not torch.equal(kept[0, 1:, 0], kept[1, 1:, 0] - 68)  # each image draws for itself
    assert drop_patches(x, 0.999).shape == (2, 2, 4)  # one patch at least
