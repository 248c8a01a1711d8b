"""Training at the size of a toy: drawn shapes of 32 pixels, a convolutional encoder of three blocks, width 32."""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from cocasearch.captioned_data import CaptionedImage
from cocasearch.checkpoints.foreign.efficientnet_weights import Classifier
from cocasearch.checkpoints.model_folder import save_model_folder
from cocasearch.images.transforms import Preprocess, PreprocessConfig
from cocasearch.model.coca import CoCa
from cocasearch.model.config import (
    CoCaConfig,
    EfficientNetLiteConfig,
    MultimodalConfig,
    PoolerConfig,
    TextConfig,
    VisionTransformerConfig,
)
from cocasearch.text.tokenizer import Tokenizer, train_tokenizer
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.class_names import ClassNames
from cocasearch.training.data.dataset import LabelledImages, Source, TrainingData
from cocasearch.training.losses.name_teacher import NameTeacher
from cocasearch.training.model.starting_point import StartingPoint
from cocasearch.training.run_folder.progress import TrainingProgress
from cocasearch.training.trainer import Trainer

COLORS = ("red", "green", "blue", "yellow", "black", "purple")
SHAPES = ("square", "circle", "triangle")
KINDS = [(color, shape) for shape in SHAPES for color in COLORS]
TEMPLATES = ("a {color} {shape}.", "there is a {color} {shape} on a wall.", "the {shape} is {color}.")

CONVOLUTIONAL = EfficientNetLiteConfig(
    image_size=32, stem_channels=8, head_channels=48, blocks=((1, 3, 1, 1, 8), (2, 3, 2, 4, 16))
)
VISION_TRANSFORMER = VisionTransformerConfig(image_size=32, patch_size=8, layers=2, width=32, head_width=16)


def drawing(color: str, shape: str, seed: int) -> bytes:
    """A PNG of 40 x 32 pixels, the shape somewhere on a light wall."""
    rng = random.Random(f"{color}/{shape}/{seed}")
    picture = Image.new("RGB", (40, 32), (rng.randint(215, 255),) * 3)
    left, top = rng.randint(2, 18), rng.randint(2, 10)
    pen = ImageDraw.Draw(picture)
    if shape == "square":
        pen.rectangle((left, top, left + 18, top + 18), fill=color)
    elif shape == "circle":
        pen.ellipse((left, top, left + 18, top + 18), fill=color)
    else:
        pen.polygon([(left, top + 18), (left + 9, top), (left + 18, top + 18)], fill=color)
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def captioned(count: int, *, first: int = 0) -> list[CaptionedImage]:
    """So many pictures, the kinds in turn, each with three captions."""
    images = []
    for number in range(first, first + count):
        color, shape = KINDS[number % len(KINDS)]
        captions = tuple(template.format(color=color, shape=shape) for template in TEMPLATES)
        images.append(CaptionedImage(drawing(color, shape, number), f"{color}-{shape}-{number}.png", captions))
    return images


def write_csv(folder: Path, images: list[CaptionedImage]) -> Path:
    """The pictures as files, and a CSV of their captions."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["filepath,title"]
    for image in images:
        assert isinstance(image.image, bytes)
        (folder / image.key).write_bytes(image.image)
        rows += [f"{image.key},{caption}" for caption in image.captions]
    file = folder / "captions.csv"
    file.write_text("\n".join(rows) + "\n")
    return file


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return train_tokenizer([caption for image in captioned(18) for caption in image.captions], vocab_size=320)


@pytest.fixture(scope="session")
def class_names() -> ClassNames:
    """The 18 kinds of drawings as classes, their color and their shape as the words above."""
    return ClassNames(
        wnids=[f"n{number:08d}" for number in range(len(KINDS))],
        names=[(f"{color} {shape}", f"{shape} in {color}") for color, shape in KINDS],
        hypernyms=[(f"{color} thing", shape, "object") for color, shape in KINDS],
    )


StartFactory = Callable[..., StartingPoint]


@pytest.fixture(scope="session")
def new_start(tokenizer: Tokenizer) -> StartFactory:
    """new_start(convolutional=True): the same fresh weights every time."""

    def build(*, convolutional: bool = True) -> StartingPoint:
        config = CoCaConfig(
            embed_dim=24,
            image=CONVOLUTIONAL if convolutional else VISION_TRANSFORMER,
            pooler=PoolerConfig(kind="parallel", queries=4, heads=4),
            text=TextConfig(context_length=24, vocab_size=tokenizer.vocab_size, width=32, heads=2, layers=1),
            multimodal=MultimodalConfig(layers=1, heads=2),
        )
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = CoCa(config)
            classifier = Classifier(torch.randn(len(KINDS), config.image.width), torch.zeros(len(KINDS)))
        preprocess = PreprocessConfig(image_size=32, resize_mode="squash")
        return StartingPoint(model, tokenizer, preprocess, classifier, {"preset": "toy"})

    return build


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, new_start: StartFactory) -> Path:
    """An untrained model in a folder."""
    return save_untrained(new_start(), tmp_path_factory.mktemp("models") / "untrained")


@pytest.fixture(scope="session")
def transformer_folder(tmp_path_factory: pytest.TempPathFactory, new_start: StartFactory) -> Path:
    """An untrained model whose image encoder is a vision transformer."""
    return save_untrained(new_start(convolutional=False), tmp_path_factory.mktemp("models") / "vit")


def save_untrained(start: StartingPoint, folder: Path) -> Path:
    save_model_folder(
        folder,
        start.model.state_dict(),
        config=start.model.config,
        preprocess=start.preprocess,
        tokenizer=start.tokenizer,
        provenance={},
    )
    return folder


TOY = TrainingConfig().changed(
    epochs=4,
    batch_size=6,
    captions_per_image=2,
    labelled_per_step=3,
    frozen_epochs=2,
    frozen_blocks=1,
    encoder_learning_rate=1e-3,
    warmup=0.1,
    ema_decay=0.9,
    names_per_step=10,
    dropout=0.1,
    min_area=0.8,
    flip=True,
    color=0.1,
    precision="float32",
    validations=4,
    checkpoint_minutes=1e9,
)


@dataclass(frozen=True)
class Runs:
    """Training runs that differ in nothing but what a test names; 16 steps, the encoder is unfrozen after 8."""

    new_start: StartFactory
    class_names: ClassNames

    def trainer(
        self,
        out: Path,
        *,
        config: TrainingConfig = TOY,
        progress: Callable[[TrainingProgress], None] | None = None,
        start: StartingPoint | None = None,
        images: list[CaptionedImage] | None = None,
        held_out: int = 5,
        names: bool = True,
    ) -> Trainer:
        start = start or self.new_start()
        drawings = captioned(12, first=100)
        classes = [(100 + number) % len(KINDS) for number in range(12)]
        labelled = LabelledImages([image.image for image in drawings], classes, self.class_names.names)
        data = TrainingData(
            [Source(images or captioned(24), 1.0)],
            start.tokenizer,
            Preprocess(start.preprocess),
            start.model.config.text.context_length,
            labelled if names else None,
        )
        assert start.classifier is not None
        return Trainer(
            start,
            data,
            config,
            out,
            held_out=captioned(held_out, first=200),
            teacher=NameTeacher(start.model, start.classifier, self.class_names) if names else None,
            progress=progress,
            device="cpu",
        )

    def plain(self, out: Path, **changes: object) -> Trainer:
        """A run without names, without validation, of few steps."""
        config = TOY.changed(**{"epochs": 1.0, "frozen_epochs": 0.0, **changes})  # type: ignore[arg-type]
        return self.trainer(out, config=config, held_out=0, names=False)


@pytest.fixture(scope="session")
def runs(new_start: StartFactory, class_names: ClassNames) -> Runs:
    return Runs(new_start, class_names)


@pytest.fixture(scope="session")
def drawings() -> list[CaptionedImage]:
    """One picture of each of the 18 kinds."""
    return captioned(18)


@pytest.fixture(scope="session")
def more_drawings() -> Callable[..., list[CaptionedImage]]:
    """more_drawings(count, first=0): pictures of the kinds in turn, three captions each."""
    return captioned


@pytest.fixture(scope="session")
def csv_of() -> Callable[[Path, list[CaptionedImage]], Path]:
    """csv_of(folder, images): the pictures as files there, and a CSV of their captions."""
    return write_csv
