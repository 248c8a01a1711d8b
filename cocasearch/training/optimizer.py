"""Which parameter is trained by which rule, at which rate, at which step.

Receives a CoCa and a `TrainingConfig`; knows nothing about data or losses. Muon (Jordan 2024) orthogonalises the
updates of the transformers' matrices; embeddings, norms, biases, positions, queries and the convolutional encoder are
AdamW's. The groups without weight decay are OpenCLIP's: vectors, norms, biases and the logit scale.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from cocasearch.model.coca import CoCa
from cocasearch.training.config import TrainingConfig

# Matrices by shape, but each row stands for itself: an update that mixes the rows is wrong for them.
_TABLES = ("token_embedding.weight", "vocabulary.weight", "positions", "queries")


def build_optimizers(model: CoCa, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon where the config asks for it; each group knows its `peak_lr` and whether it `is_encoder`."""
    encoder = {id(parameter) for parameter in model.image_encoder.parameters()}
    groups: dict[tuple[str, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        is_encoder = id(parameter) in encoder
        use_muon = config.optimizer == "muon" and not is_encoder and is_muon_matrix(name, parameter)
        decays = parameter.ndim >= 2
        groups.setdefault(("muon" if use_muon else "adamw", is_encoder, decays), []).append(parameter)
    adamw: list[dict[str, Any]] = []
    optimizers: list[torch.optim.Optimizer] = []
    for (rule, is_encoder, decays), parameters in groups.items():
        decay = config.weight_decay if decays else 0.0
        if rule == "muon":
            muon = torch.optim.Muon(parameters, lr=config.muon_learning_rate, weight_decay=decay)
            muon.param_groups[0].update(peak_lr=config.muon_learning_rate, is_encoder=False)
            optimizers.append(muon)
        else:
            peak = config.encoder_learning_rate if is_encoder else config.learning_rate
            adamw.append(
                {"params": parameters, "lr": peak, "peak_lr": peak, "is_encoder": is_encoder, "weight_decay": decay}
            )
    return [torch.optim.AdamW(adamw, betas=(config.beta1, config.beta2), eps=1e-6), *optimizers]


def is_muon_matrix(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a matrix that maps activations to activations."""
    return parameter.ndim == 2 and not name.endswith(_TABLES)


def set_learning_rates(
    optimizers: Iterable[torch.optim.Optimizer], config: TrainingConfig, *, step: int, steps: int, thaw_step: int
) -> None:
    """The rates of one step: linear warm-up, then cosine to zero; the encoder warms up when it thaws."""
    factor = schedule(step, steps, config.warmup)
    warmup_steps = max(1, round(config.warmup * steps))
    thawed = min(1.0, (step - thaw_step + 1) / warmup_steps) if step >= thaw_step else 0.0
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor * (thawed if group["is_encoder"] else 1.0)


def schedule(step: int, steps: int, warmup: float) -> float:
    """The share of the peak rate at a step, 0 to 1."""
    warmup_steps = max(1, round(warmup * steps))
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * progress))


class WeightAverage:
    """An exponential moving average of a model's weights, kept in float32.

    The decay grows to its final value over the first steps, so that the start is soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after one more step."""
        decay = min(self.decay, (step + 1) / (step + 10))
        for name, value in model.state_dict().items():
            self.weights[name].lerp_(value, 1 - decay)
