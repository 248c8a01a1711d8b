"""How much memory a step will take, found by taking two very small ones.

Receives an objective that is ready to train; computes the gradients of two pictures and of three, counts what is alive
after each operation, and goes on along the line between the two. No formula has to know the architecture.
"""

import random
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cocasearch.captioned_data import CaptionedImage
from cocasearch.checkpoints.sentence_encoder import SENTENCE_WIDTH
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import TrainingBatch
from cocasearch.training.model.preparation import prepared_objective
from cocasearch.training.model.starting_point import StartingPoint
from cocasearch.training.step.gradients import Gradients

# What a process holds before any model: Python, torch and the libraries around it.
PROCESS_BYTES = 400 << 20
_FEW, _MORE = 2, 3  # pictures of the two steps
# Kernels' scratch and the allocator's gaps: measured of coca-mini's steps, 1.2 to 1.9 times what tensors hold.
_OVERHEAD = 1.5
_USABLE = 0.7  # of the memory that is free: the rest is for pictures being decoded, and for others


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a run needs at once.

    Attributes:
        weights: The model's, their running average in float32, and those of a model that teaches it.
        gradients: Of what is trained.
        optimizer: Two numbers for each that is trained, as AdamW keeps them.
        process: What the program holds before any model; 0 on a GPU.
        moments: (M, 2) for the moments of a step: what is alive then, gradients included, without pictures and for each
            picture that is in memory at once.
    """

    weights: int
    gradients: int
    optimizer: int
    process: int
    moments: npt.NDArray[np.float64]

    def activations(self, images: int) -> int:
        """Bytes beside weights, gradients and optimizer at the worst moment of a step."""
        alive = self.moments @ np.array([1.0, images])
        return int(_OVERHEAD * max(0.0, float(alive.max()) - self.gradients))

    def total(self, images: int) -> int:
        """Bytes with so many pictures in memory at once."""
        return self.weights + self.gradients + self.optimizer + self.process + self.activations(images)

    def images_within(self, available: int, wanted: int) -> int:
        """How many pictures may be in memory at once, at most `wanted` and at least 2."""
        images = wanted
        while images > 2 and self.total(images) > _USABLE * available:
            images = max(2, images // 2)
        return images

    def to_dict(self, images: int) -> dict[str, int]:
        """The estimate as `--json` prints it, in bytes."""
        return {
            "weights": self.weights,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            "activations": self.activations(images),
            "process": self.process,
            "total": self.total(images),
        }


def estimate_run(
    start: StartingPoint, config: TrainingConfig, pictures: Iterable[CaptionedImage], device: torch.device
) -> MemoryEstimate:
    """What a run will need; the model that it starts from is made ready for it, in place.

    Args:
        start: The model.
        config: The run's.
        pictures: What it learns from.
        device: Where it is trained.

    Raises:
        CocaSearchError: The settings do not go with the model, or leave steps with nothing to learn.
    """
    # Compiled, it would need as much, and the compiler most of the time.
    objective = prepared_objective(start, config.changed(compile=False), device)
    longest = [max(image.captions, key=len) for image in pictures]
    ids = start.tokenizer(longest, start.model.config.text.context_length)
    return estimate_memory(
        Gradients(objective, config),
        config,
        image_size=start.preprocess.image_size,
        caption_tokens=int((ids != start.tokenizer.pad_id).sum(dim=1).max()),
        encoder_is_frozen=config.keeps_image_encoder,
    )


def estimate_memory(
    gradients: Gradients, config: TrainingConfig, *, image_size: int, caption_tokens: int, encoder_is_frozen: bool
) -> MemoryEstimate:
    """What a run of this objective will need; the model is as it was before, without gradients.

    Args:
        gradients: Of the model that will be trained, on its device.
        config: The run's.
        image_size: Side of a picture in pixels.
        caption_tokens: Length of a long caption.
        encoder_is_frozen: Whether the image encoder keeps its weights to the end.
    """
    model = gradients.objective.model
    weights = _bytes(model.state_dict().values())
    average = 4 * sum(value.numel() for value in model.state_dict().values()) if config.optimization.ema_decay else 0
    larger = gradients.objective.larger
    teacher = _bytes(larger.model.state_dict().values()) if larger else 0
    frozen = {id(parameter) for parameter in model.image_encoder.parameters()} if encoder_is_frozen else set()
    trained = _bytes(p for p in model.parameters() if p.requires_grad and id(p) not in frozen)
    few, more = (
        _trace(
            gradients, _batch(count, image_size, caption_tokens, config, model.logit_scale.device), encoder_is_frozen
        )
        for count in (_FEW, _MORE)
    )
    return MemoryEstimate(
        weights=weights + average + teacher,
        gradients=trained,
        optimizer=2 * trained,
        process=PROCESS_BYTES if model.logit_scale.device.type == "cpu" else 0,
        moments=_lines(few, more),
    )


def _lines(few: Sequence[int], more: Sequence[int]) -> npt.NDArray[np.float64]:
    """Where the operations are the same, one line each; else one line through the two peaks."""
    if len(few) != len(more):
        few, more = [max(few)], [max(more)]
    values = np.array([few, more], dtype=np.float64)
    slope = np.maximum(values[1] - values[0], 0) / (_MORE - _FEW)
    return np.stack([values[0] - _FEW * slope, slope], axis=1)


def free_memory(device: torch.device) -> int | None:
    """Bytes that a run may still take on a device; None where that is unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    available = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    return available[0] if available else None


def _trace(gradients: Gradients, batch: TrainingBatch, encoder_is_frozen: bool) -> list[int]:
    """Live bytes after each operation of a step."""
    model = gradients.objective.model
    was_training = model.training
    model.train()
    counting = _LiveBytes()
    with counting:
        gradients.compute(batch, encoder_is_frozen=encoder_is_frozen, rng=random.Random(0))
    for parameter in model.parameters():
        parameter.grad = None
    model.train(was_training)
    return counting.trace


def _batch(
    count: int, image_size: int, caption_tokens: int, config: TrainingConfig, device: torch.device
) -> TrainingBatch:
    """Noise with captions of one length, as a step would have them."""
    captions = count * config.data.captions_per_image
    pixels = torch.zeros(count, 3, image_size, image_size, device=device)
    return TrainingBatch(
        pixels=pixels,
        ids=torch.ones(captions, caption_tokens, dtype=torch.long, device=device),
        owners=torch.arange(count, device=device).repeat_interleave(config.data.captions_per_image),
        labelled_pixels=pixels[:0],
        labels=torch.empty(0, dtype=torch.long, device=device),
        labelled_ids=torch.empty(0, caption_tokens, dtype=torch.long, device=device),
        sentences=torch.zeros(captions if config.losses.sentence_weight else 0, SENTENCE_WIDTH, device=device),
    )


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors made while it is active, as they come and go, after each operation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.trace: list[int] = []
        self._known: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._take_in(tensor.untyped_storage())
        self.trace.append(self.live)
        return out

    def _take_in(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known[key] = storage.nbytes()
        self.live += storage.nbytes()
        weakref.finalize(storage, self._give_back, key)

    def _give_back(self, key: int) -> None:
        self.live -= self._known.pop(key, 0)


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
