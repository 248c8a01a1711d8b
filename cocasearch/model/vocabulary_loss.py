"""Cross-entropy over a vocabulary without the logits of all tokens at once.

One group of tokens at a time, the logits, the loss and the gradients are computed, and the logits are dropped. Memory
is then that of one group's logits, whatever the batch, and nothing is computed twice. `losses.caption_loss` is the
plain way to the same.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LOGITS_AT_ONCE = 2**22  # numbers: 16 MB in float32


def linear_cross_entropy(
    states: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    worth: Tensor | None = None,
    rows_at_once: int | None = None,
) -> Tensor:
    """The sum over the tokens of the cross-entropy of `states @ weight.T` against `targets`, in float32.

    Args:
        states: (n, D).
        weight: (V, D).
        targets: (n,), each from 0 to V - 1.
        label_smoothing: Share of the target that is spread over the whole vocabulary.
        worth: (n,) weight of each token, in float32; 1 by default.
        rows_at_once: Number of tokens whose logits are held at once; by default as many as fill 16 MB.
    """
    rows_at_once = rows_at_once or max(1, LOGITS_AT_ONCE // len(weight))
    return _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        states, weight, targets, label_smoothing, worth, rows_at_once
    )


class _LinearCrossEntropy(torch.autograd.Function):
    """The loss with its gradients, which are computed beside it while the logits exist; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        targets: Tensor,
        label_smoothing: float,
        worth: Tensor | None,
        rows_at_once: int,
    ) -> Tensor:
        # Autocast does not reach into a custom function, so what it would do to the product is done here.
        device = states.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else states.dtype
        needs_states, needs_weight = ctx.needs_input_grad[:2]
        with torch.autocast(device, enabled=False):
            compute_weight = weight.to(dtype)
            loss = torch.zeros((), device=states.device)
            state_gradient = torch.empty_like(states) if needs_states else None
            weight_gradient = torch.zeros_like(weight) if needs_weight else None
            for start in range(0, len(states), rows_at_once):
                rows = slice(start, start + rows_at_once)
                part = states[rows].to(dtype)  # (g, D)
                logits = F.linear(part, compute_weight).float()  # (g, V), in float32 for the softmax
                losses = _cross_entropy_in_place(logits, targets[rows], label_smoothing)
                # From here on `logits` holds softmax minus target, the gradient of the loss by the logits.
                if worth is not None:
                    losses = losses * worth[rows]
                    logits.mul_(worth[rows, None])
                loss += losses.sum()
                gradient = logits.to(dtype)
                # The chain rule for logits = states @ weight.T, summed over the groups for the weight.
                if state_gradient is not None:
                    state_gradient[rows] = gradient @ compute_weight
                if weight_gradient is not None:
                    _add_product(weight_gradient, gradient.T, part)
        ctx.gradients = state_gradient, weight_gradient
        return loss

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None, None]:
        gradients, ctx.gradients = ctx.gradients, None  # they are as large as the vocabulary: scaled where they lie
        with torch.no_grad():
            states, weight = (None if gradient is None else gradient.mul_(upstream[0]) for gradient in gradients)
        return states, weight, None, None, None, None


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    if total.dtype == a.dtype:
        total.addmm_(a, b)
    else:
        total.add_(a @ b)


def _cross_entropy_in_place(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """The losses (n,) of logits (n, V), which become their own gradients."""
    # With smoothing the target is 1 - smoothing at one word and smoothing / V at every word.
    normaliser = logits.logsumexp(dim=1)  # (n,)
    chosen = logits.gather(1, targets[:, None])[:, 0]
    loss = normaliser - (1 - label_smoothing) * chosen
    if label_smoothing:
        loss = loss - label_smoothing * logits.mean(dim=1)
    # softmax - smoothing / V everywhere, and (1 - smoothing) less at the target.
    logits.sub_(normaliser[:, None]).exp_().sub_(label_smoothing / logits.shape[1])
    hit = torch.full_like(chosen[:, None], label_smoothing - 1)
    logits.scatter_add_(1, targets[:, None], hit)
    return loss
