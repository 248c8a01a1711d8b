"""Which losses a run may have: what each weighs, and what is reported of them after a step.

A loss compares the embeddings of a whole batch (`embedding_losses.py`), or is a sum over parts of a batch, such as its
tokens (`objective.py`). Elsewhere losses are a mapping from name to value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cocasearch.training.config import TrainingConfig


class Counts(NamedTuple):
    """What the sums of a step are divided by: numbers over all processes, as they count in one of them."""

    tokens: float
    label_tokens: float
    photos: float


@dataclass(frozen=True)
class StepLosses:
    """The losses of one step over all processes, scalars without a graph.

    Attributes:
        total: All losses as they are weighted.
        values: Each loss by its name, before its weight; zero where it is not trained.
        reward: The mean over the captions that the model drew, zero where it draws none.
    """

    total: Tensor
    values: Mapping[str, Tensor]
    reward: Tensor


def loss_weights(config: TrainingConfig) -> dict[str, float]:
    """What each loss weighs in the total, by name; those that are sums weigh less where captions are ramped up."""
    losses, distillation = config.losses, config.distillation
    return {
        "contrastive": losses.contrastive_weight,
        "name": losses.name_weight,
        "caption": losses.caption_weight,
        "label_caption": losses.label_caption_weight,
        "distillation": distillation.distill_weight,
        "caption_distillation": distillation.distill_caption_weight if distillation.distill_from else 0.0,
    }


def sum_weights(config: TrainingConfig, counts: Counts, ramp: float) -> dict[str, float]:
    """What one token or drawn caption counts for in the gradients of a step, by the name of the sum that it is in.

    Args:
        config: The run's.
        counts: Of the step.
        ramp: Factor of the captioning losses in this step, 0 to 1.
    """
    weights, losses = loss_weights(config), config.losses
    token, label_token = (ramp / max(1.0, count) for count in (counts.tokens, counts.label_tokens))
    is_drawn = losses.self_critical_weight > 0 and ramp > 0
    drawn = 1 / (counts.photos * losses.self_critical_samples) if is_drawn else 0.0
    return {
        "caption": weights["caption"] * token,
        "label_caption": weights["label_caption"] * label_token,
        "caption_distillation": weights["caption_distillation"] * token,
        "self_critical": ramp * losses.self_critical_weight * drawn,
        "reward": drawn,
    }


def step_losses(
    compared: Mapping[str, Tensor], sums: Mapping[str, Tensor], config: TrainingConfig, ramp: float
) -> StepLosses:
    """What is reported of a step.

    Args:
        compared: The losses that compare embeddings, before their weights.
        sums: The sums, weighted by `sum_weights`. Of drawn captions the reward is reported: the loss itself, whose
            advantages add up to zero, says nothing.
        config: The run's.
        ramp: As for `sum_weights`.
    """
    values, total = {}, torch.zeros_like(sums["reward"])
    for name, weight in loss_weights(config).items():
        if name in compared:
            values[name], counted = compared[name], weight * compared[name]
        else:
            counted = sums.get(name, torch.zeros_like(total))
            values[name] = counted / (ramp * weight) if ramp * weight else counted
        total = total + counted
    return StepLosses(total, values, sums["reward"])
