"""What a training made a model forget, measured on a guard: captioned pictures of a kind that it knew before.

Without a guard of the user's it is the sample photographs of the package, of everyday things of many kinds.
"""

from dataclasses import dataclass
from pathlib import Path

from cocasearch.captioned_data import CaptionedImage, read_captioned_data
from cocasearch.counting import pluralize
from cocasearch.errors import CocaSearchError, UnreadableImage
from cocasearch.evaluation.benchmark import EvaluationReport, Examination
from cocasearch.evaluation.comparison import Comparison, compare
from cocasearch.images.decoding import read_image
from cocasearch.paths import sample_captions_file
from cocasearch.training.data.training_sources import Columns

_SHOWN = ("text to image recall@1", "image to text recall@1", "caption right")


@dataclass(frozen=True)
class Guard:
    """Captioned pictures that show what is forgotten, and what to call them."""

    name: str
    images: list[CaptionedImage]

    @classmethod
    def read(cls, data: str | Path | None, columns: Columns) -> "Guard":
        """The user's own, or the sample photographs for None.

        Raises:
            CocaSearchError: The data cannot be read, or not one of their pictures.
        """
        if data is None:
            images = read_captioned_data(sample_captions_file()).images
            return cls(f"{len(images)} everyday photos that come with cocasearch", images)
        images = columns.read(data, beside=True).images
        if not any(map(_is_readable, images)):
            raise CocaSearchError(f"not one of the {len(images)} photos of {data} can be read")
        return cls(f"{pluralize(len(images), 'photo')} of {Path(data).name}", images)


@dataclass(frozen=True)
class Forgetting:
    """A guard measured before and after a training.

    Attributes:
        guard: What the guard is called.
        unlearned: Key and present caption of each picture whose caption was right before and no longer is.
    """

    guard: str
    before: EvaluationReport
    after: EvaluationReport
    comparison: Comparison
    unlearned: list[tuple[str, str]]

    @classmethod
    def between(cls, guard: str, before: Examination, after: Examination, *, seed: int) -> "Forgetting":
        """What became of the same guard; the same seed gives the same intervals."""
        was, is_now = (side.outcomes.figures["caption right"].gained > 0 for side in (before, after))
        captions = zip(before.outcomes.keys, after.captions, was & ~is_now, strict=True)
        unlearned = [(key, caption) for key, caption, is_lost in captions if is_lost]
        comparison = compare(before.outcomes, after.outcomes, seed=seed)
        return cls(guard, before.report, after.report, comparison, unlearned)

    def sentence(self) -> str:
        """What it knew before and what it knows now, in plain words."""
        figures = [self.comparison[name] for name in _SHOWN]
        changes = [
            f"{figure.name} {figure.before:.3f} to {figure.after:.3f}"
            + (f" ({figure.verdict})" if figure.verdict != "no difference" else "")
            for figure in figures
        ]
        return f"what it knew before, on {self.guard}: {', '.join(changes)}"

    def to_dict(self) -> dict[str, object]:
        """All of it, as `--json` prints it."""
        return {
            "data": self.guard,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "comparison": [figure.to_dict() for figure in self.comparison.figures],
            "unlearned": [{"path": path, "caption": caption} for path, caption in self.unlearned],
        }


def _is_readable(image: CaptionedImage) -> bool:
    try:
        read_image(image.image, min_side=1)
    except UnreadableImage:
        return False
    return True
