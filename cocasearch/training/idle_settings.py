"""Settings that change nothing in a run, because of others or of what the run is given; so that users hear of it.

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
        asked: Names of settings that somebody chose.
        names: The run learns class names.
        labels: It has labelled pictures.
        val: It is measured on data of their own.
    """
    optimization, freezing, losses = config.optimization, config.freezing, config.losses
    augmentation, is_measured = config.augmentation, val or config.data.held_out
    encoder_stays = freezing.locks_image_encoder or config.keeps_image_encoder
    reasons = {  # the first that holds is given
        "without lora_rank (--lora)": (not config.adapters.lora_rank, vars(config.adapters).keys() - {"lora_rank"}),
        "without distill_from (--distill)": (
            not config.distillation.distill_from,
            vars(config.distillation).keys() - {"distill_from"},
        ),
        "without self_critical_weight": (
            not losses.self_critical_weight,
            {"self_critical_samples", "invention_price"},
        ),
        "without sentence_weight": (not losses.sentence_weight, {"sentence_temperature"}),
        "without contrastive_loss=sigmoid": (
            losses.contrastive_loss != "sigmoid",
            {"sigmoid_temperature", "sigmoid_bias"},
        ),
        "without schedule=const-cooldown": (
            optimization.schedule != "const-cooldown",
            {"cooldown", "cooldown_end", "cooldown_power"},
        ),
        "beside warmup_steps": (optimization.warmup_steps > 0, {"warmup"}),
        "without save_epochs": (not config.run.save_epochs, {"saves_kept"}),
        "without cache_features": (not config.data.cache_features, {"feature_folder"}),
        "beside gradient_checkpointing": (config.computation.gradient_checkpointing, {"checkpointed_image_blocks"}),
        "without optimizer=muon": (optimization.optimizer != "muon", {"muon_learning_rate"}),
        "without lock_image or lock_text": (not (freezing.lock_image or freezing.lock_text), {"freeze_layer_norm"}),
        "with objective=caption": (
            losses.objective == "caption",
            {"contrastive_weight", "contrastive_loss", "local_loss", "gather_with_grad"},
        ),
        "with objective=contrastive": (
            losses.objective == "contrastive",
            {"caption_weight", "caption_start", "caption_ramp", "label_smoothing", "label_caption_weight"},
        ),
        "without class names": (not names, {"name_weight", "names_per_step"}),
        "without labelled photos": (not labels, {"labelled_per_step", "label_caption_weight"}),
        "with --val": (val, {"held_out"}),
        "without photos to measure on": (not is_measured, {"validations", "keep_near"}),
        "with lock_image": (freezing.locks_image_encoder, {"encoder_learning_rate", "frozen_epochs"}),
        "while the image encoder is kept as it is": (encoder_stays, {"frozen_blocks", "encoder_learning_rate"}),
        "without erase_probability": (not augmentation.erase_probability, {"erase_count"}),
        "without color or hue": (not (augmentation.color or augmentation.hue), {"color_probability"}),
    }
    sentences = []
    for name in asked:
        reason = next((why for why, (is_so, idle) in reasons.items() if is_so and name in idle), None)
        is_off = name == "encoder_learning_rate" and optimization.encoder_learning_rate == 0
        if reason is not None and not is_off:
            sentences.append(f"{name} has no effect {reason}")
    return sentences
