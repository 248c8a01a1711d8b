"""Captioning of any number of image files, batch by batch, into a sink."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from cocasearch.errors import UnreadableImage
from cocasearch.images.batching import DecodedBatch, decode_batches
from cocasearch.images.decode_limits import MAX_MEGAPIXELS
from cocasearch.images.discovery import ImageFile
from cocasearch.inference.caption_confidence import is_sure
from cocasearch.inference.caption_files.caption_sinks import CaptionRecord, CaptionSink
from cocasearch.inference.describer import ImageDescriber
from cocasearch.inference.generation.caption_options import CaptionOptions
from cocasearch.inference.loaded_model import LoadedModel


@dataclass
class CaptionReport:
    """The result of a run.

    Attributes:
        written: Number of captions that went to the sink.
        kept: Number of images that had a caption.
        skipped_unsure: Number of unsure captions that did not go to the sink.
        failed: Images that could not be read.
    """

    written: int = 0
    kept: int = 0
    skipped_unsure: int = 0
    failed: list[UnreadableImage] = field(default_factory=list)


class FileCaptioner:
    """The captioner of image files, with one model and one set of options.

    Args:
        loaded: The model.
        options: How captions are written.
        batch_size: Number of images in one pass of the model.
        max_megapixels: Limit above which images count as unreadable.
        only_sure: Whether captions that are more likely wrong than right are skipped.
        prefix: Text before each finished caption, which the model does not see.
        suffix: Text after it.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        options: CaptionOptions,
        *,
        batch_size: int = 32,
        max_megapixels: float = MAX_MEGAPIXELS,
        only_sure: bool = False,
        prefix: str = "",
        suffix: str = "",
    ) -> None:
        self._describer = ImageDescriber(loaded, options)
        self._preprocess = loaded.preprocess
        self._batch_size = batch_size
        self._max_megapixels = max_megapixels
        self._only_sure = only_sure
        self._model = f"{loaded.name}@{loaded.fingerprint}"
        self._prefix, self._suffix = prefix, suffix
        around = {name: words for name, words in (("prefix", prefix), ("suffix", suffix)) if words}
        self._decoding = json.dumps(loaded.complete(options).to_dict() | around)

    def caption(
        self, files: Sequence[ImageFile], sink: CaptionSink, *, progress: Callable[[int, int], None] | None = None
    ) -> CaptionReport:
        """Caption the files that the sink has none for, and complete the sink if it has any.

        Args:
            files: The images.
            sink: The sink of the captions, which come in the order of the files.
            progress: Called after each batch with the images done and the images to do.
        """
        wanted = [file for file in files if not sink.has(file.absolute, self._model, self._decoding)]
        report = CaptionReport(kept=len(files) - len(wanted))
        batches = decode_batches(
            wanted,
            lambda file: file.absolute,
            self._preprocess,
            batch_size=self._batch_size,
            max_megapixels=self._max_megapixels,
        )
        with closing(batches):  # however the loop ends, the decoding threads end with it
            for batch in batches:
                report.failed += [error for _, error in batch.failures]
                for record in self._records(batch):
                    if self._only_sure and not is_sure(record.caption_confidence):
                        report.skipped_unsure += 1
                        continue
                    sink.add(record)
                    report.written += 1
                if progress:
                    progress(report.written + report.skipped_unsure + len(report.failed), len(wanted))
        if report.written or report.kept:
            sink.finish()
        return report

    def _records(self, batch: DecodedBatch[ImageFile]) -> list[CaptionRecord]:
        if not batch.items:
            return []
        return [
            CaptionRecord(
                path=str(file.absolute),
                caption=joined(self._prefix, joined(description.caption or "", self._suffix)),
                caption_score=description.caption_score,
                caption_logprob=description.caption_logprob,
                model=self._model,
                decoding=self._decoding,
                caption_confidence=description.caption_confidence,
            )
            for file, description in zip(batch.items, self._describer.describe(batch.pixels), strict=True)
        ]


def joined(first: str, second: str) -> str:
    """Two pieces of a caption as one, with a space where one belongs, and no full stop before a comma or semicolon."""
    if second.startswith((",", ";")):
        first = first.removesuffix(".")
    is_apart = not (first and second) or first[-1].isspace() or second[0].isspace() or second[0] in ",.;:!?"
    return first + second if is_apart else f"{first} {second}"
