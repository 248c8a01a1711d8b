"""A model made ready for a training run, and its weights made ordinary again afterwards.

What a recipe adds to the model itself (adapters, the bias of the sigmoid loss, dropout) is put in here, and taken out
or merged by `plain_weights`, so that a written model folder is like any other.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cocasearch.checkpoints.sentence_encoder import sentence_encoder_folder
from cocasearch.errors import CocaSearchError
from cocasearch.inference.loaded_model import lay_out_image_encoder
from cocasearch.model.coca import CoCa
from cocasearch.model.layers import Residual
from cocasearch.model.vision_transformer import VisionTransformer
from cocasearch.training.config import TrainingConfig
from cocasearch.training.losses.distillation import read_teacher
from cocasearch.training.losses.name_teacher import NameTeacher
from cocasearch.training.losses.objective import Objective
from cocasearch.training.model.adapters import DOWN, UP, adapter_scale, add_adapters, merge_adapters
from cocasearch.training.model.layer_groups import lock_towers
from cocasearch.training.model.precision import convert_weights
from cocasearch.training.model.starting_point import LOGIT_BIAS, StartingPoint
from cocasearch.training.model.tower_blocks import checkpoint_blocks, checkpoint_image_blocks, compile_blocks


def prepare(model: CoCa, config: TrainingConfig, provenance: Mapping[str, Any] | None = None) -> None:
    """Give the model what the recipe needs, in place; its weights are on their device already.

    Args:
        model: Fresh or loaded.
        config: The recipe.
        provenance: Of the model it starts from: the sigmoid loss goes on from the bias that an earlier run left there.

    Raises:
        CocaSearchError: The model has no part that the recipe names.
    """
    model.requires_grad_(True)
    convert_weights(model, config)
    if config.adapters.lora_rank:
        add_adapters(model, config)
    if config.losses.contrastive_loss == "sigmoid":
        _add_logit_bias(model, config, (provenance or {}).get(LOGIT_BIAS))
    _freeze_first_blocks(model, config.freezing.frozen_blocks)
    lock_towers(model, config)
    set_dropout(model, config.model.dropout)
    _set_patch_dropout(model, config)
    if config.computation.gradient_checkpointing:
        checkpoint_blocks(model)
    else:
        checkpoint_image_blocks(model, config.computation.checkpointed_image_blocks)
    if config.computation.compile:
        compile_blocks(model)


def set_dropout(model: CoCa, probability: float) -> None:
    """Dropout on every residual branch of both text halves while training."""
    for part in (model.text_decoder, model.multimodal_decoder):
        for module in part.modules():
            if isinstance(module, Residual):
                module.dropout = probability


def prepared_objective(
    start: StartingPoint, config: TrainingConfig, device: torch.device, teacher: NameTeacher | None = None
) -> Objective:
    """The model that a run starts from, made ready in place on its device, with the losses that train it.

    Args:
        start: The model.
        config: The recipe.
        device: Where it is trained.
        teacher: Adds the name loss.

    Raises:
        CocaSearchError: The recipe does not go with the model, leaves steps with nothing to learn, or needs a package
            that is not installed.
    """
    if config.losses.sentence_weight:
        sentence_encoder_folder()
    model = start.model.to(device)
    lay_out_image_encoder(model)
    prepare(model, config, start.provenance)
    if teacher is not None:
        teacher.move_to(device)
    objective = Objective(model, start.tokenizer, config, teacher, read_teacher(config, start, device))
    _refuse_idle_steps(objective)
    return objective


def plain_weights(weights: Mapping[str, Tensor], config: TrainingConfig) -> dict[str, Tensor]:
    """The weights of an ordinary model, in float32: adapters merged, the sigmoid loss's bias left out."""
    plain = {name: value.float() for name, value in weights.items() if name != LOGIT_BIAS}
    return merge_adapters(plain, adapter_scale(config)) if config.adapters.lora_rank else plain


def with_logit_bias(provenance: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """A provenance with the bias that `plain_weights` drops from these weights, where a later run finds it."""
    kept = {name: value for name, value in provenance.items() if name != LOGIT_BIAS}
    return {**kept, LOGIT_BIAS: float(weights[LOGIT_BIAS])} if LOGIT_BIAS in weights else kept


def _refuse_idle_steps(objective: Objective) -> None:
    """Make sure that every step has something to learn: a loss with a weight, also while captions wait, in reach."""
    config = objective.config
    if not (objective.has_embeddings or objective.has_captions):
        raise CocaSearchError(
            f"with objective={config.losses.objective} no loss has a weight, so there is nothing to learn",
            hint="contrastive_weight or caption_weight above 0",
        )
    if config.losses.caption_start and not objective.has_embeddings:
        raise CocaSearchError(
            "caption_start leaves steps without anything to learn, since no other loss has a weight",
            hint="caption_start=0, or contrastive_weight above 0",
        )
    # Nothing that a loss reaches in the first step is out of reach of a later one.
    out_of_reach = (
        *(["multimodal_decoder."] if config.losses.caption_start or not objective.has_captions else []),
        *(["image_encoder."] if config.freezing.frozen_epochs else []),
        *([] if objective.has_embeddings else ["logit_scale", LOGIT_BIAS, "image_projection."]),
    )
    trained = [name for name, parameter in objective.model.named_parameters() if parameter.requires_grad]
    if trained and all(name.startswith(out_of_reach) for name in trained):
        parts = ", ".join(sorted({name.partition(".")[0] for name in trained}))
        raise CocaSearchError(
            f"the run would begin with steps that learn nothing: it trains {parts}, which no loss reaches then",
            hint="more to train, such as lora_extras=logit_scale or lora_towers=text",
        )


def _add_logit_bias(model: CoCa, config: TrainingConfig, bias: float | None) -> None:
    if bias is None:  # the scale of a softmax means nothing to a sigmoid
        model.logit_scale.data.fill_(math.log(config.losses.sigmoid_temperature))
        bias = config.losses.sigmoid_bias
    model.register_parameter(LOGIT_BIAS, nn.Parameter(torch.tensor(bias, device=model.logit_scale.device)))


def _freeze_first_blocks(model: CoCa, count: int) -> None:
    """Keep the weights of the stem and so many blocks; adapters are there to be trained wherever they are."""
    for name, parameter in model.image_encoder.named_parameters():
        if name.endswith((DOWN, UP)):
            continue
        part, _, rest = name.partition(".")
        is_before = int(rest.split(".")[0]) < count if part == "blocks" else part != "head"
        if is_before and count > 0:
            parameter.requires_grad_(False)


def _set_patch_dropout(model: CoCa, config: TrainingConfig) -> None:
    if isinstance(model.image_encoder, VisionTransformer):
        model.image_encoder.patch_dropout = config.model.force_patch_dropout
    elif config.model.force_patch_dropout:
        raise CocaSearchError(
            "force_patch_dropout leaves out patches of a vision transformer; this model's image encoder is "
            "convolutional and has none"
        )
