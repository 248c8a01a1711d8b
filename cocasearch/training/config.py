"""How a training run is done: every number that changes its result, as frozen data."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from cocasearch.errors import CocaSearchError


@dataclass(frozen=True)
class AugmentationConfig:
    """How a training picture differs from itself each time it is seen.

    OpenCLIP's own, of its trained models: min_area=0.9, undistorted, without flip and color.

    Args:
        min_area: Smallest share of the picture's area that a random crop keeps, 0 to 1.
        max_area: The largest; the share is even between them.
        min_ratio: Smallest width / height of a crop, relative to the picture's own.
        max_ratio: The largest; the logarithm is even between them.
        undistorted: The ratios are those of the crop in pixels, as torchvision's RandomResizedCrop has it: the view
            then bears the picture's proportions but for them, and loses more of a long picture.
        flip: Mirror half of the pictures.
        color: Largest relative change of brightness, contrast and saturation; 0 for none.
        hue: Largest turn of the hues, as a share of the colour circle up to 0.5; 0 for none.
        color_probability: Share of the pictures whose colours and hues change.
        gray_probability: Share of the pictures that lose their colours.
        coarsest: Half of the pictures are first shrunk to a random side, of so many pixels at least; 0 for none. It
            keeps a model from telling two sources apart by their sharpness.
        erase_probability: Share of the pictures in which rectangles are blotted out (arXiv 1708.04896).
        erase_count: How many, which share 2 to 33 % of the area.
    """

    min_area: float = 0.6
    flip: bool = True
    color: float = 0.2
    coarsest: int = 0
    max_area: float = 1.0
    min_ratio: float = 0.75
    max_ratio: float = 4 / 3
    undistorted: bool = False
    hue: float = 0.0
    color_probability: float = 1.0
    gray_probability: float = 0.0
    erase_probability: float = 0.0
    erase_count: int = 1

    def __post_init__(self) -> None:
        _check_between("min_area", self.min_area, 0.01, 1)
        _check_between("max_area", self.max_area, self.min_area, 1)
        _check_between("min_ratio", self.min_ratio, 0.1, 10)
        _check_between("max_ratio", self.max_ratio, self.min_ratio, 10)
        _check_between("color", self.color, 0, 0.9)
        _check_between("hue", self.hue, 0, 0.5)
        for name in ("color_probability", "gray_probability", "erase_probability"):
            _check_between(name, getattr(self, name), 0, 1)
        _check_between("erase_count", self.erase_count, 1, 100)


@dataclass(frozen=True)
class TrainingConfig:
    """One run. The defaults suit some thousand captioned pictures; coca-mini's model card has the recipe of its own.

    An epoch sees every picture of the first source once, with `captions_per_image` of its captions.
    """

    epochs: float = 16.0
    batch_size: int = 128
    captions_per_image: int = 3
    labelled_per_step: int = 64

    optimizer: Literal["adamw", "muon"] = "muon"
    learning_rate: float = 1e-3  # AdamW: everything that is not a matrix of a transformer (all, without Muon)
    muon_learning_rate: float = 4e-3
    encoder_learning_rate: float = 6e-5
    frozen_epochs: float = 9.0  # the image encoder keeps its weights this long; infinity: for good
    frozen_blocks: int = 5  # the weights of its first blocks and stem are kept to the end; adapters are not
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.98
    warmup: float = 0.03  # share of the run
    max_gradient_norm: float = 1.0  # 0: gradients stay as they are
    ema_decay: float = 0.98  # 0: the last weights are the result

    contrastive_weight: float = 1.0
    caption_weight: float = 1.0
    name_weight: float = 0.7  # only with class names
    names_per_step: int = 250
    label_caption_weight: float = 0.0  # captions made of the labels: only with labelled pictures
    label_smoothing: float = 0.0
    dropout: float = 0.1

    # How a step is computed; of these only the objective and the two of the contrastive loss change its result.
    objective: Literal["coca", "contrastive", "caption"] = "coca"  # of the others one half costs nothing
    micro_batch: int = 0  # pictures that a process has in memory at once; 0: all of the step
    accumulation: int = 1  # the same as a number of parts; the contrastive loss sees the whole step either way
    local_loss: bool = False  # a process computes the similarities of its own pictures and texts alone
    sharding: Literal["none", "full"] = "none"  # full: of several processes each keeps a share of the weights (FSDP)
    gather_with_grad: bool = True  # exact over processes; without it gradients are those of OpenCLIP's default

    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    precision: Literal["auto", "float32", "bfloat16", "pure_bfloat16", "float16"] = "auto"
    seed: int = 0
    held_out: int = 500  # pictures of the first source that are set aside for validation
    keep_near: bool = False  # learn also from pictures that are nearly the same as one to validate on
    resampled: bool = False  # each step draws its pictures from all of them, instead of each picture once in an epoch
    validations: int = 12  # how often it is validated
    checkpoint_minutes: float = 5.0
    save_epochs: float = 0.0  # keep the model of every so many epochs, in the run's folder; 0: the best alone
    saves_kept: int = 0  # so many of them at most, the last ones; 0: all

    # The recipe: shares of the run are from 0 to 1.
    schedule: Literal["cosine", "const", "const-cooldown"] = "cosine"  # of the rate, after the warm-up
    warmup_steps: int = 0  # instead of `warmup`, which is a share of the run
    cooldown: float = 0.1  # const-cooldown: the share of the run at its end over which the rate falls
    cooldown_end: float = 0.0  # and to which share of its peak
    cooldown_power: float = 1.0  # 1: along a line; above, faster at first
    adam_epsilon: float = 1e-6
    caption_start: float = 0.0  # share of the run that is contrastive alone
    caption_ramp: float = 0.0  # share after it over which the captioning loss grows to its weight
    lock_image: bool = False  # image encoder, pooling and projection keep their weights to the end
    unlocked_image_groups: int = 0  # but for so many layers at their top
    lock_text: bool = False  # and so the unimodal text decoder
    unlocked_text_groups: int = 0
    freeze_layer_norm: bool = True  # false: the norms of locked layers are trained all the same
    image_layer_decay: float = 1.0  # the rate of each layer as a share of that of the layer above it
    text_layer_decay: float = 1.0
    lora_rank: int = 0  # above 0, adapters of this rank are trained instead of the weights
    lora_alpha: float = 16.0  # adapters count lora_alpha / lora_rank times
    lora_dropout: float = 0.0  # of what adapters read
    lora_layers: Literal["attention", "mlp", "all"] = "all"  # which linear layers get one
    lora_towers: str = "image,text,caption"  # in which towers; not in one that is locked
    lora_extras: str = "logit_scale"  # parameters or parts that are trained beside adapters, by name
    contrastive_loss: Literal["softmax", "sigmoid"] = "softmax"
    sigmoid_temperature: float = 10.0  # the sigmoid loss starts with these, which it then learns
    sigmoid_bias: float = -10.0
    distill_from: str = ""  # a model's name or folder, whose judgement is learned as well
    distill_weight: float = 1.0  # of its similarities of pictures and texts
    distill_caption_weight: float = 1.0  # of its distribution of the next token; needs the same tokenizer
    self_critical_weight: float = (
        0.0  # of captions that the model draws, judged by people's: above 0, after some epochs
    )
    self_critical_samples: int = 5  # how many captions of each picture it draws in a step
    invention_price: float = 0.0  # what an object that nobody named costs a drawn caption, beside its CIDEr-D
    sentence_weight: float = 0.0  # share of the contrastive targets that goes by what captions mean (all-MiniLM-L6-v2)
    sentence_temperature: float = 0.1  # the lower, the more of that share goes to the captions nearest in meaning
    force_image_size: int = 0  # another picture size than the model's, its positions resized
    force_context_length: int = 0  # the same of texts, in token ids
    force_quick_gelu: bool = False
    force_image_mean: str = ""  # of the channels, such as 0.5,0.5,0.5; empty: the model's
    force_image_std: str = ""
    force_resize_mode: Literal["", "shortest", "longest", "squash"] = ""
    force_interpolation: Literal["", "bicubic", "bilinear"] = ""
    force_patch_dropout: float = 0.0  # share of the patches of a vision transformer that each step leaves out
    fixed_views: int = 0  # number of random views of each picture that the run sees; 0: a new one each time
    cache_features: bool = False  # compute what the frozen part of the image encoder makes of these views only once
    feature_folder: str = ""  # keep that here for other runs; empty: in the run's folder, until its end
    workers: int = 0  # threads of each process that decode pictures; 0: as many as it has cores, from 2 to 16
    gradient_checkpointing: bool = False  # less memory for more time: all blocks are computed again on the way back
    checkpointed_image_blocks: int = 0  # without it: so many of the image encoder's first blocks alone
    compile: bool = False  # with torch's compiler, where there is one

    def __post_init__(self) -> None:
        for name in _ABOVE_ZERO + _NOT_NEGATIVE:
            value, lowest = getattr(self, name), "above 0" if name in _ABOVE_ZERO else "0 or above"
            if not (value > 0 or (value == 0 and lowest == "0 or above")):  # nor is what is no number
                raise CocaSearchError(f"{name} must be {lowest}, not {value}")
            if not math.isfinite(value) and name not in _MAY_BE_INFINITE:
                raise CocaSearchError(f"{name} must be a finite number, not {value}")
        for name in _SHARES:
            _check_between(name, getattr(self, name), 0, 1)
        _check_between("fixed_views", self.fixed_views, 0, 1000)
        for name in _BELOW_ONE:
            _check_between(name, getattr(self, name), 0, 0.99999)
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                raise CocaSearchError(f"{name} must be {_either(get_args(kind))}, not '{getattr(self, name)}'")
        self._check_combinations()

    def identity(self) -> dict[str, Any]:
        """All settings that change what comes of a run; a run may go on with others of the rest."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in _WITHOUT_EFFECT}

    def parts(self, n_images: int) -> int:
        """Into how many micro-batches a process divides so many pictures of a step."""
        wanted = math.ceil(n_images / self.micro_batch) if self.micro_batch else self.accumulation
        return max(1, min(wanted, n_images))

    def _check_combinations(self) -> None:
        for tower in ("image", "text"):
            unlocked = getattr(self, f"unlocked_{tower}_groups")
            if unlocked and not getattr(self, f"lock_{tower}"):
                raise CocaSearchError(f"unlocked_{tower}_groups={unlocked} needs lock_{tower}=true")
        if self.micro_batch < 0 or self.accumulation < 1:
            raise CocaSearchError("micro_batch must not be below 0, nor accumulation below 1")
        if self.micro_batch and self.accumulation > 1:
            raise CocaSearchError(
                "micro_batch and accumulation both say how a step is divided", hint="give one of them"
            )
        if self.precision == "pure_bfloat16" and self.optimizer != "adamw":
            raise CocaSearchError("precision=pure_bfloat16 needs optimizer=adamw, which keeps what bfloat16 loses")
        if self.caption_start + self.caption_ramp > 1:
            raise CocaSearchError(
                f"caption_start and caption_ramp are {self.caption_start + self.caption_ramp:g} of the run together, "
                "which is more than all of it"
            )
        if self.cache_features and not self.fixed_views:
            raise CocaSearchError(
                "cache_features=true needs fixed_views: otherwise every view of a picture is a new one, seen once",
                hint="fixed_views=4, or another number of views of each picture",
            )
        if self.cache_features and self.distill_from:
            raise CocaSearchError(f"cache_features=true goes without distill_from: {self.distill_from} needs pixels")
        if self.cache_features and self.force_patch_dropout:
            raise CocaSearchError("cache_features=true goes without force_patch_dropout, by which every step differs")
        self._check_sharding()
        self._check_losses()

    def _check_sharding(self) -> None:
        if self.sharding == "full" and self.precision in ("pure_bfloat16", "float16"):
            raise CocaSearchError(
                f"sharding=full cannot divide weights with precision={self.precision}",
                hint="precision=bfloat16 or auto",
            )
        if self.sharding == "full" and self.contrastive_loss == "sigmoid":
            raise CocaSearchError(
                "sharding=full cannot divide the bias of contrastive_loss=sigmoid", hint="sharding=none"
            )

    def _check_losses(self) -> None:
        if self.objective == "caption" and self.caption_start:
            raise CocaSearchError("caption_start=0 is needed with objective=caption, which has no contrastive loss")
        compares = self.objective != "caption" and self.contrastive_loss == "softmax" and self.contrastive_weight > 0
        if self.sentence_weight and not compares:
            raise CocaSearchError(
                "sentence_weight changes the targets of contrastive_loss=softmax, which this run does not learn"
            )
        similarities = self.objective != "caption" and self.distill_weight > 0
        if self.self_critical_weight and self.objective == "contrastive":
            raise CocaSearchError("self_critical_weight is of captions, which objective=contrastive does not learn")
        if self.self_critical_weight and self.sharding == "full":
            raise CocaSearchError("self_critical_weight draws captions, for which sharding=none is needed")
        if self.self_critical_samples < 2:
            raise CocaSearchError(
                f"self_critical_samples must be 2 or more, to be compared, not {self.self_critical_samples}"
            )
        next_tokens = self.objective != "contrastive" and self.distill_caption_weight > 0
        if self.distill_from and not (similarities or next_tokens):
            raise CocaSearchError(
                f"with these weights and objective={self.objective} nothing is learned from {self.distill_from}",
                hint="distill_weight is of its similarities, distill_caption_weight of its next tokens",
            )


# Settings that change how fast, and in how much memory, a run is computed or saved, and not what comes of it.
_WITHOUT_EFFECT = (
    "checkpoint_minutes",
    "feature_folder",
    "workers",
    "save_epochs",
    "saves_kept",
    "micro_batch",
    "accumulation",
    "sharding",
    "gradient_checkpointing",
    "checkpointed_image_blocks",
    "compile",
)
_LAYER_DECAYS = ("image_layer_decay", "text_layer_decay")
_ABOVE_ZERO = (
    "epochs",
    "batch_size",
    "captions_per_image",
    "learning_rate",
    "names_per_step",
    "adam_epsilon",
    "cooldown_power",
    *_LAYER_DECAYS,
    "lora_alpha",
    "sigmoid_temperature",
    "sentence_temperature",
)
_MAY_BE_INFINITE = {"frozen_epochs", "checkpoint_minutes", "max_gradient_norm"}
_NOT_NEGATIVE = (
    "seed",
    "workers",
    "checkpointed_image_blocks",
    "warmup_steps",
    "max_gradient_norm",
    "muon_learning_rate",
    "encoder_learning_rate",
    "frozen_epochs",
    "frozen_blocks",
    "contrastive_weight",
    "caption_weight",
    "name_weight",
    "label_caption_weight",
    "self_critical_weight",
    "invention_price",
    "labelled_per_step",
    "held_out",
    "validations",
    "checkpoint_minutes",
    "save_epochs",
    "saves_kept",
    "weight_decay",
    "unlocked_image_groups",
    "unlocked_text_groups",
    "lora_rank",
    "distill_weight",
    "distill_caption_weight",
    "force_image_size",
    "force_context_length",
)
_DROPOUTS = ("dropout", "lora_dropout", "force_patch_dropout")
_BELOW_ONE = ("ema_decay", "label_smoothing", "warmup", "beta1", "beta2", *_DROPOUTS)
_SHARES = ("cooldown", "cooldown_end", "caption_start", "caption_ramp", "sentence_weight", *_LAYER_DECAYS)


def _either(words: Sequence[str]) -> str:
    named = [word or "empty" for word in words]
    return ", ".join(named[:-1]) + f" or {named[-1]}"


def _check_between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise CocaSearchError(f"{name} must be from {low} to {high}, not {value}")
