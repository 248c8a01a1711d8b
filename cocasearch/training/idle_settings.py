"""Settings that change nothing in a run, because of others or of what the run is given; so that users are told.

What contradicts itself is refused by `TrainingConfig`; what is here does no harm, but somebody expects something of it.
"""

from collections.abc import Collection

from cocasearch.training.config import TrainingConfig


def idle_settings(
    config: TrainingConfig, asked: Collection[str], *, names: bool = False, labels: bool = False, val: bool = False
) -> list[str]:
    """A sentence for each asked setting that has no effect, in the order asked.

    Args:
        config: The run's.
        asked: Names of settings that somebody chose; those of the augmentation are `augmentation.NAME`.
        names: The run learns class names.
        labels: It has labelled pictures.
        val: It is measured on data of their own.
    """
    image_is_locked = config.lock_image and config.unlocked_image_groups < 2  # the first group is above the encoder
    encoder_stays = image_is_locked or config.frozen_epochs >= config.epochs
    color = config.augmentation
    reasons = {  # the first that holds is told
        "without lora_rank (--lora)": (not config.lora_rank, _named("lora_", config) - {"lora_rank"}),
        "without distill_from (--distill)": (not config.distill_from, _named("distill_", config) - {"distill_from"}),
        "without self_critical_weight": (
            not config.self_critical_weight,
            {"self_critical_samples", "invention_price"},
        ),
        "without sentence_weight": (not config.sentence_weight, {"sentence_temperature"}),
        "without contrastive_loss=sigmoid": (config.contrastive_loss != "sigmoid", _named("sigmoid_", config)),
        "without schedule=const-cooldown": (config.schedule != "const-cooldown", _named("cooldown", config)),
        "beside warmup_steps": (config.warmup_steps > 0, {"warmup"}),
        "without save_epochs": (not config.save_epochs, {"saves_kept"}),
        "without cache_features": (not config.cache_features, {"feature_folder"}),
        "beside gradient_checkpointing": (config.gradient_checkpointing, {"checkpointed_image_blocks"}),
        "without optimizer=muon": (config.optimizer != "muon", {"muon_learning_rate"}),
        "without lock_image or lock_text": (not (config.lock_image or config.lock_text), {"freeze_layer_norm"}),
        "with objective=caption": (
            config.objective == "caption",
            {"contrastive_weight", "contrastive_loss", "local_loss", "gather_with_grad"},
        ),
        "with objective=contrastive": (
            config.objective == "contrastive",
            {"caption_weight", "caption_start", "caption_ramp", "label_smoothing", "label_caption_weight"},
        ),
        "without class names": (not names, {"name_weight", "names_per_step"}),
        "without labelled photos": (not labels, {"labelled_per_step", "label_caption_weight"}),
        "with --val": (val, {"held_out"}),
        "without photos to measure on": (not (val or config.held_out), {"validations", "keep_near"}),
        "with lock_image": (image_is_locked, {"encoder_learning_rate", "frozen_epochs"}),
        "while the image encoder is kept as it is": (encoder_stays, {"frozen_blocks", "encoder_learning_rate"}),
        "without augmentation.erase_probability": (not color.erase_probability, {"augmentation.erase_count"}),
        "without augmentation.color or hue": (not (color.color or color.hue), {"augmentation.color_probability"}),
    }
    told = []
    for name in asked:
        reason = next((why for why, (is_so, idle) in reasons.items() if is_so and name in idle), None)
        is_off = name == "encoder_learning_rate" and config.encoder_learning_rate == 0
        if reason is not None and not is_off:
            told.append(f"{name} has no effect {reason}")
    return told


def _named(beginning: str, config: TrainingConfig) -> set[str]:
    return {name for name in vars(config) if name.startswith(beginning)}
