"""What a step computes in: float32, or a narrower type for what bears it.

- bfloat16, float16: weights stay float32, matrix products run in the narrow type (autocast). float16 has a small range:
  losses are scaled up before they go back, and a step whose gradients overflow is left out.
- pure_bfloat16: weights and gradients are bfloat16 as well, for less memory; what they lack to float32 is kept by
  `SplitAdamW`. A convolutional encoder stays float32: the backward pass of bfloat16 depthwise convolutions is slower on
  CPUs than that of float32 ones.
"""

import torch

from cocasearch.inference.device import is_faster_in_bfloat16
from cocasearch.model.coca import CoCa
from cocasearch.model.efficientnet_lite import EfficientNetLite
from cocasearch.training.config import TrainingConfig

_AUTOCAST = {"float32": None, "bfloat16": torch.bfloat16, "pure_bfloat16": torch.bfloat16, "float16": torch.float16}


def resolved_precision(config: TrainingConfig, device: torch.device) -> str:
    """The precision of a run on a device, in place of "auto"."""
    if config.computation.precision != "auto":
        return config.computation.precision
    return "bfloat16" if is_faster_in_bfloat16(device) else "float32"


def autocast_dtype(config: TrainingConfig, device: torch.device) -> torch.dtype | None:
    """The type that matrix products run in; None for that of the weights."""
    return _AUTOCAST[resolved_precision(config, device)]


def convert_weights(model: CoCa, config: TrainingConfig) -> None:
    """Turn weights into what the config trains, in place; the logit scale always stays float32."""
    if config.computation.precision != "pure_bfloat16":
        return
    for name, part in model.named_children():
        if not (name == "image_encoder" and isinstance(part, EfficientNetLite)):
            part.to(torch.bfloat16)


def gradient_scaler(config: TrainingConfig, device: torch.device) -> torch.amp.GradScaler:
    """What keeps small gradients of float16 from vanishing; it changes nothing in the other types."""
    return torch.amp.GradScaler(device.type, enabled=config.computation.precision == "float16")
