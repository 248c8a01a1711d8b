"""What a training job reads: sources of captioned pictures, and the pictures set aside from them.

Receives paths; hands on `TrainingData` and held-out pictures. Knows nothing about how a model is trained.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cocasearch.captioned_data import CaptionedData, CaptionedImage, read_captioned_data, unite_copies
from cocasearch.images.transforms import Preprocess
from cocasearch.training.config import TrainingConfig
from cocasearch.training.data.dataset import LabelledImages, Source, TrainingData
from cocasearch.training.data.splitting import LOOK_ALIKE, Excluded, find_alike, hold_out, keep_apart
from cocasearch.training.model.starting_point import StartingPoint
from cocasearch.training.run_folder.run_data import RunData


@dataclass(frozen=True)
class DataListener:
    """Called while data are prepared.

    Args:
        read: Gets each source as soon as it is read.
        excluded: Gets what is not trained on because it is measured on.
        look_alike: Gets how many pictures are trained on though they are nearly the same as one that is measured on,
            since the whole kind looks alike.
        listed: Gets the file that names all that is left out or put together, and how much that is.
        progress: Gets how far fetching and comparing are: what is done now, how much is done, how much there is.
        resumed: Gets the step after which a run that was stopped goes on.
    """

    read: Callable[[CaptionedData], None] = lambda _data: None
    excluded: Callable[[Excluded], None] = lambda _excluded: None
    look_alike: Callable[[int], None] = lambda _count: None
    listed: Callable[[Path, int], None] = lambda _file, _count: None
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None
    resumed: Callable[[int], None] = lambda _step: None


@dataclass(frozen=True)
class Columns:
    """Which columns of a data file hold what, where their names are unusual, and who hears of what is read."""

    image_key: str | None = None
    caption_key: str | None = None
    label_template: str | None = None
    listener: DataListener = dataclasses.field(default_factory=DataListener)

    def read(self, source: str | Path, *, beside: bool = False) -> CaptionedData:
        """The captioned pictures of one source, each once; what was left out of it goes to the listener.

        Args:
            source: What `read_captioned_data` reads.
            beside: It is other data than those whose columns these are, and may have the usual ones.
        """
        data = unite_copies(
            read_captioned_data(
                source,
                image_key=self.image_key,
                caption_key=self.caption_key,
                label_template=self.label_template,
                or_usual=beside,
                progress=self.listener.progress,
            )
        )
        self.listener.read(data)
        return data


def split(
    sources: Sequence[CaptionedData],
    validation: str | Path | None,
    columns: Columns,
    config: TrainingConfig,
    run_data: RunData,
) -> tuple[list[list[CaptionedImage]], list[CaptionedImage]]:
    """What is trained on of each source, and what is measured on: other data, or a part of the first source.

    Raises:
        CocaSearchError: The run goes on and the data are others than when it began, or nothing is left of a source.
    """
    measured = [columns.read(validation, beside=True)] if validation is not None else []
    run_data.refuse_changed([*sources, *measured])
    images = [source.images for source in sources]
    if measured:
        held_out = measured[0].images
    else:
        images[0], held_out = hold_out(images[0], config.data.held_out, seed=config.run.seed)
    excluded = None
    if held_out:
        near, together = not config.data.keep_near, [image for source in images for image in source]
        alike = run_data.compared(
            together,
            held_out,
            near,
            lambda: find_alike(together, held_out, near=near, progress=columns.listener.progress),
        )
        images, excluded = keep_apart(images, held_out, alike, most_alike=LOOK_ALIKE)
        if excluded.alike:
            columns.listener.look_alike(excluded.alike)
        columns.listener.excluded(excluded)
    columns.listener.listed(*run_data.list_excluded([*sources, *measured], excluded))
    return images, held_out


def training_data(start: StartingPoint, sources: list[Source], labelled: LabelledImages | None = None) -> TrainingData:
    """The sources as this model reads them."""
    return TrainingData(
        sources, start.tokenizer, Preprocess(start.preprocess), start.model.config.text.context_length, labelled
    )
