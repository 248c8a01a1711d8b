"""All settings of a training run in groups, each with its default, its range and what it means."""

from dataclasses import dataclass
from typing import Literal

from cocasearch.training.setting_fields import (
    ABOVE_ZERO,
    BELOW_ONE,
    FRACTION,
    NOT_NEGATIVE,
    OR_INFINITE,
    Range,
    SettingGroup,
    setting,
)

ObjectiveName = Literal["coca", "contrastive", "caption"]
PrecisionName = Literal["auto", "float32", "bfloat16", "pure_bfloat16", "float16"]


@dataclass(frozen=True)
class DataConfig(SettingGroup):
    """What a run learns from, and how much of it in each step."""

    epochs: float = setting(16.0, "Number of times that each photo of the first source is seen.", ABOVE_ZERO)
    batch_size: int = setting(128, "Number of captioned photos in a step.", ABOVE_ZERO)
    captions_per_image: int = setting(3, "Number of captions of a photo that a step takes, at most.", ABOVE_ZERO)
    labelled_per_step: int = setting(64, "Number of labelled photos in a step, where there are any.", NOT_NEGATIVE)
    held_out: int = setting(500, "Number of photos of the first source set aside for validation.", NOT_NEGATIVE)
    keep_near: bool = setting(False, "Learn also from photos that are nearly the same as one to validate on.")
    resampled: bool = setting(False, "Draw each step's photos from all of them, not each photo once in an epoch.")
    fixed_views: int = setting(0, "Number of random views of each photo; 0: a new one each time.", Range(0, 1000))
    cache_features: bool = setting(False, "Compute what the frozen part of the image encoder makes of a view once.")
    feature_folder: str = setting(
        "", "Folder that keeps these features for other runs; empty: the run's own, till it ends.", changes_result=False
    )
    workers: int = setting(
        0,
        "Threads of each process that decode photos; 0: as many as it has cores, 2 to 16.",
        NOT_NEGATIVE,
        changes_result=False,
    )


@dataclass(frozen=True)
class AugmentationConfig(SettingGroup):
    """How a photo differs from itself each time it is seen.

    OpenCLIP's own, of its trained models: min_area=0.9, undistorted, without flip and color.
    """

    min_area: float = setting(0.6, "Smallest part of a photo's area that a random crop keeps.", Range(0.01, 1))
    max_area: float = setting(1.0, "Largest part of it, from min_area to 1; crops are even between the two.")
    min_ratio: float = setting(0.75, "Smallest width / height of a crop, relative to the photo's own.", Range(0.1, 10))
    max_ratio: float = setting(4 / 3, "Largest one, from min_ratio to 10; its logarithm is even between the two.")
    # As torchvision's RandomResizedCrop has it: the view keeps the photo's proportions but for the ratio.
    undistorted: bool = setting(False, "Apply the ratios to the crop in pixels, which loses more of a long photo.")
    flip: bool = setting(True, "Mirror half of the photos.")
    color: float = setting(0.2, "Largest relative change of brightness, contrast and saturation.", Range(0, 0.9))
    hue: float = setting(0.0, "Largest turn of the hues, as a part of the colour circle.", Range(0, 0.5))
    color_probability: float = setting(1.0, "Part of the photos whose colours and hues change.", FRACTION)
    gray_probability: float = setting(0.0, "Part of the photos that lose their colours.", FRACTION)
    # Keeps a model from telling two sources apart by their sharpness.
    coarsest: int = setting(0, "Shrink half of the photos to a random side of this many pixels or more first; 0: none.")
    erase_probability: float = setting(
        0.0, "Part of the photos in which rectangles are blotted out (arXiv 1708.04896).", FRACTION
    )
    erase_count: int = setting(1, "Number of these rectangles, which share 2 to 33 % of the area.", Range(1, 100))

    def __post_init__(self) -> None:
        super().__post_init__()
        Range(self.min_area, 1).check("max_area", self.max_area)
        Range(self.min_ratio, 10).check("max_ratio", self.max_ratio)


@dataclass(frozen=True)
class OptimizationConfig(SettingGroup):
    """How weights change in a step, and how fast at which point of the run."""

    optimizer: Literal["adamw", "muon"] = setting("muon", "Rule for matrices of transformers; AdamW trains the rest.")
    learning_rate: float = setting(1e-3, "Peak learning rate of AdamW outside the image encoder.", ABOVE_ZERO)
    muon_learning_rate: float = setting(4e-3, "Peak learning rate of Muon.", NOT_NEGATIVE)
    encoder_learning_rate: float = setting(6e-5, "Peak learning rate of the image encoder; 0 keeps it.", NOT_NEGATIVE)
    image_layer_decay: float = setting(
        1.0, "Rate of each image layer, relative to the layer above it.", Range(0, 1, excludes_low=True)
    )
    text_layer_decay: float = setting(
        1.0, "Rate of each text layer, relative to the layer above it.", Range(0, 1, excludes_low=True)
    )
    schedule: Literal["cosine", "const", "const-cooldown"] = setting(
        "cosine", "Course of the learning rate after the warm-up."
    )
    warmup: float = setting(0.03, "Part of the run over which the rate rises to its peak.", BELOW_ONE)
    warmup_steps: int = setting(0, "Number of steps of the warm-up, instead of warmup.", NOT_NEGATIVE)
    cooldown: float = setting(0.1, "Part of the run at its end over which const-cooldown lets the rate fall.", FRACTION)
    cooldown_end: float = setting(0.0, "Rate at the end of the cooldown, relative to its peak.", FRACTION)
    cooldown_power: float = setting(1.0, "Curve of the cooldown; 1: a line; above: faster at first.", ABOVE_ZERO)
    weight_decay: float = setting(0.05, "Decoupled weight decay of matrices and tables.", NOT_NEGATIVE)
    beta1: float = setting(0.9, "Decay of AdamW's first moment for each step.", BELOW_ONE)
    beta2: float = setting(0.98, "Decay of AdamW's second moment for each step.", BELOW_ONE)
    adam_epsilon: float = setting(1e-6, "Number added to the root of AdamW's second moment.", ABOVE_ZERO)
    max_gradient_norm: float = setting(
        1.0, "Norm that longer gradients are scaled down to; 0: gradients stay as they are.", OR_INFINITE
    )
    ema_decay: float = setting(0.98, "Decay of the running average of weights; 0: the last weights count.", BELOW_ONE)


@dataclass(frozen=True)
class FreezingConfig(SettingGroup):
    """Which weights keep their values, and for how long."""

    frozen_epochs: float = setting(9.0, "Epochs in which the image encoder stays as it is; inf: all.", OR_INFINITE)
    frozen_blocks: int = setting(
        5, "Number of the image encoder's first blocks whose weights stay; adapters learn.", NOT_NEGATIVE
    )
    lock_image: bool = setting(False, "Keep the weights of image encoder, pooling and projection to the end.")
    unlocked_image_groups: int = setting(0, "Number of layers at their top that learn all the same.", NOT_NEGATIVE)
    lock_text: bool = setting(False, "Keep the weights of the unimodal text decoder to the end.")
    unlocked_text_groups: int = setting(0, "Number of layers at its top that learn all the same.", NOT_NEGATIVE)
    freeze_layer_norm: bool = setting(True, "Keep the norms of locked layers as well.")

    @property
    def locks_image_encoder(self) -> bool:
        """Whether all of the image encoder is locked: the first unlocked group is above it."""
        return self.lock_image and self.unlocked_image_groups < 2


@dataclass(frozen=True)
class LossesConfig(SettingGroup):
    """What a step minimises."""

    objective: ObjectiveName = setting(
        "coca", "Train both halves, or only the one that finds, or only the one that writes."
    )
    contrastive_weight: float = setting(1.0, "Weight of the contrastive loss.", NOT_NEGATIVE)
    contrastive_loss: Literal["softmax", "sigmoid"] = setting("softmax", "Form of the contrastive loss.")
    sigmoid_temperature: float = setting(10.0, "Scale that the sigmoid loss starts with and learns.", ABOVE_ZERO)
    sigmoid_bias: float = setting(-10.0, "Bias that the sigmoid loss starts with and learns.")
    sentence_weight: float = setting(
        0.0, "Part of the contrastive targets that goes by what captions mean (a sentence encoder's view).", FRACTION
    )
    sentence_temperature: float = setting(
        0.1, "Spread of that part; the lower, the more goes to the captions nearest in meaning.", ABOVE_ZERO
    )
    caption_weight: float = setting(1.0, "Weight of the captioning loss.", NOT_NEGATIVE)
    caption_start: float = setting(0.0, "Part of the run that is contrastive alone.", FRACTION)
    caption_ramp: float = setting(0.0, "Part after it over which the captioning loss grows to its weight.", FRACTION)
    label_smoothing: float = setting(0.0, "Part of the next token's target that goes to all tokens alike.", BELOW_ONE)
    name_weight: float = setting(0.7, "Weight of the name loss, which needs class names.", NOT_NEGATIVE)
    names_per_step: int = setting(250, "Number of names that a step compares its photos with, at most.", ABOVE_ZERO)
    label_caption_weight: float = setting(
        0.0, "Weight of the captioning loss of captions made of labels; needs labelled photos.", NOT_NEGATIVE
    )
    self_critical_weight: float = setting(
        0.0, "Weight of captions that the model draws and people's captions reward; for a trained model.", NOT_NEGATIVE
    )
    self_critical_samples: int = setting(5, "Number of captions that it draws of each photo in a step.", Range(2))
    invention_price: float = setting(
        0.0, "Cost of each object in a drawn caption that nobody named, beside its CIDEr-D.", NOT_NEGATIVE
    )


@dataclass(frozen=True)
class DistillationConfig(SettingGroup):
    """What a run learns from another model."""

    distill_from: str = setting("", "Name or folder of the model that teaches; empty: none does.")
    distill_weight: float = setting(1.0, "Weight of its similarities of photos and captions.", NOT_NEGATIVE)
    distill_caption_weight: float = setting(
        1.0, "Weight of its distribution of the next token; needs the same tokenizer.", NOT_NEGATIVE
    )


@dataclass(frozen=True)
class AdaptersConfig(SettingGroup):
    """Low-rank adapters that are trained instead of the weights (LoRA)."""

    lora_rank: int = setting(0, "Rank of the adapters; 0: weights are trained, not adapters.", NOT_NEGATIVE)
    lora_alpha: float = setting(16.0, "Adapters count lora_alpha / lora_rank times.", ABOVE_ZERO)
    lora_dropout: float = setting(0.0, "Dropout of what adapters read.", BELOW_ONE)
    lora_layers: Literal["attention", "mlp", "all"] = setting("all", "Linear layers that get an adapter.")
    lora_towers: str = setting("image,text,caption", "Towers that get adapters; a locked one may not.")
    lora_extras: str = setting("logit_scale", "Parameters or parts that are trained beside adapters, by name.")


@dataclass(frozen=True)
class ModelConfig(SettingGroup):
    """What a run changes of the model itself before it begins."""

    dropout: float = setting(0.1, "Dropout of both text halves.", BELOW_ONE)
    force_image_size: int = setting(0, "Side of a photo in pixels, positions resized; 0: the model's.", NOT_NEGATIVE)
    force_context_length: int = setting(0, "Longest text in token ids, likewise; 0: the model's.", NOT_NEGATIVE)
    force_quick_gelu: bool = setting(False, "Compute GELU in OpenAI's quick way.")
    force_image_mean: str = setting("", "Mean of the channels, such as 0.5,0.5,0.5; empty: the model's.")
    force_image_std: str = setting("", "Deviation of the channels, such as 0.5,0.5,0.5; empty: the model's.")
    force_resize_mode: Literal["", "shortest", "longest", "squash"] = setting(
        "", "Way of making a photo square; empty: the model's."
    )
    force_interpolation: Literal["", "bicubic", "bilinear"] = setting("", "Way of resizing; empty: the model's.")
    force_patch_dropout: float = setting(
        0.0, "Part of a vision transformer's patches that each step leaves out.", BELOW_ONE
    )


@dataclass(frozen=True)
class ComputationConfig(SettingGroup):
    """How a step is computed, in how much memory, by one process or several."""

    precision: PrecisionName = setting(
        "auto", "Number type of a step; auto: bfloat16 where that is faster, else float32."
    )
    micro_batch: int = setting(
        0, "Photos that a process has in memory at once; 0: all of the step.", NOT_NEGATIVE, changes_result=False
    )
    accumulation: int = setting(1, "Number of parts of a step, instead of their size.", Range(1), changes_result=False)
    gradient_checkpointing: bool = setting(
        False, "Compute all blocks again on the way back: less memory for more time.", changes_result=False
    )
    checkpointed_image_blocks: int = setting(
        0, "Number of the image encoder's first blocks that are computed again.", NOT_NEGATIVE, changes_result=False
    )
    compile: bool = setting(False, "Compile the blocks, where there is a compiler.", changes_result=False)
    sharding: Literal["none", "full"] = setting(
        "none", "full: each of several processes keeps a part of the weights (FSDP).", changes_result=False
    )
    local_loss: bool = setting(False, "Let a process compute the similarities of its own photos and texts alone.")
    gather_with_grad: bool = setting(True, "Gradients are exact over processes; false: those of OpenCLIP's default.")


@dataclass(frozen=True)
class RunConfig(SettingGroup):
    """The course of a run: randomness, validation, and what it keeps."""

    seed: int = setting(0, "Random seed.", NOT_NEGATIVE)
    validations: int = setting(12, "Number of validations, evenly over the run.", NOT_NEGATIVE)
    checkpoint_minutes: float = setting(5.0, "Minutes between checkpoints.", OR_INFINITE, changes_result=False)
    save_epochs: float = setting(
        0.0, "Epochs between models that stay in the run's folder; 0: none.", NOT_NEGATIVE, changes_result=False
    )
    saves_kept: int = setting(
        0, "Number of these models that stay at most, the last ones; 0: all.", NOT_NEGATIVE, changes_result=False
    )
