"""The architecture of a CoCa model as frozen data, stored under `architecture` in a model folder's `config.json`.

Each class validates itself; an unknown key in a dictionary is an error that names the nearest known key.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from cocasearch.errors import CocaSearchError
from cocasearch.json_values import build, shown

PoolerKind = Literal["none", "single", "parallel", "cascade"]

# Far above any model that was published, and low enough that one of these sizes is built, if only without its weights.
_LARGEST = {
    **dict.fromkeys(("image_size", "patch_size", "queries", "stem_channels"), 4096),
    **dict.fromkeys(("width", "head_width", "head_channels"), 16_384),
    **dict.fromkeys(("mlp_width", "embed_dim", "positions"), 65_536),
    "layers": 128,
    "heads": 1024,
    "context_length": 8192,
    "vocab_size": 4_194_304,
}
_LARGEST_GRID = 512  # patches a side
_MOST_STAGES = 32
_LARGEST_OF_STAGE = (64, 15, 4, 32, 4096)  # repeats, kernel, stride, expansion, channels


class _Sized:
    """A part of a model whose sizes are checked, since a file may hold any number."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name in _LARGEST and value is not None:
                check_size(name, value, _LARGEST[name])
        if (scale := getattr(self, "layer_scale", None)) is not None and not -1000 <= scale <= 1000:
            raise CocaSearchError(f"the config has a layer_scale of {shown(scale)}")


def check_size(name: str, value: Any, largest: int) -> None:
    """Make sure that a size is one that a model can have.

    Raises:
        CocaSearchError: It is not a whole number from 1 to `largest`.
    """
    if type(value) is not int or not 1 <= value <= largest:
        raise CocaSearchError(f"the config has a {name} of {shown(value)}, not a whole number from 1 to {largest}")


@dataclass(frozen=True)
class VisionTransformerConfig(_Sized):
    """A ViT image encoder with a class token, as in OpenCLIP."""

    image_size: int = 224  # pixels a side
    patch_size: int = 32  # pixels a side; (224 / 32)^2 = 49 patches
    layers: int = 12
    width: int = 768
    head_width: int = 64  # 12 heads
    layer_scale: float | None = None  # initial LayerScale; None: no LayerScale

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.grid_size <= _LARGEST_GRID:
            raise CocaSearchError(f"images of {self.image_size} pixels are not cut into patches of {self.patch_size}")

    @property
    def heads(self) -> int:
        """Number of attention heads."""
        return self.width // self.head_width

    @property
    def grid_size(self) -> int:
        """Number of patches along a side; pixels that do not fill a patch are not seen."""
        return self.image_size // self.patch_size


@dataclass(frozen=True)
class EfficientNetLiteConfig(_Sized):
    """A convolutional image encoder, EfficientNet-Lite, batch norms folded into the convolutions.

    `blocks` holds one row per stage: repeats, kernel, stride of the first block, expansion, output channels.
    """

    image_size: int = 224
    stem_channels: int = 32
    head_channels: int = 1280  # of the tokens
    # Lite0. Five strides of 2, the stem's among them, make one token of 32 x 32 pixels.
    blocks: tuple[tuple[int, int, int, int, int], ...] = (
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_size("number of stages", len(self.blocks), _MOST_STAGES)
        for stage in self.blocks:
            for value, largest in zip(stage, _LARGEST_OF_STAGE, strict=True):
                check_size("stage with a number", value, largest)

    @property
    def width(self) -> int:
        """Width of the tokens."""
        return self.head_channels


@dataclass(frozen=True)
class PoolerConfig(_Sized):
    """How image tokens become the contrastive vector and the decoder's context.

    `none`: the class token is the vector, the patches are the context (coca_base). `single`: OpenCLIP's one
    pooler, query 0 is the vector and the others are the context. `parallel` and `cascade`: the paper's separate
    generative pooler (`queries`) and contrastive pooler (one query), the latter reading the encoder's output or
    the generative pooler's.
    """

    kind: PoolerKind = "single"
    queries: int = 256  # as in the paper; with `single` 255 of them are left for the decoder
    heads: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in get_args(PoolerKind):
            raise CocaSearchError(
                f"unknown pooler '{shown(self.kind)}' in the config; known are {', '.join(get_args(PoolerKind))}"
            )


@dataclass(frozen=True)
class TextConfig(_Sized):
    """The unimodal text decoder: causal, with a learned CLS at its end."""

    context_length: int = 76  # token ids; with the CLS on top CLIP's 77
    vocab_size: int = 49408  # CLIP's
    width: int = 512
    heads: int = 8
    layers: int = 12
    layer_scale: float | None = None
    pad_id: int = 0  # in CLIP's vocabulary also the token "!"


@dataclass(frozen=True)
class RobertaConfig(_Sized):
    """RoBERTa as the unimodal text decoder: made causal, the mean of its states is the text vector."""

    context_length: int = 76
    vocab_size: int = 50265
    width: int = 768  # these are of roberta-base
    heads: int = 12
    layers: int = 12
    mlp_width: int = 3072
    positions: int = 514  # rows of the table; a text's first id takes row pad_id + 1
    norm_epsilon: float = 1e-5
    pad_id: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.norm_epsilon <= 1:
            raise CocaSearchError(f"the config has a norm_epsilon of {shown(self.norm_epsilon)}, not one from 0 to 1")
        longest = self.positions - self.pad_id - 1
        if self.context_length > longest:
            raise CocaSearchError(
                f"a context of {self.context_length} ids does not fit {self.positions} positions, "
                f"of which texts can use {longest}"
            )


@dataclass(frozen=True)
class MultimodalConfig(_Sized):
    """The multimodal decoder, as wide as the text decoder below it.

    `vocab_size` is the number of ids that it can write, the first ones; None for all that the text decoder reads.
    """

    layers: int = 12  # each of self-attention and cross-attention; the paper splits one decoder in two equal halves
    heads: int = 8
    layer_scale: float | None = None
    vocab_size: int | None = None


@dataclass(frozen=True)
class CoCaConfig(_Sized):
    """One CoCa model. `embed_dim` is the size of the shared image-text space."""

    embed_dim: int = 512
    image: VisionTransformerConfig | EfficientNetLiteConfig = field(default_factory=VisionTransformerConfig)
    pooler: PoolerConfig = field(default_factory=PoolerConfig)
    text: TextConfig | RobertaConfig = field(default_factory=TextConfig)
    multimodal: MultimodalConfig = field(default_factory=MultimodalConfig)
    quick_gelu: bool = False  # of OpenAI's own CLIP weights; OpenCLIP's CoCas use the exact function

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.text.pad_id) is not int or not 0 <= self.text.pad_id < self.text.vocab_size:
            raise CocaSearchError(f"the config has a pad_id of {shown(self.text.pad_id)}, which is none of its tokens")
        if self.pooler.kind == "none" and self.image.width != self.text.width:
            raise CocaSearchError(
                f"without a pooler the decoder reads image tokens of width {self.image.width}, "
                f"so the text width must be the same, not {self.text.width}"
            )
        if not 2 <= self.output_vocab_size <= self.text.vocab_size:
            raise CocaSearchError(f"{self.output_vocab_size} words cannot be written: {self.text.vocab_size} are read")
        for part, width, heads in self._attentions():
            if heads < 1 or width % heads:
                raise CocaSearchError(f"a {part} width of {width} is not shared evenly by {heads} heads")

    @property
    def output_vocab_size(self) -> int:
        """Number of ids that captions are made of, V."""
        return self.multimodal.vocab_size or self.text.vocab_size

    def _attentions(self) -> Iterator[tuple[str, int, int]]:
        """Width and heads of each part that attends."""
        if isinstance(self.image, VisionTransformerConfig):
            yield "image encoder", self.image.width, self.image.heads
        if self.pooler.kind != "none":
            yield "pooler", self.text.width, self.pooler.heads  # its output is what the decoder attends to
        if self.pooler.kind in ("parallel", "cascade"):
            yield "contrastive pooler", self.embed_dim, self.pooler.heads  # as wide as the shared space
        yield "text decoder", self.text.width, self.text.heads
        yield "multimodal decoder", self.text.width, self.multimodal.heads

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON types, with the kinds of image encoder and text decoder under `kind`."""
        fields = dataclasses.asdict(self)
        fields["image"] = {"kind": IMAGE_KINDS[type(self.image)], **fields["image"]}
        fields["text"] = {"kind": TEXT_KINDS[type(self.text)], **fields["text"]}
        if self.multimodal.vocab_size is None:  # so that fingerprints stay what they were
            del fields["multimodal"]["vocab_size"]
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "CoCaConfig":
        """The configuration that `to_dict` wrote.

        Raises:
            CocaSearchError: A key, an image encoder kind or a text decoder kind does not exist, or no model has one of
                the values.
        """
        try:
            known = dict(fields)
            # Fields alone do not tell a ViT from a convolutional encoder, so each kind is named.
            for name, noun, kinds in (("image", "image encoder", IMAGE_KINDS), ("text", "text decoder", TEXT_KINDS)):
                if name in known:
                    known[name] = _build_kind(noun, kinds, known[name])
            return build(cls, known)
        except (ValueError, TypeError) as error:
            raise CocaSearchError(f"the model's architecture is none: {error}") from error


# The first of each is meant where a config names none.
IMAGE_KINDS: dict[type, str] = {
    VisionTransformerConfig: "vision_transformer",
    EfficientNetLiteConfig: "efficientnet_lite",
}
TEXT_KINDS: dict[type, str] = {TextConfig: "clip", RobertaConfig: "roberta"}


def _build_kind(noun: str, kinds: Mapping[type, str], fields: Mapping[str, Any]) -> Any:
    classes = {name: config_class for config_class, name in kinds.items()}
    rest = dict(fields)
    kind = rest.pop("kind", next(iter(classes)))
    if not isinstance(kind, str) or kind not in classes:
        raise CocaSearchError(f"unknown {noun} '{shown(kind)}' in the config; known are {', '.join(classes)}")
    return build(classes[kind], rest)


def presets() -> dict[str, CoCaConfig]:
    """The named architectures."""
    return {
        # OpenCLIP's four, as its files of the same names describe them.
        "coca_base": CoCaConfig(
            embed_dim=512,
            image=VisionTransformerConfig(image_size=288, patch_size=18),
            pooler=PoolerConfig(kind="none"),
            text=TextConfig(vocab_size=64000, width=768, heads=12),
            multimodal=MultimodalConfig(heads=12),
        ),
        "coca_ViT-B-32": CoCaConfig(),
        "coca_ViT-L-14": CoCaConfig(
            embed_dim=768,
            image=VisionTransformerConfig(patch_size=14, layers=24, width=1024),
            text=TextConfig(width=768, heads=12),
            multimodal=MultimodalConfig(heads=12),
        ),
        "coca_roberta-ViT-B-32": CoCaConfig(pooler=PoolerConfig(kind="none"), text=RobertaConfig()),
        # The bundled model: a pretrained convolutional encoder, and the paper's parallel poolers.
        "coca-mini": CoCaConfig(
            embed_dim=256,
            image=EfficientNetLiteConfig(image_size=192),
            pooler=PoolerConfig(kind="parallel", queries=32, heads=8),
            text=TextConfig(context_length=40, vocab_size=5000, width=192, heads=6, layers=2),
            multimodal=MultimodalConfig(layers=2, heads=6),
        ),
    }
