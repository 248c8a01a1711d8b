"""Linear layers with their weights stored as the CPU's matrix kernels read them.

Matrix products of few rows, which is what writing captions consists of, spend most of their time rearranging weights.
oneDNN can keep them rearranged; PyTorch reaches that through the operators its own compiler uses. Where they are
missing, models stay as they are. Receives and returns modules; a packed model is for inference alone.
"""

from typing import Any

import torch
from torch import Tensor, nn

from cocasearch.model.layers import Mlp


class PackedLinear(nn.Module):
    """`nn.Linear` in inference, its weight rearranged, with GELU computed in the same pass where asked for.

    Args:
        linear: The layer to take the place of; its weight is copied.
        activation: What oneDNN computes on the result: "none" or "gelu" (the exact one).
    """

    def __init__(self, linear: nn.Linear, activation: str = "none") -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().contiguous(), None)
        self._bias = None if linear.bias is None else linear.bias.detach().clone()
        self._activation = activation

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, self._activation, [], "none" if self._activation == "gelu" else ""
        )
        return output


def pack_linear_layers(module: nn.Module) -> None:
    """Replace every linear layer in `module`, in place, where this build of PyTorch can."""
    if not can_pack():
        return
    for child in module.modules():
        if isinstance(child, Mlp) and isinstance(child.activation, nn.GELU):
            setattr(child, "expand", PackedLinear(child.expand, "gelu"))  # noqa: B010  still called as a linear layer
            child.activation = nn.Identity()
        for name, layer in child.named_children():
            if isinstance(layer, nn.Linear):
                setattr(child, name, PackedLinear(layer))


def can_pack() -> bool:
    """Whether this PyTorch has oneDNN and the two operators."""
    operators: Any = torch.ops.mkldnn
    has_library: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return has_library and all(hasattr(operators, name) for name in ("_reorder_linear_weight", "_linear_pointwise"))
