"""The job `train`: a model from a preset or a model folder, on any number of sources.

Receives paths and settings; reads the data, sets pictures aside and runs the trainer.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cocasearch.byte_range import ImageSource
from cocasearch.captioned_data import CaptionedData, CaptionedImage, read_captioned_data
from cocasearch.checkpoints.foreign.efficientnet_weights import read_published_lite0
from cocasearch.checkpoints.registry import resolve_model
from cocasearch.errors import CocaSearchError
from cocasearch.model.config import EfficientNetLiteConfig, PoolerKind
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.class_names import ClassNames
from cocasearch.training.data.dataset import LabelledImages, Source
from cocasearch.training.data.training_sources import Columns, split, training_data
from cocasearch.training.failures import reported_once
from cocasearch.training.losses.name_teacher import NameTeacher
from cocasearch.training.model.resizing import forced
from cocasearch.training.model.starting_point import StartingPoint, from_model_folder, from_preset, preset_config
from cocasearch.training.results import TrainingResult
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.run_folder.run_checkpoint import leaving_nothing_if_refused, refuse_taken_folder
from cocasearch.training.run_folder.run_data import RunData
from cocasearch.training.run_folder.run_record import Reporting, bring_run_back, recording, run_facts
from cocasearch.training.step.processes import Processes, device_of_process
from cocasearch.training.trainer import Trainer

OnProgress = Callable[[TrainingProgress], None]


@dataclass(frozen=True)
class TrainingRequest:
    """What `train` is asked for.

    Args:
        data: Captioned data files; the first is the one that epochs are counted in and pictures held out of.
        weights: Their shares of each step; by default their numbers of pictures.
        out: The model folder to write.
        preset: The architecture to start from, with `pooler` instead of its own way of pooling; or `model`. coca-mini
            where neither is given.
        text_model: The folder of a RoBERTa to be the preset's text half.
        model: A model name or folder to start from.
        names: A table of class names for the name loss, which needs an encoder that came with its classifier.
        labels: Labelled pictures for the name loss; `label_key` is their column of WordNet ids or class names, "wnid"
            for None.
        validation: Data to validate on, instead of pictures held out of the first source.
        reporting: Who else is to see the run.
    """

    data: Sequence[str | Path]
    out: Path
    weights: Sequence[float] = ()
    preset: str | None = None
    pooler: PoolerKind | None = None
    text_model: Path | None = None
    model: str | None = None
    image_weights: bool = True
    names: Path | None = None
    labels: Sequence[str | Path] = ()
    label_key: str | None = None
    validation: str | Path | None = None
    columns: Columns = dataclasses.field(default_factory=Columns)
    card: str = ""
    reporting: Reporting = dataclasses.field(default_factory=Reporting)


@reported_once
def train(
    request: TrainingRequest, config: TrainingConfig, *, progress: OnProgress | None = None, device: str = "auto"
) -> TrainingResult:
    """Train a model and write its folder.

    Raises:
        CocaSearchError: Data, names or settings that do not fit together, each named.
    """
    _refuse_idle_choices(request)
    processes = Processes.join(device_of_process(device))
    processes.once(lambda: bring_run_back(request.out, request.reporting))
    processes.once(lambda: refuse_taken_folder(request.out))
    with leaving_nothing_if_refused(request.out, is_first=processes.is_first):
        return _train(request, config, processes, progress, device)


def _train(
    request: TrainingRequest, config: TrainingConfig, processes: Processes, progress: OnProgress | None, device: str
) -> TrainingResult:
    if request.model is None:  # names first: to read and compare photos takes long
        preset_config(request.preset or "coca-mini")
    else:
        resolve_model(request.model)
    class_names = ClassNames.read(request.names) if request.names else None
    sources, held_out = _sources(request, config, RunData(request.out, processes))
    start = forced(_starting_point(request, config, sources, class_names), config)
    teacher = _teacher(start, class_names)
    data = training_data(start, sources, _labelled(request, class_names))
    named = {str(name): source.images for name, source in zip(request.data, sources, strict=True)}
    facts = run_facts("train", config.values(), {**named, "held out": held_out})
    with recording(request.out, facts, request.reporting, is_first=processes.is_first, progress=progress) as record:
        trainer = Trainer(
            start,
            data,
            config,
            request.out,
            held_out=held_out,
            teacher=teacher,
            progress=record,
            card=request.card,
            device=device,
            stage=request.columns.listener.progress,
            resumed=request.columns.listener.resumed,
        )
        result = trainer.run()
    return dataclasses.replace(result, not_copied=record.not_copied)


def _refuse_idle_choices(request: TrainingRequest) -> None:
    """Refuse what shapes a fresh model where one is given that has its shape and its weights, and the like."""
    choices = {
        "--preset": request.preset,
        "--pooler": request.pooler,
        "--text-model": request.text_model,
        "--no-image-weights": not request.image_weights,
    }
    idle = [name for name, choice in choices.items() if choice]
    if request.model is not None and idle:
        raise CocaSearchError(
            f"{request.model} has its architecture and its weights already, so {idle[0]} has no effect",
            hint=f"{idle[0]} without --model starts anew",
        )
    if request.label_key is not None and not request.labels:
        raise CocaSearchError("--label-key has no effect: it names a column of labelled photos", hint="--labels DATA")


def _sources(
    request: TrainingRequest, config: TrainingConfig, run_data: RunData
) -> tuple[list[Source], list[CaptionedImage]]:
    if request.weights and len(request.weights) != len(request.data):
        raise CocaSearchError(f"there are {len(request.data)} data files but {len(request.weights)} weights")
    if wrong := [weight for weight in request.weights if not 0 < weight < math.inf]:
        raise CocaSearchError(f"a weight must be a number above 0, not {wrong[0]}")
    if len(request.weights) == 1:
        raise CocaSearchError("--weight has no effect: it divides a step among several sources, and there is one")
    read = [request.columns.read(path) for path in request.data]
    images, held_out = split(read, request.validation, request.columns, config, run_data)
    weights = request.weights or [len(part) for part in images]
    return [Source(part, weight) for part, weight in zip(images, weights, strict=True)], held_out


def _starting_point(
    request: TrainingRequest, config: TrainingConfig, sources: list[Source], class_names: ClassNames | None
) -> StartingPoint:
    if request.model is not None:
        return from_model_folder(resolve_model(request.model))
    texts = [caption for source in sources for image in source.images for caption in image.captions]
    if class_names is not None:
        texts += class_names.vocabulary()
    return from_preset(
        request.preset or "coca-mini",
        texts,
        image_weights=request.image_weights,
        pooler=request.pooler,
        text_model=request.text_model,
        seed=config.run.seed,
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
        raise CocaSearchError("labelled photos need the names of their classes", hint="--names TABLE.tsv")
    images: list[ImageSource] = []
    classes: list[int] = []
    for path in request.labels:
        for row in _read_labels(path, request.label_key or "wnid"):
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
