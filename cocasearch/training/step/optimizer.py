"""Which parameter is trained by which rule, at which rate, at which step.

Receives a CoCa and a `TrainingConfig`; knows nothing about data or losses. Muon (Jordan 2024) orthogonalises the
updates of the transformers' matrices; embeddings, norms, biases, positions, queries and the convolutional encoder are
AdamW's. What does not decay is what OpenCLIP leaves out: every vector and scalar, so norms, biases, the class
embeddings and the logit scale. Positions, queries, embeddings and projections do decay.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from cocasearch.errors import CocaSearchError
from cocasearch.model.coca import CoCa
from cocasearch.training.config import TrainingConfig
from cocasearch.training.model.layer_groups import rate_factors
from cocasearch.training.step.muon import Muon
from cocasearch.training.step.schedule import rate_share, warmup_steps
from cocasearch.training.step.split_adamw import SplitAdamW

# Matrices by shape, but each row stands for itself: an update that mixes the rows is wrong for them.
_TABLES = ("token_embedding.weight", "vocabulary.weight", "positions", "queries")


def build_optimizers(model: CoCa, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon where the config asks for it; each group knows its `peak_lr` and whether it `is_encoder`.

    Raises:
        CocaSearchError: Every parameter is locked.
    """
    encoder, factors = {id(parameter) for parameter in model.image_encoder.parameters()}, rate_factors(model, config)
    groups: dict[tuple[bool, bool, bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_encoder, factor = id(parameter) in encoder, factors.get(id(parameter), 1.0)
            use_muon = config.optimization.optimizer == "muon" and not is_encoder and is_muon_matrix(name, parameter)
            groups.setdefault(
                (use_muon, is_encoder, parameter.ndim >= 2, factor, isinstance(parameter, DTensor)), []
            ).append(parameter)
    if not groups:
        raise CocaSearchError("these settings leave nothing to train", hint="unlock a tower")
    rules: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for (use_muon, is_encoder, decays, factor, _), parameters in groups.items():
        rate = config.optimization.encoder_learning_rate if is_encoder else config.optimization.learning_rate
        peak = factor * (config.optimization.muon_learning_rate if use_muon else rate)
        decay = config.optimization.weight_decay if decays else 0.0
        rules[use_muon].append(
            {"params": parameters, "lr": peak, "peak_lr": peak, "is_encoder": is_encoder, "weight_decay": decay}
        )
    optimizers = [_adamw(rules[False], config)] if rules[False] else []
    return [*optimizers, *(Muon(rules[True]) for _ in rules[True][:1])]


def _adamw(groups: list[dict[str, Any]], config: TrainingConfig) -> torch.optim.Optimizer:
    settings: dict[str, Any] = {
        "betas": (config.optimization.beta1, config.optimization.beta2),
        "eps": config.optimization.adam_epsilon,
    }
    if config.computation.precision == "pure_bfloat16":
        return SplitAdamW(groups, **settings)
    return torch.optim.AdamW(groups, fused=True, **settings)  # one pass over weights, gradients and moments


def is_muon_matrix(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a matrix that maps activations to activations."""
    return parameter.ndim == 2 and not name.endswith(_TABLES)


def set_learning_rates(
    optimizers: Iterable[torch.optim.Optimizer], config: TrainingConfig, *, step: int, steps: int, unfreeze_step: int
) -> None:
    """The rates of one step, as `rate_share` has it; an encoder that is unfrozen later warms up by itself."""
    share, warmup = rate_share(config, step, steps), max(1, warmup_steps(config, steps))
    unfrozen = float(step >= unfreeze_step)
    if unfreeze_step >= warmup:  # until then the share itself is the warm-up
        unfrozen *= min(1.0, (step - unfreeze_step + 1) / warmup)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * share * (unfrozen if group["is_encoder"] else 1.0)


def learning_rates(optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, float]:
    """The highest rate now of all that is trained by one rule: "image_encoder", "muon" and the "rest"."""
    rates: dict[str, float] = {}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            rule = "muon" if isinstance(optimizer, Muon) else "rest"
            name = "image_encoder" if group["is_encoder"] else rule
            rates[name] = max(rates.get(name, 0.0), group["lr"])
    return rates


def clip_gradients(parameters: Iterable[nn.Parameter], config: TrainingConfig) -> Tensor:
    """Scale gradients down to `max_gradient_norm`, in place, where it is not 0; their norm before."""
    trained = [parameter for parameter in parameters if parameter.grad is not None]
    # What is divided among processes and what is not do not mix in one call.
    kinds = [[p for p in trained if isinstance(p, DTensor) == divided] for divided in (True, False)]
    norms = [nn.utils.get_total_norm([p.grad for p in kind if p.grad is not None]) for kind in kinds if kind]
    norm: Tensor = torch.stack([n.full_tensor() if isinstance(n, DTensor) else n for n in norms]).norm()
    if config.optimization.max_gradient_norm:
        for kind in kinds:
            nn.utils.clip_grads_with_norm_(kind, config.optimization.max_gradient_norm, norm)
    return norm


class WeightAverage:
    """An exponential moving average of a model's weights, kept in float32.

    The decay grows to its final value over the first steps, so that the start is soon forgotten. With a decay of 0
    nothing is kept: the average is the model.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._model = model
        self._average: dict[str, Tensor] = {}
        if decay:
            self.weights = {name: value.detach().float().clone() for name, value in model.state_dict().items()}

    @property
    def weights(self) -> dict[str, Tensor]:
        """The averages by name; without averaging the model's own weights, which change with it."""
        return self._average if self.decay else dict(self._model.state_dict())

    @weights.setter
    def weights(self, weights: Mapping[str, Tensor]) -> None:
        if self.decay:
            self._average = dict(weights)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after one more step."""
        if not self.decay:
            return
        decay = min(self.decay, (step + 1) / (step + 10))
        for name, value in model.state_dict().items():
            self._average[name].lerp_(value.float(), 1 - decay)
