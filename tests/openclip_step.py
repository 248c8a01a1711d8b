"""Our training step on the tiny model of OpenCLIP's weights, as OpenCLIP's is recorded in its golden file."""

import random
from dataclasses import replace

import torch
from seeded_openclip import TINY, seeded_weights, training_batch

from cocasearch.checkpoints.openclip import from_openclip
from cocasearch.model.coca import CoCa
from cocasearch.text.tokenizer import clip_tokenizer
from cocasearch.training.config import TrainingConfig
from cocasearch.training.dataset import TrainingBatch
from cocasearch.training.gradients import Gradients, StepLosses
from cocasearch.training.objective import Objective

# Its own rate, without warm-up, and its weights of the losses.
OPENCLIPS = TrainingConfig(
    captions_per_image=1,
    caption_weight=2.0,
    dropout=0,
    precision="float32",
    optimizer="adamw",
    learning_rate=1e-3,
    encoder_learning_rate=1e-3,
    weight_decay=0.2,
)


def openclips_step(**changes: object) -> tuple[CoCa, StepLosses]:
    """The model before its first step, with its gradients."""
    architecture, seed, gain = TINY["tiny_main"]
    model = CoCa(architecture).train()
    model.load_state_dict(from_openclip(seeded_weights(architecture, seed, gain, 999), architecture))
    pixels, ids = training_batch()
    batch = TrainingBatch(pixels, ids, torch.arange(8), pixels[:0], torch.empty(0, dtype=torch.long), ids[:0])
    config = replace(OPENCLIPS, **changes)
    step = Gradients(Objective(model, clip_tokenizer(), config), config)
    return model, step.compute(batch, encoder_is_frozen=False, chance=random.Random(0))
