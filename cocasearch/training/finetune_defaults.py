"""What `finetune` chooses by itself, from the model, the size of the collection and the machine.

The rates, epochs and what is frozen were found with coca-mini on 500 rendered charts and shapes: an image encoder that
keeps its weights learned them as well, in a quarter of the time, and forgot less of what the model knew.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from cocasearch.counting import pluralize
from cocasearch.model.config import CoCaConfig, VisionTransformerConfig, presets
from cocasearch.training.config import TrainingConfig
from cocasearch.training.model.adapters import words
from cocasearch.training.model.precision import resolved_precision
from cocasearch.training.setting_fields import as_written
from cocasearch.training.step.memory_estimate import MemoryEstimate

# Fewer pictures than that teach an image encoder less than it forgets.
UNFREEZES_FROM = 5_000
_PICTURES_SEEN = 16_000  # by a small collection, all epochs together
_EPOCHS, _BATCH_SIZES = (4.0, 40.0), (2, 64)  # from, to
_RATE, _RATE_WIDTH = 3e-4, 192  # found at coca-mini's width; wider models bear less
_ENCODER_RATE = 0.1  # of the image encoder, as a share of that of the rest
_ADAPTER_RATE = 10.0  # of an adapter, as a multiple of a weight's


def choose_config(n_images: int, model: CoCaConfig, device: torch.device) -> TrainingConfig:
    """Gentle settings for a collection of this size: low rates, more epochs over fewer pictures."""
    fewest, most = _EPOCHS
    epochs = min(most, max(fewest, _PICTURES_SEEN / max(1, n_images)))
    rate = _RATE * min(1.0, _RATE_WIDTH / model.text.width)
    unfreezes = n_images >= UNFREEZES_FROM and device.type != "cpu"
    return TrainingConfig().changed(
        epochs=epochs,
        batch_size=max(_BATCH_SIZES[0], min(_BATCH_SIZES[1], n_images // 4)),
        optimizer="adamw",
        learning_rate=rate,
        encoder_learning_rate=_ENCODER_RATE * rate if unfreezes else 0.0,
        frozen_epochs=epochs / 2 if unfreezes else epochs,
        frozen_blocks=0,
        # Captions may speak of left and right, of counts and of what is at the edge.
        min_area=0.9,
        flip=False,
        color=0.1,
        validations=4,
    )


def own_defaults() -> dict[str, str]:
    """What `finetune` takes in the place of a default of `train`, in words, by the setting's name."""
    on_gpu = f"on a GPU with {UNFREEZES_FROM:,} photos or more"
    of_collection = {
        "epochs": f"{_PICTURES_SEEN:,} divided by the number of photos, from {_EPOCHS[0]:g} to {_EPOCHS[1]:g}",
        "batch_size": f"a quarter of the photos, from {_BATCH_SIZES[0]} to {_BATCH_SIZES[1]}",
        "learning_rate": f"{_RATE}, less if wider than {_RATE_WIDTH}; for adapters {_ADAPTER_RATE:g} times that",
        "encoder_learning_rate": f"{_ENCODER_RATE} of learning_rate {on_gpu}, else 0",
        "frozen_epochs": f"half of the epochs {on_gpu}, else all",
        "micro_batch": "as many as fit in memory",
    }
    values = TrainingConfig().values()
    chosen = choose_config(100, presets()["coca-mini"], torch.device("cpu")).values()
    fixed = {name: as_written(value) for name, value in chosen.items() if value != values[name]}
    return {**fixed, **of_collection}


def for_adapters(config: TrainingConfig) -> TrainingConfig:
    """The settings where adapters are trained: they start at nothing, and bear ten times the rate of weights."""
    rates = config.optimization
    return config.changed(
        learning_rate=_ADAPTER_RATE * rates.learning_rate,
        encoder_learning_rate=_ADAPTER_RATE * rates.encoder_learning_rate,
    )


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
    if config.adapters.lora_rank:
        chosen = for_adapters(chosen)
        config = adjust(chosen)
    asked = settings_of_encoder(config, chosen, model) if config.optimization.encoder_learning_rate == 0 else []
    if asked:
        config = adjust(chosen.changed(encoder_learning_rate=_ENCODER_RATE * config.optimization.learning_rate))
    return consistent(config), tuple(asked)


def reason_of_rate(config: TrainingConfig, chosen: TrainingConfig) -> str:
    """Why a run has its learning rate, where it is not the user's and not simply that of weights.

    Args:
        config: The run's.
        chosen: What `choose_config` chose.
    """
    rates = for_adapters(chosen).optimization
    if not config.adapters.lora_rank or config.optimization.learning_rate != rates.learning_rate:
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
    freezing, has_adapters = config.freezing, config.adapters.lora_rank > 0
    unfreezes = freezing.frozen_epochs != chosen.freezing.frozen_epochs and not config.keeps_image_encoder
    reads_patches = isinstance(model.image, VisionTransformerConfig)
    asks = {
        "frozen_epochs": unfreezes,
        "image_layer_decay": config.optimization.image_layer_decay != chosen.optimization.image_layer_decay,
        "unlocked_image_groups": freezing.unlocked_image_groups > 1,
        "checkpointed_image_blocks": config.computation.checkpointed_image_blocks > 0,
        "lora_rank": has_adapters and reads_patches and "image" in words(config.adapters.lora_towers),
    }
    return [] if freezing.locks_image_encoder else [name for name, is_asked in asks.items() if is_asked]


def consistent(config: TrainingConfig) -> TrainingConfig:
    """The settings after the user's changes: an image encoder with a rate is unfrozen a quarter into the run."""
    has_rate, epochs = config.optimization.encoder_learning_rate > 0, config.data.epochs
    if has_rate != config.keeps_image_encoder:
        return config
    return config.changed(frozen_epochs=epochs / 4 if has_rate else epochs)


def fit_memory(config: TrainingConfig, estimate: MemoryEstimate, available: int | None) -> TrainingConfig:
    """The settings with as many pictures in memory at once as fit; the step's result stays the same."""
    if available is None or config.computation.micro_batch or config.computation.accumulation > 1:
        return config
    images = estimate.images_within(available, config.data.batch_size)
    return config if images == config.data.batch_size else config.changed(micro_batch=images)


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
        return -(-self.config.data.batch_size // self.config.parts(self.config.data.batch_size))

    @property
    def memory(self) -> int:
        """Bytes that the run is expected to need at most."""
        return self.estimate.total(self.images_at_once)

    def sentences(self) -> list[str]:
        """The plan in plain words."""
        config, data, rates = self.config, self.config.data, self.config.optimization
        encoder = "kept as it is"
        if not config.keeps_image_encoder:
            encoder = (
                f"unfrozen after {config.freezing.frozen_epochs:g} epochs at rate {rates.encoder_learning_rate:.2g}"
            )
            if self.encoder_settings:
                encoder += f" (for the sake of {', '.join(self.encoder_settings)}; --encoder-lr changes it)"
        parts = config.parts(data.batch_size)
        step = f"{data.batch_size} a step" + (f" in {parts} parts" if parts > 1 else "")
        adapters = f"adapters of rank {config.adapters.lora_rank}, " if config.adapters.lora_rank else ""
        rate = f"{adapters}rate {rates.learning_rate:.2g}" + (f" ({self.reason})" if self.reason else "")
        precision = resolved_precision(config, self.device)
        free = f" of {self.available / 2**30:.1f} GB free" if self.available else ""
        sentences = [
            f"{self.n_images:,} photos to learn from, {self.n_held_out:,} held out; {data.epochs:g} epochs, {step}",
            f"{rate}; image encoder {encoder}; {precision} on {self.device.type}",
            f"memory expected: {self.memory / 2**30:.1f} GB{free}",
        ]
        if self.n_guard_trained_on:
            photos = pluralize(self.n_guard_trained_on, "photo of the guard is", "photos of the guard are")
            sentences.append(f"{photos} also learned from, and will not show what is forgotten")
        return sentences

    def to_dict(self) -> dict[str, object]:
        """The plan as `--json` prints it."""
        return {
            "n_images": self.n_images,
            "n_held_out": self.n_held_out,
            "n_guard_trained_on": self.n_guard_trained_on,
            "config": self.config.values(),
            "precision": resolved_precision(self.config, self.device),
            "memory": self.estimate.to_dict(self.images_at_once),
            "free_memory": self.available,
        }
