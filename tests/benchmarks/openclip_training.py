"""OpenCLIP's own training step, by open_clip_train's own loop: what ours is compared with, in numbers and in speed.

As a script it runs one epoch in one or several processes and writes what came of it: losses, gradients, parameters.
Runs beside OpenCLIP, so it imports nothing of ours.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
import torchvision_without_operators  # noqa: F401  must come before open_clip
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import open_clip  # isort: skip
from open_clip.coca_model import CoCa
from open_clip_train.train import train_one_epoch

Json = dict[str, Any]
Batch = tuple[Tensor, Tensor]


class Batches(list[Batch]):
    """An epoch as open_clip_train's loop wants it."""

    @property
    def num_batches(self) -> int:
        return len(self)

    @property
    def num_samples(self) -> int:
        return sum(len(images) for images, _ in self)


class Data:
    """Its loader, which knows of epochs."""

    def __init__(self, batches: list[Batch]) -> None:
        self.dataloader = Batches(batches)

    def set_epoch(self, epoch: int) -> None:
        """The same batches every time."""


class Training:
    """A model, its loss and its optimizer, as open_clip_train's main sets them up.

    Args:
        request: `architecture`, or `model_cfg`; `weights`; and the options of open_clip_train by their names there.
            With `exact_caption_loss` its cross-entropy sums the vocabulary in float64.
    """

    def __init__(self, request: Json, rank: int = 0, processes: int = 1) -> None:
        defaults = {
            "device": "cpu",
            "precision": "fp32",
            "distill": False,
            "accum_freq": 1,
            "skip_scheduler": True,
            "grad_clip_norm": None,
            "horovod": False,
            "log_every_n_steps": 10**9,
            "wandb": False,
            "batch_size": 1,
            "model": "coca",
            "coca_caption_loss_weight": 2.0,
            "coca_contrastive_loss_weight": 1.0,
            "local_loss": False,
            "gather_with_grad": False,
            "siglip": False,
            "lr": 1e-3,
            "wd": 0.2,
        }
        self.args = SimpleNamespace(**{**defaults, **request}, rank=rank, world_size=processes)
        self.model = create(request, self.args.precision)
        self.trained: nn.Module = self.model
        if processes > 1:
            self.trained = nn.parallel.DistributedDataParallel(self.model)
        self.loss = open_clip.create_loss(self.args)
        if request.get("exact_caption_loss"):
            caption_loss = self.loss.caption_loss
            del self.loss.caption_loss
            self.loss.caption_loss = in_double(caption_loss)
        self.optimizer = torch.optim.AdamW(self._groups(), lr=self.args.lr, betas=(0.9, 0.98), eps=1e-6)

    def _groups(self) -> list[Json]:
        named = list(self.trained.named_parameters())
        plain = [n for n, p in named if p.ndim < 2 or any(part in n for part in ("bn", "ln", "bias", "logit_scale"))]
        return [
            {"params": [p for n, p in named if n in plain], "weight_decay": 0.0},
            {"params": [p for n, p in named if n not in plain], "weight_decay": self.args.wd},
        ]

    def epoch(self, batches: list[Batch]) -> None:
        """Train on every batch once."""
        data = {"train": Data(batches)}
        train_one_epoch(self.trained, data, self.loss, 0, self.optimizer, None, None, None, self.args)


def in_double(loss: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss of logits in float64: over a dimension that is not the last, PyTorch's loses five digits in float32."""
    return lambda logits, labels: loss(logits.double(), labels).float()


def create(request: Json, precision: str) -> nn.Module:
    """The model of a request, with its weights."""
    if "architecture" in request:
        return open_clip.create_model(request["architecture"], pretrained=request["weights"], precision=precision)
    model = CoCa(**request["model_cfg"])
    model.load_state_dict(load_file(request["weights"]))
    return model


def run(rank: int, request: Json, port: int) -> None:
    """One epoch of this process's share of each batch; the first process writes what came of it."""
    torch.set_num_threads(request.get("threads", 1))
    processes = request.get("processes", 1)
    if processes > 1:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        dist.init_process_group("gloo", rank=rank, world_size=processes)
    training = Training(request, rank, processes)
    stored = load_file(request["batches"])
    batches = []
    for number in range(len(stored) // 2):
        images, texts = (stored[f"{kind}.{number}"].chunk(processes)[rank] for kind in ("images", "texts"))
        batches.append((images, texts))
    losses: list[Tensor] = []
    training.loss.register_forward_hook(lambda _module, _inputs, found: losses.append(torch.stack([*found.values()])))
    training.epoch(batches)
    if rank == 0:
        results = {f"gradient.{name}": value.grad for name, value in training.model.named_parameters()}
        results |= {f"parameter.{name}": value.detach() for name, value in training.model.named_parameters()}
        save_file({"losses": torch.stack(losses).detach(), **results}, request["out"])
    if processes > 1:
        dist.destroy_process_group()


def main(request_file: str) -> None:
    request = json.loads(Path(request_file).read_text())
    processes = request.get("processes", 1)
    if processes == 1:
        run(0, request, 0)
    else:
        torch.multiprocessing.spawn(run, args=(request, request["port"]), nprocs=processes)


if __name__ == "__main__":
    main(*sys.argv[1:])
