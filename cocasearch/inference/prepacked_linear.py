"""Linear layers with their weights stored as the CPU's matrix kernels read them.

Matrix products of few rows, which is what writing captions consists of, spend most of their time rearranging weights.
oneDNN can keep them rearranged; PyTorch reaches that through the operators its own compiler uses. Where they are
missing, or do not know a layer's number type on this CPU, layers stay as they are. A prepacked model is for inference
alone.
"""

from typing import Any

import torch
from torch import Tensor, nn

from cocasearch.model.layers import Mlp

_OPERATORS = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported", "_is_mkldnn_fp16_supported")
_SUPPORT = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}


class PrepackedLinear(nn.Module):
    """A linear layer for inference with its weight rearranged, which can compute GELU in the same pass.

    Args:
        linear: The layer to replace; its weight is copied.
        activation: The function that oneDNN applies to the result: "none" or "gelu" (the exact one).
    """

    def __init__(self, linear: nn.Linear, activation: str = "none") -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().contiguous(), None)
        self._bias = None if linear.bias is None else linear.bias.detach().clone()
        self._activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, self._activation, [], "none" if self._activation == "gelu" else ""
        )


def prepack_linear_layers(module: nn.Module) -> None:
    """Replace every linear layer in `module`, in place, where this build of PyTorch and this CPU can."""
    for child in module.modules():
        if isinstance(child, Mlp) and isinstance(child.activation, nn.GELU) and can_prepack(child.expand.weight.dtype):
            setattr(child, "expand", PrepackedLinear(child.expand, "gelu"))  # noqa: B010  still called as a linear layer
            child.activation = nn.Identity()
        for name, layer in child.named_children():
            if isinstance(layer, nn.Linear) and can_prepack(layer.weight.dtype):
                setattr(child, name, PrepackedLinear(layer))


def can_prepack(dtype: torch.dtype) -> bool:
    """Whether this PyTorch has oneDNN and its operators, and these multiply `dtype` on this CPU."""
    operators: Any = torch.ops.mkldnn
    has_library: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not has_library or not all(hasattr(operators, name) for name in _OPERATORS):
        return False
    return dtype is torch.float32 or (dtype in _SUPPORT and bool(getattr(operators, _SUPPORT[dtype])()))
