"""The two things people train: a model from a preset, and a model folder further on their own pictures.

Receives paths and settings; reads the data, sets pictures aside, runs the trainer and measures.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cocasearch.captioned_data import CaptionedData, CaptionedImage, read_captioned_data
from cocasearch.checkpoints.efficientnet_lite import read_published_lite0
from cocasearch.checkpoints.registry import resolve_model
from cocasearch.errors import CocaSearchError
from cocasearch.evaluation.benchmark import EvaluationReport, evaluate
from cocasearch.file_parts import PictureSource
from cocasearch.images.transforms import Preprocess
from cocasearch.inference.caption_options import CaptionOptions
from cocasearch.inference.loaded_model import load_model
from cocasearch.model.config import EfficientNetLiteConfig, PoolerKind
from cocasearch.training.class_names import ClassNames
from cocasearch.training.config import AugmentationConfig, TrainingConfig
from cocasearch.training.dataset import LabelledImages, Source, TrainingData
from cocasearch.training.objective import NameTeacher
from cocasearch.training.resizing import forced
from cocasearch.training.run_checkpoint import refuse_taken_folder
from cocasearch.training.splitting import LeftOut, hold_out, keep_apart
from cocasearch.training.starting_point import StartingPoint, from_model_folder, from_preset
from cocasearch.training.trainer import Trainer, TrainingProgress, TrainingResult

OnProgress = Callable[[TrainingProgress], None]


@dataclass(frozen=True)
class DataListener:
    """Who is told while data are prepared.

    Args:
        read: Told of each source as soon as it is read.
        left_out: Told what is not trained on because it is measured on.
        progress: Told how far the comparison of both is: what is done now, how much is done, how much there is.
    """

    read: Callable[[CaptionedData], None] = lambda _data: None
    left_out: Callable[[LeftOut], None] = lambda _left_out: None
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None


@dataclass(frozen=True)
class Columns:
    """Which columns of a data file hold what, where their names are unusual, and who is told what is read."""

    image_key: str | None = None
    caption_key: str | None = None
    label_template: str | None = None
    listener: DataListener = dataclasses.field(default_factory=DataListener)

    def read(self, source: str | Path) -> list[CaptionedImage]:
        """The captioned pictures of one source; what was left out of it is told to the listener."""
        data = read_captioned_data(
            source, image_key=self.image_key, caption_key=self.caption_key, label_template=self.label_template
        )
        self.listener.read(data)
        return data.images


@dataclass(frozen=True)
class TrainingRequest:
    """What `train` is asked for.

    Args:
        data: Captioned data files; the first is the one that passes are counted in and pictures held out of.
        weights: Their shares of each step; by default their numbers of pictures.
        out: The model folder to write.
        preset: The architecture to start from, with `pooler` instead of its own way of pooling; or `model`.
        text_model: The folder of a RoBERTa to be the preset's text half.
        model: A model name or folder to start from.
        names: A table of class names for the name loss, which needs an encoder that came with its classifier.
        labels: Labelled pictures for the name loss; `label_key` is their column of WordNet ids or class names.
        validation: Data to validate on, instead of pictures held out of the first source.
    """

    data: Sequence[str | Path]
    out: Path
    weights: Sequence[float] = ()
    preset: str = "coca-mini"
    pooler: PoolerKind | None = None
    text_model: Path | None = None
    model: str | None = None
    image_weights: bool = True
    names: Path | None = None
    labels: Sequence[str | Path] = ()
    label_key: str = "wnid"
    validation: str | Path | None = None
    columns: Columns = dataclasses.field(default_factory=Columns)
    card: str = ""


def train(
    request: TrainingRequest, config: TrainingConfig, *, progress: OnProgress | None = None, device: str = "auto"
) -> TrainingResult:
    """Train a model and write its folder.

    Raises:
        CocaSearchError: Data, names or settings that do not fit together, each named.
    """
    refuse_taken_folder(request.out)
    sources, held_out = _sources(request, config)
    class_names = ClassNames.read(request.names) if request.names else None
    start = forced(_starting_point(request, config, sources, class_names), config)
    teacher = _teacher(start, class_names)
    data = _training_data(start, sources, _labelled(request, class_names))
    trainer = Trainer(
        start,
        data,
        config,
        request.out,
        held_out=held_out,
        teacher=teacher,
        progress=progress,
        card=request.card,
        device=device,
    )
    return trainer.run()


@dataclass(frozen=True)
class FinetuneResult:
    """A finished fine-tuning with the same held-out pictures measured before and after."""

    training: TrainingResult
    before: EvaluationReport
    after: EvaluationReport


def finetune_config(n_images: int) -> TrainingConfig:
    """Gentle defaults for a collection of this size: low rates, more passes over fewer pictures."""
    passes = min(40.0, max(4.0, 16_000 / max(1, n_images)))
    return TrainingConfig(
        passes=passes,
        images_per_step=max(2, min(64, n_images // 4)),
        captions_per_image=3,
        optimizer="adamw",
        learning_rate=3e-4,
        encoder_learning_rate=3e-5,
        frozen_passes=passes / 4,
        frozen_blocks=0,
        ema_decay=0.98,
        augmentation=AugmentationConfig(min_area=0.8, flip=False, color=0.1),
        held_out=500,
        validations=5,
    )


def finetune(
    data: str | Path,
    *,
    out: Path,
    model: str | Path | None = None,
    validation: str | Path | None = None,
    columns: Columns | None = None,
    adjust: Callable[[TrainingConfig], TrainingConfig] | None = None,
    measured: Callable[[str, EvaluationReport], None] | None = None,
    progress: OnProgress | None = None,
    device: str = "auto",
) -> FinetuneResult:
    """Train a model folder on captioned pictures, measured on held-out ones before and after.

    Args:
        data: Captioned pictures.
        out: The model folder to write.
        model: Name or folder to start from; the bundled model for None.
        validation: Data to measure on, instead of a part of `data` split off by picture.
        columns: Which columns of the data hold what.
        adjust: Changes what `finetune_config` chose for this number of pictures.
        measured: Told "before" and "after" with each report as soon as it is there.
        progress: Called after every step.
        device: "auto", "cpu" or "cuda".

    Raises:
        CocaSearchError: Too few pictures to hold any out, or anything `train` raises.
    """
    refuse_taken_folder(out)
    columns = columns or Columns()
    images = columns.read(data)
    config = finetune_config(len(images))
    config = adjust(config) if adjust else config
    (training,), held_out = _split([images], validation, columns, config)
    if not held_out:
        raise CocaSearchError(
            f"{data} has {len(images)} pictures, too few to hold some out for measuring",
            hint="five pictures at least, or --val DATA",
        )
    measured = measured or (lambda _moment, _report: None)
    folder = resolve_model(model)
    before = _measure(folder, held_out, device)
    measured("before", before)
    start = forced(from_model_folder(folder), config)
    trainer = Trainer(
        start,
        _training_data(start, [Source(training, 1.0)], None),
        config,
        out,
        held_out=held_out,
        progress=progress,
        card=_finetuned_card(out.name, folder.resolve().name, len(training)),
        device=device,
    )
    result = trainer.run()
    after = _measure(out, held_out, device)
    measured("after", after)
    return FinetuneResult(result, before, after)


def _sources(request: TrainingRequest, config: TrainingConfig) -> tuple[list[Source], list[CaptionedImage]]:
    if request.weights and len(request.weights) != len(request.data):
        raise CocaSearchError(f"there are {len(request.data)} data files but {len(request.weights)} weights")
    if any(weight <= 0 for weight in request.weights):
        raise CocaSearchError(f"a weight must be above 0, not {min(request.weights)}")
    images = [request.columns.read(path) for path in request.data]
    images, held_out = _split(images, request.validation, request.columns, config)
    weights = request.weights or [len(part) for part in images]
    return [Source(part, weight) for part, weight in zip(images, weights, strict=True)], held_out


def _split(
    images: list[list[CaptionedImage]], validation: str | Path | None, columns: Columns, config: TrainingConfig
) -> tuple[list[list[CaptionedImage]], list[CaptionedImage]]:
    """What is trained on of each source, and what is measured on: other data, or a part of the first source."""
    if validation is not None:
        held_out = columns.read(validation)
    else:
        first, held_out = hold_out(images[0], config.held_out, seed=config.seed)
        images = [first, *images[1:]]
    if not held_out:
        return images, held_out
    kept, left_out = keep_apart(images, held_out, near=not config.keep_near, progress=columns.listener.progress)
    columns.listener.left_out(left_out)
    return kept, held_out


def _starting_point(
    request: TrainingRequest, config: TrainingConfig, sources: list[Source], class_names: ClassNames | None
) -> StartingPoint:
    if request.model is not None and request.text_model is not None:
        raise CocaSearchError("a model has its text half already", hint="--text-model without --model")
    if request.model is not None:
        return from_model_folder(resolve_model(request.model))
    texts = [caption for source in sources for image in source.images for caption in image.captions]
    if class_names is not None:
        texts += class_names.vocabulary()
    return from_preset(
        request.preset,
        texts,
        image_weights=request.image_weights,
        pooler=request.pooler,
        text_model=request.text_model,
        seed=config.seed,
    )


def _teacher(start: StartingPoint, class_names: ClassNames | None) -> NameTeacher | None:
    if class_names is None:
        return None
    classifier, weights = start.classifier, None
    if classifier is None:  # a model trained before: its encoder may have moved, so the published one teaches
        image = start.model.config.image
        if not isinstance(image, EfficientNetLiteConfig) or image.blocks != EfficientNetLiteConfig().blocks:
            raise CocaSearchError(
                "class names need an image encoder that came with its classifier", hint="--preset coca-mini"
            )
        weights, classifier = read_published_lite0()
    if len(classifier.bias) != len(class_names):
        raise CocaSearchError(
            f"the table names {len(class_names)} classes, the encoder's classifier has {len(classifier.bias)}"
        )
    return NameTeacher(start.model, classifier, class_names, weights=weights)


def _labelled(request: TrainingRequest, class_names: ClassNames | None) -> LabelledImages | None:
    if not request.labels:
        return None
    if class_names is None:
        raise CocaSearchError("labelled pictures need the names of their classes", hint="--names TABLE.tsv")
    images: list[PictureSource] = []
    classes: list[int] = []
    for path in request.labels:
        for row in _read_labels(path, request.label_key):
            index = class_names.find(row.captions[0])
            if index is not None:
                images.append(row.image)
                classes.append(index)
    if not images:
        raise CocaSearchError(f"no label in {request.labels[0]} is among the names in {request.names}")
    return LabelledImages(images, classes, class_names.names)


def _read_labels(source: str | Path, label_key: str) -> CaptionedData:
    try:
        return read_captioned_data(source, caption_key=label_key)
    except CocaSearchError as error:
        hint = error.hint and error.hint.replace("--caption-key", "--label-key")
        raise CocaSearchError(str(error), hint=hint) from error


def _training_data(start: StartingPoint, sources: list[Source], labelled: LabelledImages | None) -> TrainingData:
    return TrainingData(
        sources, start.tokenizer, Preprocess(start.preprocess), start.model.config.text.context_length, labelled
    )


def _measure(folder: Path, held_out: list[CaptionedImage], device: str) -> EvaluationReport:
    return evaluate(load_model(folder, device=device), held_out, caption_options=CaptionOptions())


def _finetuned_card(name: str, base: str, n_images: int) -> str:
    return (
        f"# {name}\n\nA CoCa model, fine-tuned from {base} on {n_images} captioned pictures with `cocasearch finetune`."
        "\nSettings and held-out figures are under `provenance` in config.json. The terms of the model it started"
        "\nfrom and of the pictures apply to these weights.\n"
    )
