"""AdamW for weights that are kept in bfloat16: each weight's lower half is kept beside it.

A bfloat16 weight has 8 significant bits, and a step of fine-tuning changes most weights by less than the last of them:
rounded after every step, they would never move. Full float32 copies beside bfloat16 weights would take more memory than
float32 weights alone. So the model holds the upper 16 bits of each float32 weight, rounded, and this optimizer the
other 16; together they are the exact float32 weight. What is saved over training in float32: half of the memory of
gradients and activations, and the conversions of autocast.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class SplitAdamW(torch.optim.Optimizer):
    """As `torch.optim.AdamW` in float32; parameters may be bfloat16 or float32, moments are float32.

    Args:
        params: Parameters or groups of them.
        lr: The learning rate.
        betas: Decay of both moments for each step.
        eps: Added to the root of the second moment.
        weight_decay: Decoupled: weights shrink by `lr * weight_decay`.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter, dtype=torch.float32)
            state["exp_avg_sq"] = torch.zeros_like(parameter, dtype=torch.float32)
            if parameter.dtype == torch.bfloat16:
                state["lower"] = torch.zeros_like(parameter, dtype=torch.int16)
        state["step"] += 1
        weight = joined(parameter, state["lower"]) if "lower" in state else parameter
        adamw_step_(weight, parameter.grad.float(), state, group)  # type: ignore[union-attr]
        if "lower" in state:
            upper, lower = split(weight)
            parameter.copy_(upper)
            state["lower"].copy_(lower)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, which would turn all that is kept of a bfloat16 parameter into bfloat16."""
        super().load_state_dict(state_dict)
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        for index, stored in state_dict["state"].items():
            parameter = parameters[index]
            self.state[parameter] = {
                name: value.to(parameter.device) if isinstance(value, Tensor) else value
                for name, value in stored.items()
            }


def adamw_step_(weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    """One step of AdamW (arXiv 1711.05101) in place, all in float32, in torch's order of operations."""
    (beta1, beta2), lr = group["betas"], group["lr"]
    weight.mul_(1 - lr * group["weight_decay"])
    state["exp_avg"].lerp_(gradient, 1 - beta1)
    state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    root = (state["exp_avg_sq"].sqrt() / (1 - beta2 ** state["step"]) ** 0.5).add_(group["eps"])
    weight.addcdiv_(state["exp_avg"], root, value=-lr / (1 - beta1 ** state["step"]))


def split(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A float32 weight as the nearest bfloat16 and what it lacks, int16; `joined` gives it back bit for bit."""
    bits = weight.view(torch.int32)
    upper = (bits + 0x8000) >> 16
    lower = bits - (upper << 16)  # from -32768 to 32767
    return upper.to(torch.int16).view(torch.bfloat16), lower.to(torch.int16)


def joined(upper: Tensor, lower: Tensor) -> Tensor:
    """The float32 weight of which `split` made the two."""
    return ((upper.view(torch.int16).to(torch.int32) << 16) + lower.to(torch.int32)).view(torch.float32)
