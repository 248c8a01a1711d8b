"""A model made ready for a training run, and its weights made ordinary again afterwards.

What a recipe adds to the model itself (adapters, dropout) is put in here, and taken out
or merged by `plain_weights`, so that a written model folder is like any other.
"""

from collections.abc import Mapping

from torch import Tensor

from cocasearch.errors import CocaSearchError
from cocasearch.model.coca import CoCa
from cocasearch.model.layers import Residual
from cocasearch.model.vision_transformer import VisionTransformer
from cocasearch.training.adapters import adapter_scale, add_adapters, merge_adapters
from cocasearch.training.config import TrainingConfig
from cocasearch.training.layer_groups import lock_towers
from cocasearch.training.memory import checkpoint_blocks, compile_blocks
from cocasearch.training.precision import place_weights


def prepare(model: CoCa, config: TrainingConfig) -> None:
    """Give the model what the recipe needs, in place; its weights are on their device already.

    Args:
        model: Fresh or loaded.
        config: The recipe.

    Raises:
        CocaSearchError: The model has no part that the recipe names.
    """
    model.requires_grad_(True)
    place_weights(model, config)
    if config.lora_rank:
        add_adapters(model, config)
    _freeze_first_blocks(model, config.frozen_blocks)
    lock_towers(model, config)
    _set_dropout(model, config)
    if config.gradient_checkpointing:
        checkpoint_blocks(model)
    if config.compile:
        compile_blocks(model)


def plain_weights(weights: Mapping[str, Tensor], config: TrainingConfig) -> dict[str, Tensor]:
    """The weights of an ordinary model, in float32: adapters merged."""
    plain = {name: value.float() for name, value in weights.items()}
    return merge_adapters(plain, adapter_scale(config)) if config.lora_rank else plain


def _freeze_first_blocks(model: CoCa, count: int) -> None:
    for name, parameter in model.image_encoder.named_parameters():
        part, _, rest = name.partition(".")
        is_before = int(rest.split(".")[0]) < count if part == "blocks" else part != "head"
        if is_before and count > 0:
            parameter.requires_grad_(False)


def _set_dropout(model: CoCa, config: TrainingConfig) -> None:
    for part in (model.text_decoder, model.multimodal_decoder):
        for module in part.modules():
            if isinstance(module, Residual):
                module.dropout = config.dropout
    if isinstance(model.image_encoder, VisionTransformer):
        model.image_encoder.patch_dropout = config.force_patch_dropout
    elif config.force_patch_dropout:
        raise CocaSearchError(
            "force_patch_dropout leaves out patches of a vision transformer; this model's image encoder is "
            "convolutional and has none"
        )
