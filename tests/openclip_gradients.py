"""Our gradients and parameters in OpenCLIP's names and shapes, and whether they are those of a golden."""

import torch
from seeded_openclip import TINY, seeded_weights
from torch import Tensor

from cocasearch.checkpoints.foreign.openclip_weights import from_openclip
from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig

Layout = tuple[CoCaConfig, dict[str, Tensor]]  # an architecture, and weights of it by OpenCLIP's names
EVERY = 97  # of the elements of a tensor, one is in the golden file
EXACT = 1e-5


def tiny_main() -> Layout:
    config, seed, gain = TINY["tiny_main"]
    return config, seeded_weights(config, seed, gain, 999)


def in_openclips_layout(values: dict[str, Tensor], layout: Layout | None = None) -> dict[str, Tensor]:
    """Values by our names; the map from OpenCLIP's layout to ours only permutes, so its transpose leads back.

    Args:
        layout: The tiny model's if none is given.
    """
    config, weights = layout or tiny_main()
    theirs = {key: value.detach().requires_grad_() for key, value in weights.items()}
    ours = from_openclip(theirs, config)
    torch.stack([(ours[name] * value.detach()).sum() for name, value in values.items()]).sum().backward()
    return {key: value.grad for key, value in theirs.items() if value.grad is not None}


def gradients_in_openclips_layout(model: CoCa, layout: Layout | None = None) -> dict[str, Tensor]:
    return in_openclips_layout({name: p.grad for name, p in model.named_parameters() if p.grad is not None}, layout)


def assert_openclips(gradients: dict[str, Tensor], golden: dict[str, Tensor], case: str) -> None:
    """Each to 1e-5 of its length; what is nothing but rounding on both sides, to as much of the whole."""
    norms = {key: golden[f"{case}.norm.{key}"] for key in gradients}
    whole = float(torch.cat(list(norms.values())).norm())
    for key, value in gradients.items():
        allowed = EXACT * float(norms[key]) + 1e-8 * whole
        assert float((value.norm() - norms[key]).abs()) <= allowed, key
        assert float((value.flatten()[::EVERY] - golden[f"{case}.gradient.{key}"]).norm()) <= allowed, key
