"""All settings of a training run in groups, each with its default, its range and what it means."""

from dataclasses import dataclass
from typing import Literal

from cocasearch.training.setting_fields import (
    ABOVE_0,
    ABOVE_0_TO_1,
    BELOW_1,
    MIN_0,
    MIN_0_OR_INF,
    TO_1,
    Range,
    SettingGroup,
    cost_setting,
    setting,
)

ObjectiveName = Literal["coca", "contrastive", "caption"]
PrecisionName = Literal["auto", "float32", "bfloat16", "pure_bfloat16", "float16"]


@dataclass(frozen=True)
class DataConfig(SettingGroup):
    """What a run learns from, and how much of it in each step."""

    epochs: float = setting(16.0, "Number of times that each photo of the first source is seen.", ABOVE_0)
    batch_size: int = setting(128, "Number of captioned photos in a step.", ABOVE_0)
    captions_per_image: int = setting(3, "Number of captions of a photo in a step, at most.", ABOVE_0)
    labelled_per_step: int = setting(64, "Number of labelled photos in a step, where there are any.", MIN_0)
    held_out: int = setting(500, "Photos of the first source that are set aside for validation.", MIN_0)
    keep_near: bool = setting(False, "Learn also from photos that are nearly the same as one to validate on.")
    resampled: bool = setting(False, "Draw each step's photos from all of them, not each photo once in an epoch.")
    fixed_views: int = setting(0, "Number of random views of each photo; 0: a new one each time.", Range(0, 1000))
    cache_features: bool = setting(False, "Compute what the frozen part of the image encoder makes of a view once.")
    feature_folder: str = cost_setting("", "Folder that keeps these features for other runs; empty: none.")
    workers: int = cost_setting(0, "Threads that decode photos; 0: as many as cores, 2 to 16.", MIN_0)


@dataclass(frozen=True)
class AugmentationConfig(SettingGroup):
    """How a photo differs from itself each time it is seen.

    OpenCLIP's own, of its trained models: min_area=0.9, undistorted, without flip and color.
    """

    min_area: float = setting(0.6, "Smallest part of a photo's area that a random crop keeps.", Range(0.01, 1))
    max_area: float = setting(1.0, "Largest part of it, from min_area to 1; crops are even between the two.")
    min_ratio: float = setting(0.75, "Smallest width / height, relative to the photo's.", Range(0.1, 10))
    max_ratio: float = setting(4 / 3, "Largest one, from min_ratio to 10; its logarithm is even between the two.")
    # As torchvision's RandomResizedCrop has it: the view keeps the photo's proportions but for the ratio.
    undistorted: bool = setting(False, "Apply the ratios to the crop in pixels, which loses more of a long photo.")
    flip: bool = setting(True, "Mirror half of the photos.")
    color: float = setting(0.2, "Largest change of brightness, contrast and saturation.", Range(0, 0.9))
    hue: float = setting(0.0, "Largest turn of the hues, as a part of the colour circle.", Range(0, 0.5))
    color_probability: float = setting(1.0, "Part of the photos whose colours and hues change.", TO_1)
    gray_probability: float = setting(0.0, "Part of the photos that lose their colours.", TO_1)
    # Keeps a model from telling two sources apart by their sharpness.
    coarsest: int = setting(0, "Shrink half of the photos to a random side of this many pixels or more first; 0: none.")
    erase_probability: float = setting(0.0, "Part of the photos in which rectangles are blotted out.", TO_1)
    erase_count: int = setting(1, "Number of these rectangles, which share 2 to 33 % of the area.", Range(1, 100))

    def __post_init__(self) -> None:
        super().__post_init__()
        Range(self.min_area, 1).check("max_area", self.max_area)
        Range(self.min_ratio, 10).check("max_ratio", self.max_ratio)


@dataclass(frozen=True)
class OptimizationConfig(SettingGroup):
    """How weights change in a step, and how fast at which point of the run."""

    optimizer: Literal["adamw", "muon"] = setting("muon", "Rule for matrices of transformers; AdamW trains the rest.")
    learning_rate: float = setting(1e-3, "Peak learning rate of AdamW outside the image encoder.", ABOVE_0)
    muon_learning_rate: float = setting(4e-3, "Peak learning rate of Muon.", MIN_0)
    encoder_learning_rate: float = setting(6e-5, "Peak learning rate of the image encoder; 0 keeps it.", MIN_0)
    image_layer_decay: float = setting(1.0, "Rate of an image layer, relative to the one above.", ABOVE_0_TO_1)
    text_layer_decay: float = setting(1.0, "Rate of a text layer, relative to the one above.", ABOVE_0_TO_1)
    schedule: Literal["cosine", "const", "const-cooldown"] = setting("cosine", "Course of the rate after the warm-up.")
    warmup: float = setting(0.03, "Part of the run over which the rate rises to its peak.", BELOW_1)
    warmup_steps: int = setting(0, "Number of steps of the warm-up, instead of warmup.", MIN_0)
    cooldown: float = setting(0.1, "Part of the run over which const-cooldown ends.", TO_1)
    cooldown_end: float = setting(0.0, "Rate at the end of the cooldown, relative to its peak.", TO_1)
    cooldown_power: float = setting(1.0, "Curve of the cooldown; 1: a line; above: faster at first.", ABOVE_0)
    weight_decay: float = setting(0.05, "Decoupled weight decay of matrices and tables.", MIN_0)
    beta1: float = setting(0.9, "Decay of AdamW's first moment for each step.", BELOW_1)
    beta2: float = setting(0.98, "Decay of AdamW's second moment for each step.", BELOW_1)
    adam_epsilon: float = setting(1e-6, "Number added to the root of AdamW's second moment.", ABOVE_0)
    max_gradient_norm: float = setting(1.0, "Norm that longer gradients are scaled down to; 0: none.", MIN_0_OR_INF)
    ema_decay: float = setting(0.98, "Decay of the running average of weights; 0: no average.", BELOW_1)


@dataclass(frozen=True)
class FreezingConfig(SettingGroup):
    """Which weights keep their values, and for how long."""

    frozen_epochs: float = setting(9.0, "Epochs in which the image encoder stays as it is.", MIN_0_OR_INF)
    frozen_blocks: int = setting(5, "First blocks of the image encoder whose weights stay; adapters learn.", MIN_0)
    lock_image: bool = setting(False, "Keep the weights of image encoder, pooling and projection to the end.")
    unlocked_image_groups: int = setting(0, "Number of layers at their top that learn all the same.", MIN_0)
    lock_text: bool = setting(False, "Keep the weights of the unimodal text decoder to the end.")
    unlocked_text_groups: int = setting(0, "Number of layers at its top that learn all the same.", MIN_0)
    freeze_layer_norm: bool = setting(True, "Keep the norms of locked layers as well.")

    @property
    def locks_image_encoder(self) -> bool:
        """Whether all of the image encoder is locked: the first unlocked group is above it."""
        return self.lock_image and self.unlocked_image_groups < 2


@dataclass(frozen=True)
class LossesConfig(SettingGroup):
    """What a step minimises."""

    objective: ObjectiveName = setting("coca", "Train both halves, or the one that finds, or the one that writes.")
    contrastive_weight: float = setting(1.0, "Weight of the contrastive loss.", MIN_0)
    contrastive_loss: Literal["softmax", "sigmoid"] = setting("softmax", "Form of the contrastive loss.")
    sigmoid_temperature: float = setting(10.0, "Scale that the sigmoid loss starts with and learns.", ABOVE_0)
    sigmoid_bias: float = setting(-10.0, "Bias that the sigmoid loss starts with and learns.")
    sentence_weight: float = setting(0.0, "Part of the contrastive targets that goes by what captions mean.", TO_1)
    sentence_temperature: float = setting(0.1, "Spread of that part; low: to the nearest meanings alone.", ABOVE_0)
    caption_weight: float = setting(1.0, "Weight of the captioning loss.", MIN_0)
    caption_start: float = setting(0.0, "Part of the run that is contrastive alone.", TO_1)
    caption_ramp: float = setting(0.0, "Part after it over which the captioning loss grows.", TO_1)
    label_smoothing: float = setting(0.0, "Part of the next token's target that goes to all tokens alike.", BELOW_1)
    name_weight: float = setting(0.7, "Weight of the name loss, which needs class names.", MIN_0)
    names_per_step: int = setting(250, "Number of names that a step compares with.", ABOVE_0)
    label_caption_weight: float = setting(0.0, "Weight of the captioning loss of captions made of labels.", MIN_0)
    self_critical_weight: float = setting(0.0, "Weight of captions that the model draws, rewarded by people's.", MIN_0)
    self_critical_samples: int = setting(5, "Number of captions that it draws of each photo in a step.", Range(2))
    invention_price: float = setting(0.0, "Cost of each object of a drawn caption that nobody named.", MIN_0)


@dataclass(frozen=True)
class DistillationConfig(SettingGroup):
    """What a run learns from another model."""

    distill_from: str = setting("", "Name or folder of the model that teaches; empty: none does.")
    distill_weight: float = setting(1.0, "Weight of its similarities of photos and captions.", MIN_0)
    distill_caption_weight: float = setting(1.0, "Weight of its next tokens; needs the same tokenizer.", MIN_0)


@dataclass(frozen=True)
class AdaptersConfig(SettingGroup):
    """Low-rank adapters that are trained instead of the weights (LoRA)."""

    lora_rank: int = setting(0, "Rank of the adapters; 0: weights are trained, not adapters.", MIN_0)
    lora_alpha: float = setting(16.0, "Adapters count lora_alpha / lora_rank times.", ABOVE_0)
    lora_dropout: float = setting(0.0, "Dropout of what adapters read.", BELOW_1)
    lora_layers: Literal["attention", "mlp", "all"] = setting("all", "Linear layers that get an adapter.")
    lora_towers: str = setting("image,text,caption", "Towers that get adapters; a locked one may not.")
    lora_extras: str = setting("logit_scale", "Parameters or parts that are trained beside adapters, by name.")


@dataclass(frozen=True)
class ModelConfig(SettingGroup):
    """What a run changes of the model itself before it begins."""

    dropout: float = setting(0.1, "Dropout of both text halves.", BELOW_1)
    force_image_size: int = setting(0, "Side of a photo in pixels, positions resized; 0: the model's.", MIN_0)
    force_context_length: int = setting(0, "Longest text in token ids, likewise; 0: the model's.", MIN_0)
    force_quick_gelu: bool = setting(False, "Compute GELU in OpenAI's quick way.")
    force_image_mean: str = setting("", "Mean of the channels, such as 0.5,0.5,0.5; empty: the model's.")
    force_image_std: str = setting("", "Deviation of the channels, such as 0.5,0.5,0.5; empty: the model's.")
    force_resize_mode: Literal["", "shortest", "longest", "squash"] = setting(
        "", "Way to a square; empty: the model's."
    )
    force_interpolation: Literal["", "bicubic", "bilinear"] = setting("", "Way of resizing; empty: the model's.")
    force_patch_dropout: float = setting(0.0, "Part of a vision transformer's patches left out.", BELOW_1)


@dataclass(frozen=True)
class ComputationConfig(SettingGroup):
    """How a step is computed, in how much memory, by one process or several."""

    precision: PrecisionName = setting("auto", "Number type of a step; auto: bfloat16 where that is faster.")
    micro_batch: int = cost_setting(0, "Photos in memory at once; 0: all of a process.", MIN_0)
    accumulation: int = cost_setting(1, "Number of parts of a step, instead of their size.", Range(1))
    gradient_checkpointing: bool = cost_setting(False, "Compute all blocks again on the way back, for less memory.")
    checkpointed_image_blocks: int = cost_setting(
        0, "First blocks of the image encoder that alone are computed again.", MIN_0
    )
    compile: bool = cost_setting(False, "Compile the blocks, where there is a compiler.")
    sharding: Literal["none", "full"] = cost_setting(
        "none", "full: each of several processes keeps a part of the weights (FSDP)."
    )
    local_loss: bool = setting(False, "Let a process compute the similarities of its own photos and texts alone.")
    gather_with_grad: bool = setting(True, "Gradients are exact over processes; false: those of OpenCLIP's default.")


@dataclass(frozen=True)
class RunConfig(SettingGroup):
    """The course of a run: randomness, validation, and what it keeps."""

    seed: int = setting(0, "Random seed.", MIN_0)
    validations: int = setting(12, "Number of validations, evenly over the run.", MIN_0)
    checkpoint_minutes: float = cost_setting(5.0, "Minutes between checkpoints.", MIN_0_OR_INF)
    save_epochs: float = cost_setting(0.0, "Epochs between models that stay in the run's folder.", MIN_0)
    saves_kept: int = cost_setting(0, "Number of these that stay, the last ones; 0: all.", MIN_0)
