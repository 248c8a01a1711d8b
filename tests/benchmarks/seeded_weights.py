"""Weights by a seeded rule, in any shapes: real-size models without a download, the same on both sides.

Runs beside OpenCLIP too, so it imports nothing of ours.
"""

import sys
import zlib
from collections.abc import Mapping

import torch
from torch import Tensor

SEED = 11
LOGIT_SCALE = 2.6593  # ln(1 / 0.07), where training starts
CAPTION_GAIN = 3.0  # spreads the vocabulary's logits as a trained model does
VOCABULARY = "text_decoder.text_projection"  # [W, V]
END_OF_TEXT = 49407


def seeded_weights(
    state_dict: Mapping[str, Tensor], seed: int = SEED, end_of_text_gain: float = 0.0
) -> dict[str, Tensor]:
    """Values for the keys and shapes of a state dict in OpenCLIP's layout: scaled so that every part matters.

    With a gain of 0 the end of text is never likely, so that every caption takes all the steps it may; with 1.2
    captions end, as those of the goldens do.
    """
    weights = {key: _seeded_tensor(key, tuple(value.shape), seed) for key, value in state_dict.items()}
    direction = torch.nn.functional.normalize(weights["text_decoder.ln_final.bias"], dim=0)
    weights[VOCABULARY][:, END_OF_TEXT] = end_of_text_gain * direction
    return weights


def _seeded_tensor(key: str, shape: tuple[int, ...], seed: int) -> Tensor:
    if key == "logit_scale":
        return torch.tensor(LOGIT_SCALE)
    generator = torch.Generator().manual_seed((zlib.crc32(key.encode()) + 1000003 * seed) & 0x7FFFFFFF)
    return _scaled(key, torch.randn(shape, generator=generator))


def _scaled(key: str, noise: Tensor) -> Tensor:
    if noise.dim() < 2:
        if ".ln_" in key and key.endswith("weight"):
            return 1 + 0.1 * noise
        return noise * (0.5 if key == "text_decoder.ln_final.bias" else 0.1)
    if key == "text.token_embedding.weight":
        return 0.5 * noise
    if key.endswith(("positional_embedding", "query")):
        return 0.3 * noise
    if key == VOCABULARY:
        return CAPTION_GAIN * noise * len(noise) ** -0.5
    fan_in = noise[0].numel() if key.endswith("weight") else len(noise)
    return noise * fan_in**-0.5


def main(architecture: str, file: str, end_of_text_gain: str = "0") -> None:
    """Write the weights of one of OpenCLIP's architectures."""
    import torchvision_without_operators  # noqa: F401  must come before open_clip

    import open_clip  # isort: skip
    from safetensors.torch import save_file

    state_dict = open_clip.create_model(architecture).state_dict()
    save_file(seeded_weights(state_dict, end_of_text_gain=float(end_of_text_gain)), file)


if __name__ == "__main__":
    main(*sys.argv[1:])
