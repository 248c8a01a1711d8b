"""One of the processes that share a batch: computes its gradients in every way asked for, and the first writes them.

python gradient_process.py RESULTS CASES, with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT as torchrun sets them
"""

import atexit
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from seeded_openclip import TINY, seeded_weights, training_batch
from torch import Tensor

from cocasearch.checkpoints.foreign.openclip_weights import from_openclip
from cocasearch.images.transforms import PreprocessConfig
from cocasearch.model.coca import CoCa
from cocasearch.text.tokenizer import clip_tokenizer
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import TrainingBatch
from cocasearch.training.losses.distillation import DistillationTeacher
from cocasearch.training.losses.objective import Objective
from cocasearch.training.model.preparation import prepare
from cocasearch.training.step.gradients import Gradients
from cocasearch.training.step.micro_batches import divide
from cocasearch.training.step.processes import Processes
from cocasearch.training.step.sharding import whole

SETTINGS = {"captions_per_image": 1, "dropout": 0, "precision": "float32", "caption_weight": 2.0}


def batch_of(case: dict[str, Any]) -> TrainingBatch:
    """OpenCLIP's eight pictures with a text each; or seven, of which some have two or three, and a labelled one."""
    pixels, ids = training_batch()
    owners, labelled = torch.arange(8), slice(7, 8) if case.pop("labelled", False) else slice(0, 0)
    labelled_pixels, labelled_ids = pixels[labelled], ids[labelled]
    if case.pop("several", False):
        pixels, owners = pixels[:7], torch.tensor([0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 6])
        ids = torch.cat([ids, ids[:3].flip(1).roll(1, 1)])
    labels = torch.zeros(len(labelled_ids), dtype=torch.long)
    meanings = torch.randn(len(ids), 6, generator=torch.Generator().manual_seed(4))
    return TrainingBatch(pixels, ids, owners, labelled_pixels, labels, labelled_ids, F.normalize(meanings, dim=1))


class Larger(DistillationTeacher):
    """A teacher that is in no folder: the student's architecture with other weights."""

    def __init__(self, model: CoCa) -> None:
        self.model = model.requires_grad_(False).eval()
        self.with_captions = self.has_same_tokens = True
        self._tokenizer = self._students = clip_tokenizer()
        self._from = self._to = PreprocessConfig(image_size=32)
        self._size = 32


def model_of(seed: int) -> CoCa:
    architecture, _, gain = TINY["tiny_main"]
    model = CoCa(architecture)
    model.load_state_dict(from_openclip(seeded_weights(architecture, seed, gain, 999), architecture))
    return model


def gradients(case: dict[str, Any], processes: Processes) -> dict[str, Tensor]:
    """Every gradient of a case, and its losses as `losses`."""
    batch, model = batch_of(case), model_of(TINY["tiny_main"][1]).train()
    config = TrainingConfig().changed(**{**SETTINGS, **case})
    prepare(model, config.changed(lock_image=False, frozen_blocks=0))
    model.image_encoder.requires_grad_(not case.get("lock_image", False))
    larger = Larger(model_of(77)) if config.distillation.distill_from else None
    step = Gradients(Objective(model, clip_tokenizer(), config, larger=larger), config, processes)
    own = divide(batch, processes.count)[processes.rank]
    found = step.compute(own, encoder_is_frozen=False, rng=random.Random(0))
    losses = torch.stack([found.total, found.values["contrastive"], found.values["caption"]])
    named = step.objective.model.named_parameters()
    return {"losses": losses} | {name: whole(p.grad) for name, p in named if p.grad is not None}


def fail_if_the_exchange_goes_on() -> None:
    """With its threads alive a process may abort while the interpreter ends."""
    if torch.distributed.is_initialized():
        os._exit(1)


def main(results: str, cases: str) -> None:
    torch.set_num_threads(1)
    atexit.register(fail_if_the_exchange_goes_on)  # registered first, so called after all others
    processes = Processes.join(torch.device("cpu"))
    everything = {}
    for number, case in enumerate(json.loads(cases)):
        for name, value in gradients(case, processes).items():
            everything[f"{number}.{name}"] = value
    if processes.is_first:
        save_file(everything, Path(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
