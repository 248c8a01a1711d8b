"""Linear layers that compute their input again in the backward pass instead of keeping it, where that is cheap.

Otherwise an MLP keeps the input and the output of its activation function, and linear layers the output of their norms:
half of all that training holds. GELU and LayerNorm cost little beside the matrix products around them.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def gelu_linear(x: Tensor, linear: nn.Linear) -> Tensor:
    """`linear(gelu(x))`, exact GELU."""
    if _can_recompute(x, linear):
        return _GeluLinear.apply(x, linear.weight, linear.bias)  # type: ignore[no-untyped-call]
    return linear(F.gelu(x))


def norm_linear(x: Tensor, norm: nn.LayerNorm, linear: nn.Linear) -> Tensor:
    """`linear(norm(x))`."""
    if _can_recompute(x, linear):
        parameters = norm.weight, norm.bias, norm.eps, linear.weight, linear.bias
        return _NormLinear.apply(x, *parameters)  # type: ignore[no-untyped-call]
    return linear(norm(x))


def _can_recompute(x: Tensor, linear: nn.Linear) -> bool:
    """Whether a plain layer needs gradients and computes in its weights' own type."""
    return (
        torch.is_grad_enabled()
        and type(linear) is nn.Linear  # no adapter, nothing prepacked
        and linear.weight.requires_grad  # a frozen layer keeps nothing for its weight's gradient anyway
        and x.dtype == linear.weight.dtype
        and not torch.is_autocast_enabled(x.device.type)  # which casts within the layer
        and not torch.compiler.is_compiling()  # which decides itself what to recompute
    )


class _GeluLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.linear(F.gelu(x), weight, bias)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        gradient = upstream[0]  # (..., out)
        # d loss / d gelu(x) = gradient @ weight; what the weight's gradient needs of the way there is made again.
        of_input = torch.ops.aten.gelu_backward(gradient @ weight, x)
        return of_input, *_of_parameters(gradient, F.gelu(x))


class _NormLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, norm_weight: Tensor, norm_bias: Tensor, eps: float, weight: Tensor, bias: Tensor
    ) -> Tensor:
        # Mean and 1 / deviation are one number a position each: kept, so that nothing is summed up twice.
        normed, mean, inverse = torch.native_layer_norm(x, x.shape[-1:], norm_weight, norm_bias, eps)
        ctx.save_for_backward(x, mean, inverse, norm_weight, norm_bias, weight)
        return F.linear(normed, weight, bias)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, inverse, norm_weight, norm_bias, weight = ctx.saved_tensors
        gradient = upstream[0]
        # norm_bias + (x - mean) / deviation * norm_weight, which was let go.
        normed = torch.addcmul(norm_bias, (x - mean).mul_(inverse), norm_weight)
        of_weight, of_bias = _of_parameters(gradient, normed)
        of_x, of_norm_weight, of_norm_bias = torch.ops.aten.native_layer_norm_backward(
            gradient @ weight, x, x.shape[-1:], mean, inverse, norm_weight, norm_bias, [True, True, True]
        )
        return of_x, of_norm_weight, of_norm_bias, None, of_weight, of_bias


def _of_parameters(gradient: Tensor, read: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of a linear layer's weight and bias."""
    rows = gradient.flatten(0, -2)  # (n, out), all positions one below the other
    return rows.T @ read.flatten(0, -2), rows.sum(dim=0)
