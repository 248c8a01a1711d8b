"""Our side of the training contest: one step of the trainer on a batch, again and again."""

import tempfile
from pathlib import Path

import torch
from worker import Json, Run, serve

from cocasearch.captioned_data import CaptionedImage
from cocasearch.images.transforms import Preprocess
from cocasearch.model.text_decoder import trim_padding
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import Source, TrainingBatch, TrainingData
from cocasearch.training.model.starting_point import from_model_folder
from cocasearch.training.trainer import Trainer

OPENCLIPS = TrainingConfig().changed(
    captions_per_image=1,
    optimizer="adamw",
    learning_rate=1e-3,
    encoder_learning_rate=1e-3,
    weight_decay=0.2,
    caption_weight=2.0,
    frozen_epochs=0.0,
    frozen_blocks=0,
    warmup=0.0,
    schedule="const",
    max_gradient_norm=0.0,
    ema_decay=0.0,
    dropout=0.0,
)


def prepare(request: Json) -> Run:
    torch.set_num_threads(request["threads"])
    texts = request["texts"]
    config = TrainingConfig().changed(**{**OPENCLIPS.values(), "batch_size": len(texts), **request.get("config", {})})
    start = from_model_folder(Path(request["model"]))
    images = [CaptionedImage(b"", str(number), (text,)) for number, text in enumerate(texts)]
    length = start.model.config.text.context_length
    data = TrainingData([Source(images, 1.0)], start.tokenizer, Preprocess(start.preprocess), length)
    trainer = Trainer(start, data, config, Path(tempfile.mkdtemp()) / "model", device="cpu")
    pixels = torch.randn(len(texts), 3, 224, 224, generator=torch.Generator().manual_seed(1))
    ids = trim_padding(start.tokenizer(texts, length), start.tokenizer.pad_id)
    none = torch.empty(0, dtype=torch.long)
    batch = TrainingBatch(pixels, ids, torch.arange(len(texts)), pixels[:0], none, ids[:0])

    def run() -> Json:
        losses = trainer.learner.take_step(batch)
        return {"items": len(texts), "losses": [float(losses.values["contrastive"]), float(losses.values["caption"])]}

    return run


if __name__ == "__main__":
    serve(prepare)
