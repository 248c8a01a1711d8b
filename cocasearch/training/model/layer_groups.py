"""The layers of a CoCa's towers from the input up: which of them are locked, and how fast each learns.

The image tower is divided as OpenCLIP's `lock` divides a CLIP's (transformer.py): the stem with class token, positions
and norm, each block, the last of them with the norm after it, and what maps to the shared space. OpenCLIP itself
cannot lock a CoCa.
"""

from collections.abc import Sequence

from torch import nn

from cocasearch.errors import CocaSearchError
from cocasearch.model.attentional_pooler import SeparatePooling
from cocasearch.model.coca import CoCa
from cocasearch.model.efficientnet_lite import EfficientNetLite
from cocasearch.model.roberta import RobertaTextDecoder
from cocasearch.training.config import TrainingConfig

Layer = Sequence[nn.Module | nn.Parameter]


def image_layers(model: CoCa) -> list[list[nn.Parameter]]:
    """The parameters of the image encoder, the pooling and the projection, from the pixels up."""
    encoder, pooling = model.image_encoder, model.pooling
    if isinstance(encoder, EfficientNetLite):
        return _layers([encoder.stem], encoder.blocks, [encoder.head], [pooling, model.image_projection])
    stem: Layer = [encoder.patches, encoder.class_embedding, encoder.positions, encoder.input_norm]
    if isinstance(pooling, SeparatePooling):
        return _layers(stem, encoder.blocks, [], [pooling, model.image_projection])
    pooler = [part for name, part in pooling.named_children() if name != "norm"]
    return _layers(stem, encoder.blocks, [pooling.norm], [*pooler, model.image_projection])


def text_layers(model: CoCa) -> list[list[nn.Parameter]]:
    """The parameters of the unimodal text decoder, from the token ids up."""
    text = model.text_decoder
    if isinstance(text, RobertaTextDecoder):
        tables: Layer = [text.token_embedding, text.positions, text.token_type, text.input_norm]
        return _layers(tables, text.blocks, [], [text.projection])
    tables = [text.token_embedding, text.positions, text.cls_embedding]
    return _layers(tables, text.blocks, [text.output_norm], [text.projection])


def _layers(first: Layer, blocks: nn.ModuleList, after: Layer, last: Layer) -> list[list[nn.Parameter]]:
    layers = [_parameters(*first), *(_parameters(block) for block in blocks)]
    layers[-1] += _parameters(*after)
    return [*layers, _parameters(*last)]


def _parameters(*parts: nn.Module | nn.Parameter) -> list[nn.Parameter]:
    return [
        parameter for part in parts for parameter in ([part] if isinstance(part, nn.Parameter) else part.parameters())
    ]


def lock_towers(model: CoCa, config: TrainingConfig) -> None:
    """Keep the locked layers as they are, in place: they get no gradients.

    Raises:
        CocaSearchError: More layers are to stay unlocked than there are.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    of_norms = set() if config.freezing.freeze_layer_norm else {id(p) for norm in norms for p in norm.parameters()}
    towers = (
        ("image", config.freezing.lock_image, config.freezing.unlocked_image_groups, image_layers(model)),
        ("text", config.freezing.lock_text, config.freezing.unlocked_text_groups, text_layers(model)),
    )
    for tower, is_locked, unlocked, layers in towers:
        if unlocked > len(layers):
            raise CocaSearchError(f"unlocked_{tower}_groups is {unlocked}, but the {tower} tower has {len(layers)}")
        for layer in layers[: len(layers) - unlocked] if is_locked else ():
            for parameter in layer:
                if id(parameter) not in of_norms:
                    parameter.requires_grad_(False)


def rate_factors(model: CoCa, config: TrainingConfig) -> dict[int, float]:
    """What layer-wise decay makes of each tower parameter's rate, by `id`: 1 at the top, less the nearer to the input.

    Source: BEiT (arXiv 2106.08254); the layers are those of `image_layers` and `text_layers`.
    """
    towers = (
        (image_layers(model), config.optimization.image_layer_decay),
        (text_layers(model), config.optimization.text_layer_decay),
    )
    return {
        id(parameter): decay ** (len(layers) - 1 - height)
        for layers, decay in towers
        for height, layer in enumerate(layers)
        for parameter in layer
    }
