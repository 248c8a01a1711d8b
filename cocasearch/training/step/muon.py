"""Muon (Jordan 2024) in the number type that the device multiplies fastest.

torch's own always orthogonalises in bfloat16. A CPU without instructions for that took three quarters of a training
step for it.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cocasearch.inference.device import is_faster_in_bfloat16


class Muon(torch.optim.Muon):
    """torch's Muon with its defaults, computed in float32 where bfloat16 is no faster."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """As torch's, which computes it where bfloat16 is faster."""
        if closure is not None or is_faster_in_bfloat16(self.param_groups[0]["params"][0].device):
            return super().step(closure)  # type: ignore[no-untyped-call]
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for matrix in group["params"]:
                if matrix.grad is not None:
                    state = self.state[matrix]
                    mean = state.setdefault("momentum_buffer", torch.zeros_like(matrix.grad))
                    mean.lerp_(matrix.grad, 1 - momentum)
                    update = orthogonal(matrix.grad.lerp(mean, momentum), group)
                    matrix.mul_(1 - rate * group["weight_decay"])
                    matrix.add_(update, alpha=-rate * math.sqrt(max(1, matrix.shape[0] / matrix.shape[1])))
        return None


def orthogonal(matrix: Tensor, group: dict[str, Any]) -> Tensor:
    """Nearly the nearest matrix (M, N) whose rows or columns are orthonormal, by Newton-Schulz iterations."""
    a, b, c = group["ns_coefficients"]
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / x.norm().clamp(min=group["eps"])
    for _ in range(group["ns_steps"]):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if is_tall else x
