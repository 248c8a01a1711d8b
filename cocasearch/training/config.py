"""How a training run is done: every setting that changes its result, its speed or its memory, as frozen data."""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cocasearch.training.config_groups import (
    AdaptersConfig,
    AugmentationConfig,
    ComputationConfig,
    DataConfig,
    DistillationConfig,
    FreezingConfig,
    LossesConfig,
    ModelConfig,
    OptimizationConfig,
    RunConfig,
)
from cocasearch.training.setting_fields import SettingDescription, SettingError

Contradictions = Iterator[tuple[object, str, str]]
"""Whether settings contradict each other, in which sentence, and how to go on."""


@dataclass(frozen=True)
class TrainingConfig:
    """One run. The defaults suit some thousand captioned photos; coca-mini's model card has the recipe of its own.

    Every setting has a name of its own, whatever its group: `TrainingConfig().changed(epochs=4, dropout=0)`.
    """

    data: DataConfig = field(default_factory=DataConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    optimization: OptimizationConfig = field(default_factory=OptimizationConfig)
    freezing: FreezingConfig = field(default_factory=FreezingConfig)
    losses: LossesConfig = field(default_factory=LossesConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    adapters: AdaptersConfig = field(default_factory=AdaptersConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    computation: ComputationConfig = field(default_factory=ComputationConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        contradictions = (self._freezing_contradictions, self._computation_contradictions, self._loss_contradictions)
        for is_so, message, hint in itertools.chain.from_iterable(kind() for kind in contradictions):
            if is_so:
                raise SettingError(message, hint=hint or None)

    def changed(self, **settings: Any) -> "TrainingConfig":
        """The configuration with other values of some settings, by their plain names.

        Raises:
            SettingError: An unknown name, a value out of its range, or settings that contradict each other.
        """
        groups: dict[str, dict[str, Any]] = {}
        for name, value in settings.items():
            groups.setdefault(group_of(name), {})[name] = value
        changes = {group: dataclasses.replace(getattr(self, group), **values) for group, values in groups.items()}
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

    def _freezing_contradictions(self) -> Contradictions:
        freezing, cached = self.freezing, self.data.cache_features
        for tower, is_locked, unlocked in (
            ("image", freezing.lock_image, freezing.unlocked_image_groups),
            ("text", freezing.lock_text, freezing.unlocked_text_groups),
        ):
            yield unlocked and not is_locked, f"unlocked_{tower}_groups={unlocked} needs lock_{tower}=true", ""
        yield (
            cached and not self.data.fixed_views,
            "cache_features=true needs fixed_views: otherwise every view of a picture is a new one, seen once",
            "fixed_views=4, or another number of views of each picture",
        )
        teacher = self.distillation.distill_from
        yield cached and teacher, f"cache_features=true goes without distill_from: {teacher} needs pixels", ""
        yield (
            cached and self.model.force_patch_dropout,
            "cache_features=true goes without force_patch_dropout, by which every step differs",
            "",
        )

    def _computation_contradictions(self) -> Contradictions:
        computation, precision = self.computation, self.computation.precision
        yield (
            computation.micro_batch and computation.accumulation > 1,
            "micro_batch and accumulation both say how a step is divided",
            "give one of them",
        )
        yield (
            precision == "pure_bfloat16" and self.optimization.optimizer != "adamw",
            "precision=pure_bfloat16 needs optimizer=adamw, which keeps what bfloat16 loses",
            "",
        )
        is_sharded = computation.sharding == "full"
        yield (
            is_sharded and precision in ("pure_bfloat16", "float16"),
            f"sharding=full cannot divide weights with precision={precision}",
            "precision=bfloat16 or auto",
        )
        yield (
            is_sharded and self.losses.contrastive_loss == "sigmoid",
            "sharding=full cannot divide the bias of contrastive_loss=sigmoid",
            "sharding=none",
        )
        yield (
            is_sharded and self.losses.self_critical_weight,
            "self_critical_weight draws captions, for which sharding=none is needed",
            "",
        )

    def _loss_contradictions(self) -> Contradictions:
        losses, distillation = self.losses, self.distillation
        finds, writes = losses.objective != "caption", losses.objective != "contrastive"
        waiting = losses.caption_start + losses.caption_ramp
        yield (
            waiting > 1,
            f"caption_start and caption_ramp are {waiting:g} of the run together, which is more than all of it",
            "",
        )
        yield (
            losses.caption_start and not finds,
            "caption_start=0 is needed with objective=caption, which has no contrastive loss",
            "",
        )
        yield (
            losses.sentence_weight
            and not (finds and losses.contrastive_loss == "softmax" and losses.contrastive_weight > 0),
            "sentence_weight changes the targets of contrastive_loss=softmax, which this run does not learn",
            "",
        )
        yield (
            losses.self_critical_weight and not writes,
            "self_critical_weight is of captions, which objective=contrastive does not learn",
            "",
        )
        teaches = (finds and distillation.distill_weight > 0) or (writes and distillation.distill_caption_weight > 0)
        yield (
            distillation.distill_from and not teaches,
            f"with these weights and objective={losses.objective} nothing is learned from {distillation.distill_from}",
            "distill_weight is of its similarities, distill_caption_weight of its next tokens",
        )


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
