"""Training with RoBERTa's text half: padded with its own id, in batches and in losses."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import pad

from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.images.transforms import Preprocess
from cocasearch.inference.loaded_model import load_model
from cocasearch.model.coca import CoCa
from cocasearch.model.config import RobertaConfig
from cocasearch.model.losses import caption_loss
from cocasearch.text.tokenizer import clip_tokenizer
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import Source, TrainingData
from cocasearch.training.finetune_job import FinetuneListener, FinetuneRequest, finetune
from cocasearch.training.losses.objective import Objective
from cocasearch.training.model.starting_point import from_model_folder, from_preset
from cocasearch.training.step.gradients import Gradients

PLAIN = TrainingConfig().changed(batch_size=6, captions_per_image=1, dropout=0, precision="float32")


def test_padding_is_robertas_and_is_not_trained(roberta_model_folder: Path, drawings: list) -> None:
    start = from_model_folder(roberta_model_folder)
    data = TrainingData([Source(drawings, 1.0)], start.tokenizer, Preprocess(start.preprocess), 20)
    batch = next(data.batches(PLAIN, first_step=0, steps=1))
    assert batch.ids[:, 0].tolist() == [0] * 6
    lengths = [row.index(2) + 1 for row in batch.ids.tolist()]
    assert all((row[length:] == 1).all() for row, length in zip(batch.ids, lengths, strict=True))
    assert batch.ids.shape[1] <= max(lengths) + 1

    step = Gradients(Objective(start.model, start.tokenizer, PLAIN), PLAIN)
    found = step.compute(batch, encoder_is_frozen=False, rng=random.Random(0))
    padded = pad(batch.ids, (0, 20 - batch.ids.shape[1]), value=1)
    logits = start.model(batch.pixels, padded).caption_logits
    torch.testing.assert_close(found.values["caption"], caption_loss(logits, padded, pad_id=1).detach())
    targets = [
        -logits[row, position - 1].log_softmax(dim=0)[padded[row, position]]
        for row, length in enumerate(lengths)
        for position in range(1, length)
    ]
    torch.testing.assert_close(found.values["caption"], torch.stack(targets).mean().detach())


def test_words_that_the_decoder_cannot_write_are_no_targets(roberta_model_folder: Path, drawings: list) -> None:
    start, words = from_model_folder(roberta_model_folder), 270
    config = start.model.config
    model = CoCa(replace(config, multimodal=replace(config.multimodal, vocab_size=words)))
    data = TrainingData([Source(drawings, 1.0)], start.tokenizer, Preprocess(start.preprocess), 20)
    batch = next(data.batches(PLAIN, first_step=0, steps=1))
    writable = batch.ids.where(batch.ids < words, 1)
    assert not torch.equal(writable, batch.ids)
    found = Gradients(Objective(model, start.tokenizer, PLAIN), PLAIN).compute(
        batch, encoder_is_frozen=False, rng=random.Random(0)
    )
    logits = model(batch.pixels, batch.ids).caption_logits
    torch.testing.assert_close(found.values["caption"], caption_loss(logits, writable, pad_id=1).detach())


def test_finetuning_teaches_it(
    csv_of: Callable[..., Path], more_drawings: Callable[..., list], roberta_model_folder: Path, tmp_path: Path
) -> None:
    losses: list[float] = []
    result = finetune(
        FinetuneRequest(
            csv_of(tmp_path / "photos", more_drawings(24)),
            tmp_path / "mine",
            roberta_model_folder,
            adjust=lambda config: config.changed(epochs=12.0, learning_rate=3e-3, keep_near=True),
        ),
        listener=FinetuneListener(progress=lambda progress: losses.append(progress.losses["caption"])),
        device="cpu",
    )
    assert losses[-1] < losses[0] - 2  # from log 320 = 5.8
    stored = read_model_folder(tmp_path / "mine")
    assert stored.config == read_model_folder(roberta_model_folder).config
    assert load_model(tmp_path / "mine", device="cpu").fingerprint == result.fingerprint


@pytest.fixture
def pretrained(roberta_model_folder: Path, tmp_path: Path) -> Path:
    """A RoBERTa on its own, as Hugging Face's libraries write one for predicting words."""
    stored, folder = read_model_folder(roberta_model_folder), tmp_path / "roberta-tiny"
    text = stored.config.text
    assert isinstance(text, RobertaConfig)
    folder.mkdir()
    sizes = {"hidden_size": 48, "num_attention_heads": text.heads, "num_hidden_layers": text.layers}
    sizes |= {"intermediate_size": text.mlp_width, "max_position_embeddings": 60, "vocab_size": text.vocab_size}
    described = {"model_type": "roberta", "layer_norm_eps": 1e-5, "pad_token_id": 1, **sizes}
    (folder / "config.json").write_text(json.dumps(described))
    stored.tokenizer.save(folder / "tokenizer.json")
    generator = torch.Generator().manual_seed(1)
    shapes = {
        "embeddings.word_embeddings.weight": (text.vocab_size, 48),
        "embeddings.position_embeddings.weight": (60, 48),
        "embeddings.token_type_embeddings.weight": (1, 48),
        "embeddings.LayerNorm.weight": (48,),
        "embeddings.LayerNorm.bias": (48,),
    }
    for layer in range(2):
        parts = {f"attention.self.{part}": (48, 48) for part in ("query", "key", "value")}
        parts |= {"attention.output.dense": (48, 48), "intermediate.dense": (80, 48), "output.dense": (48, 80)}
        parts |= {"attention.output.LayerNorm": (48,), "output.LayerNorm": (48,)}
        for part, shape in parts.items():
            name = f"encoder.layer.{layer}.{part}"
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    weights = {f"roberta.{key}": 0.1 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    save_file(weights | {"lm_head.bias": torch.zeros(text.vocab_size)}, folder / "model.safetensors")
    return folder


def test_a_roberta_becomes_the_text_half_of_any_preset(pretrained: Path) -> None:
    start = from_preset("coca-mini", [], image_weights=False, text_model=pretrained)
    config, weights = start.model.config, load_file(pretrained / "model.safetensors")
    assert isinstance(config.text, RobertaConfig)
    assert (config.text.context_length, config.text.vocab_size, config.text.positions) == (40, 320, 60)
    assert start.provenance == {"preset": "coca-mini", "text_model": "roberta-tiny"}
    assert start.words is None  # it has read more than anybody counted
    text = start.model.text_decoder
    assert torch.equal(text.token_embedding.weight, weights["roberta.embeddings.word_embeddings.weight"])
    parts = [weights[f"roberta.encoder.layer.1.attention.self.{part}.bias"] for part in ("query", "key", "value")]
    assert torch.equal(list(text.blocks)[1].attention.qkv.bias, torch.cat(parts))
    output = start.model(torch.zeros(1, 3, 192, 192), start.tokenizer(["a red square"], 40))
    assert output.text_embedding.shape == (1, 256)
    assert output.caption_logits.shape == (1, 40, 320)


def test_without_its_roberta_the_preset_says_what_it_needs() -> None:
    with pytest.raises(CocaSearchError, match="reads with RoBERTa, which does not come with the package") as caught:
        from_preset("coca_roberta-ViT-B-32", ["a dog"])
    assert "--text-model FOLDER" in str(caught.value.hint)


def test_a_folder_that_is_no_whole_roberta_is_named(pretrained: Path) -> None:
    def refused(sentence: str) -> None:
        with pytest.raises(CocaSearchError, match=sentence):
            from_preset("coca-mini", [], image_weights=False, text_model=pretrained)

    config, weights = json.loads((pretrained / "config.json").read_text()), load_file(pretrained / "model.safetensors")
    (pretrained / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))
    refused(r"layer\.0\.intermediate\.dense\.weight is \(80, 48\), not \(64, 48\)")
    (pretrained / "config.json").write_text(json.dumps(config | {"vocab_size": 300}))
    refused(r"word_embeddings\.weight is \(320, 48\), not \(300, 48\)")
    (pretrained / "config.json").write_text(json.dumps(config))
    save_file({key: value for key, value in weights.items() if "query" not in key}, pretrained / "model.safetensors")
    refused(r"attention\.self\.query\.weight is missing")
    clip_tokenizer().save(pretrained / "tokenizer.json")
    save_file(weights, pretrained / "model.safetensors")
    refused("the tokenizer is of another model than the config")
    (pretrained / "tokenizer.json").unlink()
    refused(r"is no folder of a RoBERTa: it has no tokenizer\.json")
