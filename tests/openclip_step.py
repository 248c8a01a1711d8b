"""Our training step on models of OpenCLIP's, the tiny one's as OpenCLIP's is recorded in its golden file."""

import random

import torch
from seeded_openclip import TINY, seeded_weights, training_batch
from torch import Tensor

from cocasearch.checkpoints.foreign.openclip_weights import from_openclip
from cocasearch.model.coca import CoCa
from cocasearch.text.tokenizer import clip_tokenizer
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import TrainingBatch
from cocasearch.training.losses.objective import Objective
from cocasearch.training.losses.step_losses import StepLosses
from cocasearch.training.step.gradients import Gradients

# Its own rate, without warm-up, and its weights of the losses.
OPENCLIPS = TrainingConfig().changed(
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
    """The tiny model before its first step, with its gradients."""
    architecture, seed, gain = TINY["tiny_main"]
    model = CoCa(architecture)
    model.load_state_dict(from_openclip(seeded_weights(architecture, seed, gain, 999), architecture))
    return model, compute_gradients(model, *training_batch(), OPENCLIPS.changed(**changes))


def compute_gradients(model: CoCa, pixels: Tensor, ids: Tensor, config: TrainingConfig) -> StepLosses:
    """The losses of pictures [N, 3, H, W] with a text each [N, L], their gradients left in the model."""
    none = torch.empty(0, dtype=torch.long)
    batch = TrainingBatch(pixels, ids, torch.arange(len(ids)), pixels[:0], none, ids[:0])
    step = Gradients(Objective(model.train(), clip_tokenizer(), config), config)
    return step.compute(batch, encoder_is_frozen=False, rng=random.Random(0))
