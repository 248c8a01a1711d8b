"""Weights, gradients and moments divided among processes (FSDP), and put together again to be stored.

Each process keeps a share of every tensor and fetches the others' when a block is computed. What is stored is whole, so
that a run may go on with any number of processes, divided or not.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from cocasearch.model.layers import CrossAttentionBlock, SelfAttentionBlock
from cocasearch.training.losses.objective import Objective
from cocasearch.training.model.tower_blocks import blocks

T = TypeVar("T")


def shard(objective: Objective, processes: int) -> FSDPModule:
    """Divide an objective's parameters among all processes, block by block, in place; the logit scale stays whole."""
    model = objective.model
    model.image_encoder.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # as FSDP wants them
    mesh = init_device_mesh(model.logit_scale.device.type, (processes,))
    for block in blocks(model):
        # Cross-attention is entered in several ways, and fetched with the rest.
        if not isinstance(block, CrossAttentionBlock):
            fully_shard(block, mesh=mesh)
            if isinstance(block, SelfAttentionBlock):
                register_fsdp_forward_method(block, "last_position")
    fully_shard(objective, mesh=mesh, ignored_params={model.logit_scale})
    register_fsdp_forward_method(objective, "encode")
    assert isinstance(objective, FSDPModule)
    return objective


def is_sharded(model: nn.Module) -> bool:
    """Whether parameters are divided; then what makes them whole needs all processes."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def whole(stored: T) -> T:
    """Nested dictionaries and lists with every divided tensor put together; in all processes, or in none."""
    together: T = _mapped(stored, lambda x: x.full_tensor() if isinstance(x, DTensor) else x)
    return together


def divided_as(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor divided as another is, if that is."""
    if isinstance(like, DTensor) and value.shape == like.shape and not isinstance(value, DTensor):
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value


def load_model(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load whole weights into a model that may be divided."""
    present = model.state_dict()
    model.load_state_dict({name: divided_as(value, present[name]) for name, value in weights.items()})


def stored_moments(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Any]:
    """What an optimizer remembers of each parameter, whole, by the parameter's name; in all processes, or in none."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: whole(state) for parameter, state in optimizer.state.items()}


def load_moments(optimizer: torch.optim.Optimizer, model: nn.Module, stored: dict[str, Any]) -> None:
    """Load what `stored_moments` gave, however parameters are divided and grouped now; rates stay as they are."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = {
        index: {
            name: divided_as(value, parameter) if isinstance(value, Tensor) else value
            for name, value in stored[names[id(parameter)]].items()
        }
        for index, parameter in enumerate(parameters)
        if names[id(parameter)] in stored
    }
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})


def _mapped(stored: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(stored, dict):
        return {name: _mapped(value, change) for name, value in stored.items()}
    if isinstance(stored, list):
        return [_mapped(value, change) for value in stored]
    return change(stored) if isinstance(stored, Tensor) else stored
