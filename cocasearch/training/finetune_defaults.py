"""What `finetune` does where it is not told: chosen from the model, the size of the collection and the machine.

The rates, epochs and what is frozen were found with coca-mini on 500 rendered charts and shapes: an image encoder that
keeps its weights learned them as well, in a quarter of the time, and forgot less of what the model knew.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch

from cocasearch.counting import counted
from cocasearch.inference.device import is_faster_in_bfloat16
from cocasearch.model.config import CoCaConfig, VisionTransformerConfig
from cocasearch.training.config import AugmentationConfig, TrainingConfig
from cocasearch.training.model.adapters import words
from cocasearch.training.step.memory_estimate import MemoryEstimate

# Fewer pictures than that teach an image encoder less than it forgets.
UNFREEZES_FROM = 5_000
_PICTURES_SEEN = 16_000  # by a small collection, all epochs together
_RATE, _RATE_WIDTH = 3e-4, 192  # found at coca-mini's width; wider models bear less
_ENCODER_RATE = 0.1  # of the image encoder, as a share of that of the rest
_ADAPTER_RATE = 10.0  # of an adapter, as a multiple of a weight's


def choose_config(n_images: int, model: CoCaConfig, device: torch.device) -> TrainingConfig:
    """Gentle settings for a collection of this size: low rates, more epochs over fewer pictures."""
    epochs = min(40.0, max(4.0, _PICTURES_SEEN / max(1, n_images)))
    rate = _RATE * min(1.0, _RATE_WIDTH / model.text.width)
    unfreezes = n_images >= UNFREEZES_FROM and device.type != "cpu"
    return TrainingConfig(
        epochs=epochs,
        batch_size=max(2, min(64, n_images // 4)),
        captions_per_image=3,
        optimizer="adamw",
        learning_rate=rate,
        encoder_learning_rate=_ENCODER_RATE * rate if unfreezes else 0.0,
        frozen_epochs=epochs / 2 if unfreezes else epochs,
        frozen_blocks=0,
        ema_decay=0.98,
        # Captions may speak of left and right, of counts and of what is at the edge.
        augmentation=AugmentationConfig(min_area=0.9, flip=False, color=0.1),
        held_out=500,
        validations=4,
    )


def for_adapters(config: TrainingConfig) -> TrainingConfig:
    """The settings where adapters are trained: they start at nothing, and bear ten times the rate of weights."""
    rates = {name: _ADAPTER_RATE * getattr(config, name) for name in ("learning_rate", "encoder_learning_rate")}
    return dataclasses.replace(config, **rates)


def adjusted(
    chosen: TrainingConfig, model: CoCaConfig, adjust: Callable[[TrainingConfig], TrainingConfig]
) -> tuple[TrainingConfig, tuple[str, ...]]:
    """The settings with the user's changes and what follows from those; which of them make the image encoder learn.

    Args:
        chosen: What `choose_config` chose.
        model: The model that is trained.
        adjust: Makes the user's changes.
    """
    config = adjust(chosen)
    if config.lora_rank:
        chosen = for_adapters(chosen)
        config = adjust(chosen)
    asked = settings_of_encoder(config, chosen, model) if config.encoder_learning_rate == 0 else []
    if asked:
        config = adjust(with_trained_encoder(chosen, config.learning_rate))
    return consistent(config), tuple(asked)


def reason_of_rate(config: TrainingConfig, chosen: TrainingConfig) -> str:
    """Why a run has its learning rate, where it is not the user's and not simply that of weights.

    Args:
        config: The run's.
        chosen: What `choose_config` chose.
    """
    if not config.lora_rank or config.learning_rate != for_adapters(chosen).learning_rate:
        return ""
    return (
        f"{_ADAPTER_RATE:g} times that of weights, since adapters start at nothing; "
        "found with coca-mini, --lr changes it"
    )


def settings_of_encoder(config: TrainingConfig, chosen: TrainingConfig, model: CoCaConfig) -> list[str]:
    """The settings by which a user asks for an image encoder that is trained: without a rate they would do nothing.

    Args:
        config: The settings with the user's changes.
        chosen: What `choose_config` chose.
        model: The model that is trained.
    """
    is_locked = config.lock_image and config.unlocked_image_groups < 2  # the first group is above the encoder
    has_adapters = config.lora_rank > 0 and isinstance(model.image, VisionTransformerConfig)
    asks = {
        "frozen_epochs": config.frozen_epochs < config.epochs and config.frozen_epochs != chosen.frozen_epochs,
        "image_layer_decay": config.image_layer_decay != chosen.image_layer_decay,
        "unlocked_image_groups": config.unlocked_image_groups > 1,
        "checkpointed_image_blocks": config.checkpointed_image_blocks > 0,
        "lora_rank": has_adapters and "image" in words(config.lora_towers),
    }
    return [] if is_locked else [name for name, is_so in asks.items() if is_so]


def with_trained_encoder(chosen: TrainingConfig, learning_rate: float) -> TrainingConfig:
    """What was chosen, but with a rate for the image encoder: a tenth of that of the rest."""
    return dataclasses.replace(chosen, encoder_learning_rate=_ENCODER_RATE * learning_rate)


def consistent(config: TrainingConfig) -> TrainingConfig:
    """The settings after the user's changes: an image encoder with a rate is unfrozen a quarter into the run."""
    if config.encoder_learning_rate == 0 and config.frozen_epochs < config.epochs:
        return dataclasses.replace(config, frozen_epochs=config.epochs)
    if config.encoder_learning_rate > 0 and config.frozen_epochs >= config.epochs:
        return dataclasses.replace(config, frozen_epochs=config.epochs / 4)
    return config


def fit_memory(config: TrainingConfig, estimate: MemoryEstimate, available: int | None) -> TrainingConfig:
    """The settings with as many pictures in memory at once as fit; the step's result stays the same."""
    if available is None or config.micro_batch or config.accumulation > 1:
        return config
    images = estimate.images_within(available, config.batch_size)
    return config if images == config.batch_size else dataclasses.replace(config, micro_batch=images)


@dataclass(frozen=True)
class Plan:
    """What a run is going to do, and what it will need."""

    n_images: int
    n_held_out: int
    config: TrainingConfig
    estimate: MemoryEstimate
    available: int | None
    device: torch.device
    reason: str = ""  # of the rate, where it takes more than the model's width to know it
    n_guard_trained_on: int = 0
    encoder_settings: tuple[str, ...] = ()  # which make that the image encoder is trained

    @property
    def images_at_once(self) -> int:
        """Pictures in memory at once."""
        return -(-self.config.batch_size // self.config.parts(self.config.batch_size))

    @property
    def memory(self) -> int:
        """Bytes that the run is expected to need at most."""
        return self.estimate.total(self.images_at_once)

    @property
    def precision(self) -> str:
        """What the run computes in."""
        if self.config.precision != "auto":
            return self.config.precision
        return "bfloat16" if is_faster_in_bfloat16(self.device) else "float32"

    def sentences(self) -> list[str]:
        """The plan in plain words."""
        config = self.config
        unfreeze = config.frozen_epochs < config.epochs
        encoder = (
            f"unfrozen after {config.frozen_epochs:g} epochs at rate {config.encoder_learning_rate:.2g}"
            if unfreeze
            else "kept as it is"
        )
        if unfreeze and self.encoder_settings:
            encoder += f" (for the sake of {', '.join(self.encoder_settings)}; --encoder-lr changes it)"
        parts = config.parts(config.batch_size)
        step = f"{config.batch_size} a step" + (f" in {parts} parts" if parts > 1 else "")
        adapters = f"adapters of rank {config.lora_rank}, " if config.lora_rank else ""
        free = f" of {self.available / 2**30:.1f} GB free" if self.available else ""
        rate = f"{adapters}rate {config.learning_rate:.2g}" + (f" ({self.reason})" if self.reason else "")
        said = [
            f"{self.n_images:,} photos to learn from, {self.n_held_out:,} held out; {config.epochs:g} epochs, {step}",
            f"{rate}; image encoder {encoder}; {self.precision} on {self.device.type}",
            f"memory expected: {self.memory / 2**30:.1f} GB{free}",
        ]
        if self.n_guard_trained_on:
            photos = counted(self.n_guard_trained_on, "photo of the guard is", "photos of the guard are")
            said.append(f"{photos} also learned from, and will not show what is forgotten")
        return said

    def to_dict(self) -> dict[str, object]:
        """The plan as `--json` prints it."""
        return {
            "n_images": self.n_images,
            "n_held_out": self.n_held_out,
            "n_guard_trained_on": self.n_guard_trained_on,
            "config": dataclasses.asdict(self.config),
            "precision": self.precision,
            "memory": self.estimate.to_dict(self.images_at_once),
            "free_memory": self.available,
        }
