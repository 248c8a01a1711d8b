"""Reading of OpenCLIP's model configs, by name or from a file in its JSON layout.

The parts `embed_dim`, `vision_cfg`, `text_cfg` and `multimodal_cfg`, bare or as in `open_clip_config.json`, become an
architecture and its preprocessing. A setting that would change a number and is not built here is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cocasearch.checkpoints.foreign.roberta_weights import read_described, read_roberta_config
from cocasearch.errors import CocaSearchError
from cocasearch.images.transforms import PreprocessConfig
from cocasearch.json_values import shown
from cocasearch.model.config import (
    CoCaConfig,
    MultimodalConfig,
    PoolerConfig,
    RobertaConfig,
    TextConfig,
    VisionTransformerConfig,
    presets,
)
from cocasearch.paths import expand_home

# What each part may say without our asking: settings that change no number, or that OpenCLIP's CoCa never reads.
_SILENT = {
    "vision_cfg": {"output_tokens", "patch_dropout"},
    "text_cfg": {"output_tokens", "pool_type", "eos_id", "pad_id", "no_causal_mask"},
    "multimodal_cfg": {
        *("context_length", "vocab_size", "mlp_ratio", "dim_head"),
        *("n_queries", "attn_pooler_heads", "latent_dim"),
    },
}
_NO_CONFIG = "this is not the config of a CoCa in OpenCLIP's layout"
NO_ROBERTA = "this architecture has no RoBERTa, so no text config belongs to it"
_LENGTH = 76  # of the text, for which OpenCLIP's own default of 77 was never meant


@dataclass(frozen=True)
class Architecture:
    """A named architecture with its preprocessing."""

    name: str
    config: CoCaConfig
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)


def read_architecture(name_or_file: str, text_config: Path | None = None) -> Architecture:
    """An architecture of OpenCLIP's, by its name or from a file in its JSON layout.

    Args:
        name_or_file: The name, or the path of a .json file.
        text_config: The `config.json` of the text half, if that is a RoBERTa of Hugging Face's.

    Raises:
        CocaSearchError: There is no such name or file, or it describes what cannot be built here.
    """
    roberta = read_text_config(text_config) if text_config else None
    known = {name: config for name, config in presets().items() if isinstance(config.image, VisionTransformerConfig)}
    if name_or_file in known:
        config = _with_text(known[name_or_file], roberta)
        return Architecture(name_or_file, config, PreprocessConfig(image_size=config.image.image_size))
    file = expand_home(Path(name_or_file))
    if file.suffix != ".json":
        raise CocaSearchError(
            f"unknown architecture '{name_or_file}'; there are {', '.join(known)}",
            hint="or a file in OpenCLIP's layout: --arch open_clip_config.json",
        )
    described = read_described(file, "architecture")
    try:
        return from_openclip_config(file.stem, described, roberta)
    except CocaSearchError as error:
        raise CocaSearchError(f"{file}: {error}", hint=error.hint) from error


def read_text_config(file: Path) -> RobertaConfig:
    """The text half in a `config.json` of Hugging Face's.

    Raises:
        CocaSearchError: It cannot be read, or is not that of a RoBERTa.
    """
    described = read_described(file, "text config")
    try:
        return read_roberta_config(described)
    except CocaSearchError as error:
        raise CocaSearchError(f"{file}: {error}") from error


def _with_text(config: CoCaConfig, roberta: RobertaConfig | None) -> CoCaConfig:
    if roberta is None:
        return config
    if not isinstance(config.text, RobertaConfig):
        raise CocaSearchError(NO_ROBERTA)
    return replace(config, text=roberta)


def from_openclip_config(name: str, described: Mapping[str, Any], roberta: RobertaConfig | None = None) -> Architecture:
    """The architecture in the JSON of `open_clip_config.json`, or in its `model_cfg` alone.

    `roberta` is the text half, if `text_cfg` names one of Hugging Face's.

    Raises:
        CocaSearchError: A part is missing, or says what is not built here.
    """
    described = described if isinstance(described, Mapping) else {}
    model = _part(described, "model_cfg") if "model_cfg" in described else described
    if "embed_dim" not in model:
        raise CocaSearchError(f"{_NO_CONFIG}: it has no embed_dim")
    embed_dim = _size("the config", "embed_dim", model["embed_dim"])
    vision, text, multimodal = (_Settings(part, _part(model, part)) for part in _SILENT)
    hugging_face = text.take("hf_model_name", None)
    text_config = _roberta(text, hugging_face, roberta) if hugging_face else _text(text)
    config = CoCaConfig(
        embed_dim=embed_dim,
        pooler=_pooler(vision),
        image=_vision(vision),
        text=text_config,
        multimodal=_multimodal(multimodal, text_config.width),
        quick_gelu=bool(model.get("quick_gelu", False)),
    )
    if roberta and not hugging_face:
        raise CocaSearchError(NO_ROBERTA)
    for settings in (vision, text, multimodal):
        settings.refuse_unread()
    preprocess = _part(described, "preprocess_cfg") if "preprocess_cfg" in described else {}
    return Architecture(name, config, _preprocess(preprocess, config.image.image_size))


def _part(described: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if not isinstance(part := described.get(name), Mapping):
        raise CocaSearchError(f"{_NO_CONFIG}: it has no {name}")
    return part


def _size(part: str, key: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise CocaSearchError(f"{part} has {shown(key)} {shown(value)}, which is no whole number above 0")
    return value


class _Settings:
    """A part of a config, every setting of which must be read."""

    def __init__(self, part: str, values: Mapping[str, Any]) -> None:
        self._part = part
        self._left = {key: value for key, value in values.items() if key not in _SILENT[part] and value is not None}

    def take(self, key: str, default: Any) -> Any:
        return self._left.pop(key, default)

    def sizes(self, **defaults: int) -> dict[str, int]:
        """Whole numbers above 0 by their keys, with OpenCLIP's defaults for those that are not given."""
        return {key: _size(self._part, key, self.take(key, default)) for key, default in defaults.items()}

    def layer_scale(self) -> float | None:
        """The initial LayerScale; None if there is no LayerScale."""
        return self.take("ls_init_value", None)

    def expect(self, key: str, only: Any, default: Any) -> None:
        """Refuse any value but `only`."""
        if (value := self.take(key, default)) != only:
            raise CocaSearchError(f"{self._part} has {shown(key)} {shown(value)}; only {only} is built here")

    def refuse_unread(self) -> None:
        for key, value in self._left.items():
            if value:
                raise CocaSearchError(f"{self._part} has {shown(key)} {shown(value)}, which is not built here")


def _vision(settings: _Settings) -> VisionTransformerConfig:
    settings.expect("mlp_ratio", 4.0, 4.0)
    sizes = settings.sizes(image_size=224, patch_size=16, layers=12, width=768, head_width=64)
    return VisionTransformerConfig(**sizes, layer_scale=settings.layer_scale())


def _pooler(settings: _Settings) -> PoolerConfig:
    kind = settings.take("attentional_pool", False)
    if not isinstance(kind, bool):
        raise CocaSearchError(
            f"vision_cfg has attentional_pool '{shown(kind)}', with which OpenCLIP's own CoCa does not run"
        )
    sizes = settings.sizes(attn_pooler_queries=256, attn_pooler_heads=8)
    return PoolerConfig("single" if kind else "none", sizes["attn_pooler_queries"], sizes["attn_pooler_heads"])


def _roberta(settings: _Settings, name: str, roberta: RobertaConfig | None) -> RobertaConfig:
    if roberta is None:
        raise CocaSearchError(
            f"text_cfg has {name} as the text half, whose own config is needed too",
            hint="--text-config and --tokenizer with the config.json and tokenizer.json of it",
        )
    settings.expect("hf_proj_type", "linear", "mlp")
    settings.expect("hf_pooler_type", "mean_pooler", "mean_pooler")
    settings.expect("width", roberta.width, roberta.width)
    for key in ("hf_tokenizer_name", "hf_model_pretrained", "vocab_size"):
        settings.take(key, None)
    return replace(roberta, **settings.sizes(context_length=_LENGTH))


def _text(settings: _Settings) -> TextConfig:
    settings.expect("mlp_ratio", 4.0, 4.0)
    settings.expect("embed_cls", True, False)
    sizes = settings.sizes(context_length=_LENGTH, vocab_size=49408, width=512, heads=8, layers=12)
    return TextConfig(**sizes, layer_scale=settings.layer_scale())


def _multimodal(settings: _Settings, text_width: int) -> MultimodalConfig:
    settings.expect("width", text_width, 512)
    return MultimodalConfig(**settings.sizes(layers=12, heads=8), layer_scale=settings.layer_scale())


def _preprocess(described: Mapping[str, Any], image_size: int) -> PreprocessConfig:
    known = ("mean", "std", "interpolation", "resize_mode", "fill_color")
    return PreprocessConfig.from_dict(
        {"image_size": image_size, **{key: described[key] for key in known if described.get(key) is not None}}
    )
