"""How a training run is done: every setting that changes its result, its speed or its memory, as frozen data."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cocasearch.training import config_groups as groups
from cocasearch.training.setting_fields import SettingDescription, SettingError


@dataclass(frozen=True)
class TrainingConfig:
    """One run. The defaults suit some thousand captioned photos; coca-mini's model card has the recipe of its own.

    Every setting has a name of its own, whatever its group: `TrainingConfig().changed(epochs=4, dropout=0)`.
    """

    data: groups.DataConfig = field(default_factory=groups.DataConfig)
    augmentation: groups.AugmentationConfig = field(default_factory=groups.AugmentationConfig)
    optimization: groups.OptimizationConfig = field(default_factory=groups.OptimizationConfig)
    freezing: groups.FreezingConfig = field(default_factory=groups.FreezingConfig)
    losses: groups.LossesConfig = field(default_factory=groups.LossesConfig)
    distillation: groups.DistillationConfig = field(default_factory=groups.DistillationConfig)
    adapters: groups.AdaptersConfig = field(default_factory=groups.AdaptersConfig)
    model: groups.ModelConfig = field(default_factory=groups.ModelConfig)
    computation: groups.ComputationConfig = field(default_factory=groups.ComputationConfig)
    run: groups.RunConfig = field(default_factory=groups.RunConfig)

    def __post_init__(self) -> None:
        self._check_data()
        self._check_computation()
        self._check_losses()

    def changed(self, **settings: Any) -> "TrainingConfig":
        """The configuration with other values of some settings, by their plain names.

        Raises:
            SettingError: An unknown name, a value out of its range, or settings that contradict each other.
        """
        chosen: dict[str, dict[str, Any]] = {}
        for name, value in settings.items():
            chosen.setdefault(group_of(name), {})[name] = value
        changes = {group: dataclasses.replace(getattr(self, group), **values) for group, values in chosen.items()}
        return dataclasses.replace(self, **changes)

    def values(self) -> dict[str, Any]:
        """Every setting's value by its plain name."""
        return {name: getattr(getattr(self, group), name) for name, group in _GROUP_OF.items()}

    def identity(self) -> dict[str, Any]:
        """All settings that change what comes of a run; a run may go on with others of the rest."""
        return {name: value for name, value in self.values().items() if name not in _WITHOUT_EFFECT}

    def parts(self, n_images: int) -> int:
        """Into how many micro-batches a process divides so many pictures of a step."""
        size, count = self.computation.micro_batch, self.computation.accumulation
        return max(1, min(math.ceil(n_images / size) if size else count, n_images))

    @property
    def keeps_image_encoder(self) -> bool:
        """Whether the image encoder keeps its weights to the end of the run."""
        return self.freezing.frozen_epochs >= self.data.epochs

    def _check_data(self) -> None:
        freezing, is_cached, teacher = self.freezing, self.data.cache_features, self.distillation.distill_from
        for tower, is_locked, unlocked in (
            ("image", freezing.lock_image, freezing.unlocked_image_groups),
            ("text", freezing.lock_text, freezing.unlocked_text_groups),
        ):
            refuse(unlocked and not is_locked, f"unlocked_{tower}_groups={unlocked} needs lock_{tower}=true")
        refuse(
            is_cached and not self.data.fixed_views,
            "cache_features=true needs fixed_views: otherwise every view of a photo is a new one, seen once",
            "fixed_views=4, or another number of views of each photo",
        )
        refuse(is_cached and teacher, f"cache_features=true goes without distill_from: {teacher} needs pixels")
        is_dropped = self.model.force_patch_dropout > 0
        what = "cache_features=true goes without force_patch_dropout, by which every step differs"
        refuse(is_cached and is_dropped, what)

    def _check_computation(self) -> None:
        computation, precision, losses = self.computation, self.computation.precision, self.losses
        is_divided_twice = computation.micro_batch and computation.accumulation > 1
        refuse(is_divided_twice, "micro_batch and accumulation both say how a step is divided", "give one of them")
        refuse(
            precision == "pure_bfloat16" and self.optimization.optimizer != "adamw",
            "precision=pure_bfloat16 needs optimizer=adamw, which keeps what bfloat16 loses",
        )
        if computation.sharding == "full":
            is_narrow = precision in ("pure_bfloat16", "float16")
            what = f"sharding=full cannot divide weights with precision={precision}"
            refuse(is_narrow, what, "precision=bfloat16 or auto")
            what = "sharding=full cannot divide the bias of contrastive_loss=sigmoid"
            refuse(losses.contrastive_loss == "sigmoid", what, "sharding=none")
            what = "self_critical_weight draws captions, for which sharding=none is needed"
            refuse(losses.self_critical_weight, what)

    def _check_losses(self) -> None:
        losses, distillation = self.losses, self.distillation
        finds, writes = losses.objective != "caption", losses.objective != "contrastive"
        waiting = losses.caption_start + losses.caption_ramp
        what = f"caption_start and caption_ramp are {waiting:g} of the run together, which is more than all of it"
        refuse(waiting > 1, what)
        what = "caption_start=0 is needed with objective=caption, which has no contrastive loss"
        refuse(losses.caption_start and not finds, what)
        compares = finds and losses.contrastive_loss == "softmax" and losses.contrastive_weight > 0
        what = "sentence_weight changes the targets of contrastive_loss=softmax, which this run does not learn"
        refuse(losses.sentence_weight and not compares, what)
        what = "self_critical_weight is of captions, which objective=contrastive does not learn"
        refuse(losses.self_critical_weight and not writes, what)
        teaches = (finds and distillation.distill_weight > 0) or (writes and distillation.distill_caption_weight > 0)
        refuse(
            distillation.distill_from and not teaches,
            f"with these weights and objective={losses.objective} nothing is learned from {distillation.distill_from}",
            "distill_weight is of its similarities, distill_caption_weight of its next tokens",
        )


def refuse(condition: object, sentence: str, hint: str | None = None) -> None:
    """Refuse settings that contradict each other.

    Raises:
        SettingError: The condition holds.
    """
    if condition:
        raise SettingError(sentence, hint=hint)


_GROUPS = {group.name: getattr(TrainingConfig(), group.name) for group in dataclasses.fields(TrainingConfig)}
_GROUP_OF = {item.name: name for name, group in _GROUPS.items() for item in dataclasses.fields(group)}
_WITHOUT_EFFECT = {
    item.name for group in _GROUPS.values() for item in dataclasses.fields(group) if not item.metadata["changes_result"]
}


def group_of(name: str) -> str:
    """The group of a setting.

    Raises:
        SettingError: There is no setting of that name.
    """
    if name not in _GROUP_OF:
        raise SettingError(f"there is no setting '{name}'")
    return _GROUP_OF[name]


class GroupDescription(NamedTuple):
    """A group of settings in words."""

    name: str
    meaning: str
    settings: list[SettingDescription]


def describe_settings() -> list[GroupDescription]:
    """Every setting with default, range and meaning, in groups: what all lists of settings are made from."""
    return [
        GroupDescription(name, (type(group).__doc__ or "").partition("\n")[0], group.describe())
        for name, group in _GROUPS.items()
    ]
