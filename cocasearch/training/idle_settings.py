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
    adapters, distillation, losses = config.adapters, config.distillation, config.losses
    rates, freezing, augmentation = config.optimization, config.freezing, config.augmentation
    is_measured = val or config.data.held_out > 0
    encoder_stays = freezing.locks_image_encoder or config.keeps_image_encoder
    of_comparison = {"contrastive_weight", "contrastive_loss", "local_loss", "gather_with_grad"}
    of_captions = {"caption_weight", "caption_start", "caption_ramp", "label_smoothing", "label_caption_weight"}
    of_teacher, of_sigmoid = {"distill_weight", "distill_caption_weight"}, {"sigmoid_temperature", "sigmoid_bias"}
    of_cooldown = {"cooldown", "cooldown_end", "cooldown_power"}
    reasons = {  # the first that holds is given
        "without lora_rank (--lora)": (not adapters.lora_rank, vars(adapters).keys() - {"lora_rank"}),
        "without distill_from (--distill)": (not distillation.distill_from, of_teacher),
        "without self_critical_weight": (not losses.self_critical_weight, {"self_critical_samples", "invention_price"}),
        "without sentence_weight": (not losses.sentence_weight, {"sentence_temperature"}),
        "without contrastive_loss=sigmoid": (losses.contrastive_loss != "sigmoid", of_sigmoid),
        "without schedule=const-cooldown": (rates.schedule != "const-cooldown", of_cooldown),
        "beside warmup_steps": (rates.warmup_steps > 0, {"warmup"}),
        "without save_epochs": (not config.run.save_epochs, {"saves_kept"}),
        "without cache_features": (not config.data.cache_features, {"feature_folder"}),
        "beside gradient_checkpointing": (config.computation.gradient_checkpointing, {"checkpointed_image_blocks"}),
        "without optimizer=muon": (rates.optimizer != "muon", {"muon_learning_rate"}),
        "without lock_image or lock_text": (not (freezing.lock_image or freezing.lock_text), {"freeze_layer_norm"}),
        "with objective=caption": (losses.objective == "caption", of_comparison),
        "with objective=contrastive": (losses.objective == "contrastive", of_captions),
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
        is_off = name == "encoder_learning_rate" and rates.encoder_learning_rate == 0
        if reason is not None and not is_off:
            sentences.append(f"{name} has no effect {reason}")
    return sentences
