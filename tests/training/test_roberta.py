"""Training with RoBERTa's text half: padded with its own id, in batches and in losses."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn.functional import pad

from cocasearch.checkpoints.storage import read_model_folder
from cocasearch.images.transforms import Preprocess
from cocasearch.inference.loaded_model import load_model
from cocasearch.model.losses import caption_loss
from cocasearch.training.config import TrainingConfig
from cocasearch.training.dataset import Source, TrainingData
from cocasearch.training.objective import Objective
from cocasearch.training.recipes import finetune
from cocasearch.training.starting_point import from_model_folder

PLAIN = TrainingConfig(images_per_step=6, captions_per_image=1, dropout=0, precision="float32")


def test_padding_is_robertas_and_is_not_trained(roberta_model_folder: Path, drawings: list) -> None:
    start = from_model_folder(roberta_model_folder)
    data = TrainingData([Source(drawings, 1.0)], start.tokenizer, Preprocess(start.preprocess), 20)
    batch = next(data.batches(PLAIN, first_step=0, steps=1))
    assert batch.ids[:, 0].tolist() == [0] * 6
    lengths = [row.index(2) + 1 for row in batch.ids.tolist()]
    assert all((row[length:] == 1).all() for row, length in zip(batch.ids, lengths, strict=True))
    assert batch.ids.shape[1] <= max(lengths) + 1

    found = Objective(start.model, start.tokenizer, PLAIN).losses(
        batch, encoder_is_frozen=False, chance=random.Random(0)
    )
    padded = pad(batch.ids, (0, 20 - batch.ids.shape[1]), value=1)
    logits = start.model(batch.pixels, padded).caption_logits
    torch.testing.assert_close(found.caption, caption_loss(logits, padded, pad_id=1).detach())
    targets = [
        -logits[row, position - 1].log_softmax(dim=0)[padded[row, position]]
        for row, length in enumerate(lengths)
        for position in range(1, length)
    ]
    torch.testing.assert_close(found.caption, torch.stack(targets).mean().detach())


def test_finetuning_teaches_it(
    csv_of: Callable[..., Path], more_drawings: Callable[..., list], roberta_model_folder: Path, tmp_path: Path
) -> None:
    losses: list[float] = []
    result = finetune(
        csv_of(tmp_path / "photos", more_drawings(24)),
        out=tmp_path / "mine",
        model=roberta_model_folder,
        adjust=lambda config: replace(config, passes=20.0, learning_rate=3e-3),
        progress=lambda progress: losses.append(progress.caption_loss),
        device="cpu",
    )
    assert losses[-1] < losses[0] - 2  # from log 320 = 5.8
    stored = read_model_folder(tmp_path / "mine")
    assert stored.config == read_model_folder(roberta_model_folder).config
    assert load_model(tmp_path / "mine", device="cpu").fingerprint == result.training.fingerprint
