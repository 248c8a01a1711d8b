"""Low-rank adapters beside the linear layers of a CoCa (LoRA, arXiv 2106.09685), which alone are trained.

A layer's weights keep their names, so that what is trained and what is saved are told apart by names alone:
`merge_adapters` turns the weights of an adapted model into those of an ordinary one.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocasearch.errors import CocaSearchError
from cocasearch.model.attention import CrossAttention, SelfAttention
from cocasearch.model.coca import CoCa
from cocasearch.model.layers import Mlp
from cocasearch.training.config import TrainingConfig

DOWN, UP = "adapter_down", "adapter_up"
_TOWERS = {"image": ("image_encoder", "pooling"), "text": ("text_decoder",), "caption": ("multimodal_decoder",)}
_LAYERS: dict[str, tuple[type[nn.Module], ...]] = {
    "attention": (SelfAttention, CrossAttention),
    "mlp": (Mlp,),
    "all": (SelfAttention, CrossAttention, Mlp),
}


class AdaptedLinear(nn.Linear):
    """A linear layer plus `scale * up @ down`, of low rank; it starts as the layer that it adapts.

    Args:
        linear: The layer; its parameters are used, not copied.
        rank: Inner width of the adapter.
        scale: Factor of what the adapter adds.
        dropout: Of the adapter's input, while training.
        rng: Of its initial values; a run begins with the same ones each time.
    """

    def __init__(self, linear: nn.Linear, *, rank: int, scale: float, dropout: float, rng: torch.Generator) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.scale, self.dropout = scale, dropout
        down = torch.empty(rank, linear.in_features)
        nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=rng)
        self.adapter_down = nn.Parameter(down.to(linear.weight.device))
        self.adapter_up = nn.Parameter(torch.zeros(linear.out_features, rank, device=linear.weight.device))

    def forward(self, x: Tensor) -> Tensor:
        low = F.linear(F.dropout(x, self.dropout, self.training), self.adapter_down)
        return F.linear(x, self.weight, self.bias) + self.scale * F.linear(low, self.adapter_up)


def adapter_scale(config: TrainingConfig) -> float:
    """The factor of what adapters add: `lora_alpha / lora_rank`, so that the rank may change and the rates stay."""
    return config.adapters.lora_alpha / config.adapters.lora_rank


def add_adapters(model: CoCa, config: TrainingConfig) -> None:
    """Adapt the linear layers that the config names, in place; of the others only `lora_extras` stay trainable.

    Raises:
        CocaSearchError: A tower or an extra that the model lacks, a locked tower, or towers without such layers.
    """
    model.requires_grad_(False)
    _unlock_extras(model, words(config.adapters.lora_extras))
    count, rng = 0, torch.Generator().manual_seed(config.run.seed)
    for tower in words(config.adapters.lora_towers):
        if tower not in _TOWERS:
            raise CocaSearchError(f"lora_towers names '{tower}'; a model has the towers {', '.join(_TOWERS)}")
        if {"image": config.freezing.lock_image, "text": config.freezing.lock_text}.get(tower):
            raise CocaSearchError(
                f"lock_{tower}=true keeps the {tower} tower as it is, and lora_towers adapts it",
                hint=f"lora_towers without '{tower}' keeps it; without lock_{tower} its adapters learn",
            )
        for part in _TOWERS[tower]:
            for module in list(getattr(model, part).modules()):
                if isinstance(module, _LAYERS[config.adapters.lora_layers]):
                    count += _adapt(module, config, rng)
    if not count:
        raise CocaSearchError(f"lora_towers='{config.adapters.lora_towers}' of this model have no layers for adapters")


def _adapt(module: nn.Module, config: TrainingConfig, rng: torch.Generator) -> int:
    layers = [(name, layer) for name, layer in module.named_children() if isinstance(layer, nn.Linear)]
    for name, layer in layers:
        adapted = AdaptedLinear(
            layer,
            rank=config.adapters.lora_rank,
            scale=adapter_scale(config),
            dropout=config.adapters.lora_dropout,
            rng=rng,
        )
        setattr(module, name, adapted)
    return len(layers)


def _unlock_extras(model: CoCa, extras: list[str]) -> None:
    for extra in extras:
        chosen = [p for name, p in model.named_parameters() if name == extra or name.startswith(f"{extra}.")]
        if not chosen:
            raise CocaSearchError(
                f"lora_extras names '{extra}', which is no part of the model",
                hint=f"names such as {', '.join(name for name, _ in model.named_children())} or logit_scale",
            )
        for parameter in chosen:
            parameter.requires_grad_(True)


def words(names: str) -> list[str]:
    """The names in a setting that lists them with commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


@torch.no_grad()
def merge_adapters(weights: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The weights of the ordinary model that computes what an adapted one does; others come back as they are."""
    merged = {name: value for name, value in weights.items() if not name.endswith((DOWN, UP))}
    for name, up in weights.items():
        if name.endswith(UP):
            layer = name.removesuffix(UP)
            base, down = weights[layer + "weight"], weights[layer + DOWN]
            merged[layer + "weight"] = (base.float() + scale * up.float() @ down.float()).to(base.dtype)
    return merged
