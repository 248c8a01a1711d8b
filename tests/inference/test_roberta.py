"""A model folder with RoBERTa's text half and tokenizer embeds, captions, indexes and answers like any other."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from cocasearch.checkpoints.model_folder import read_model_folder, save_model_folder
from cocasearch.cli.app import app
from cocasearch.inference.embedder import Embedder
from cocasearch.inference.generation.captioner import Captioner, CaptionOptions
from cocasearch.inference.loaded_model import LoadedModel, load_model

TEXTS = ["a red square", "A red square", "two dogs and a small boat on the blue sea", ""]


@pytest.fixture(scope="module")
def loaded(roberta_model_folder: Path) -> LoadedModel:
    return load_model(roberta_model_folder, device="cpu")


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(7))


def test_a_folder_survives_saving(loaded: LoadedModel, roberta_model_folder: Path, tmp_path: Path) -> None:
    first = read_model_folder(roberta_model_folder)
    fingerprint = save_model_folder(
        tmp_path / "again",
        first.load_model().state_dict(),
        config=first.config,
        preprocess=first.preprocess,
        tokenizer=first.tokenizer,
        provenance={},
        dtype="float32",
    )
    again = load_model(tmp_path / "again", device="cpu")
    assert fingerprint == again.fingerprint == first.fingerprint
    assert json.loads((tmp_path / "again" / "config.json").read_text())["architecture"]["text"]["kind"] == "roberta"
    assert np.array_equal(Embedder(again).embed_texts(TEXTS), Embedder(loaded).embed_texts(TEXTS))


def test_a_text_s_vector_depends_on_its_own_words_alone(loaded: LoadedModel) -> None:
    embedder = Embedder(loaded)
    together = embedder.embed_texts(TEXTS)
    for row, text in zip(together, TEXTS, strict=True):
        np.testing.assert_allclose(embedder.embed_texts([text])[0], row, atol=1e-6)
    assert not np.allclose(together[0], together[1], atol=1e-3)  # upper case is a word of its own


@pytest.mark.parametrize("prompt", ["", "a red"])
def test_a_greedy_caption_is_the_plain_loop_s(loaded: LoadedModel, pixels: Tensor, prompt: str) -> None:
    tokenizer = loaded.tokenizer
    options = CaptionOptions("greedy", prompt=prompt, max_length=12)
    for image, caption in zip(pixels, Captioner(loaded).caption_pixels(pixels, options), strict=True):
        ids = [tokenizer.sot_id, *tokenizer.encode(prompt)]
        with torch.no_grad():
            while ids[-1] != tokenizer.eot_id:
                logits = loaded.model(image[None], torch.tensor([ids])).caption_logits[0, -1]
                logits[[tokenizer.sot_id, tokenizer.pad_id]] = -torch.inf
                if len(ids) + 1 < options.min_length:
                    logits[tokenizer.eot_id] = -torch.inf
                ids.append(int(logits.argmax()) if len(ids) + 1 < 12 else tokenizer.eot_id)
        assert caption.token_ids == tuple(ids)
        assert caption.text == tokenizer.decode(ids)


def test_beams_do_not_depend_on_the_batch(loaded: LoadedModel, pixels: Tensor) -> None:
    captioner = Captioner(loaded)
    together = [caption.token_ids for caption in captioner.caption_pixels(pixels)]
    assert together == [captioner.caption_pixels(image[None])[0].token_ids for image in pixels]
    assert all(ids[0] == 0 and ids[-1] == 2 and 1 not in ids for ids in together)


def test_an_index_is_built_and_searched(
    roberta_model_folder: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo_folder.parent)
    model = ["--model", str(roberta_model_folder)]
    assert CliRunner().invoke(app, ["index", "photos", *model]).exit_code == 0
    result = CliRunner().invoke(app, ["query", "a red square", "--format", "json", *model])
    assert result.exit_code == 0, result.stderr
    hits = json.loads(result.stdout)
    assert len(hits) == 4 and all(hit["caption"] for hit in hits)
