"""The outcome of each image of a captioned set, of which the figures of a report are means.

Two numbers per image and figure are enough to compute the figures again for any choice of the images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cocasearch.evaluation.caption_metrics import cider_d_of_each, rouge_l_of_each
from cocasearch.evaluation.retrieval_metrics import RECALL_AT
from cocasearch.evaluation.right_captions import is_right
from cocasearch.text.words import words_of

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shares:
    """One figure as a ratio of sums over I images: sum of `gained` (I,) over sum of `possible` (I,)."""

    gained: _Floats
    possible: _Floats

    @property
    def value(self) -> float:
        """The figure for all images together."""
        return float(self.gained.sum() / self.possible.sum())


@dataclass(frozen=True)
class ImageOutcomes:
    """The figures of a report by name, each as the shares of its images; `keys` names the I images in order."""

    keys: tuple[str, ...]
    figures: dict[str, Shares]


def retrieval_figures(text_ranks: _Integers, image_ranks: _Integers, pairs: _Integers) -> dict[str, Shares]:
    """Recall both ways, by image.

    A text that is right for n images belongs to each of them with a share of 1/n, so that all images together give
    recall over texts.

    Args:
        text_ranks: The rank (T,) of each text's best right image.
        image_ranks: The rank (I,) of each image's best right text.
        pairs: Pairs (P, 2) of an image and a text that is right for it.
    """
    images, texts = pairs[:, 0], pairs[:, 1]
    share = 1.0 / np.bincount(texts, minlength=len(text_ranks))[texts]
    possible = np.bincount(images, weights=share, minlength=len(image_ranks)).astype(np.float64)
    figures = {}
    for k in RECALL_AT:
        gained = np.bincount(images, weights=share * (text_ranks[texts] <= k), minlength=len(image_ranks))
        figures[f"text to image recall@{k}"] = Shares(gained.astype(np.float64), possible)
    for k in RECALL_AT:
        hits = (image_ranks <= k).astype(np.float64)
        figures[f"image to text recall@{k}"] = Shares(hits, np.ones(len(hits)))
    return figures


def caption_figures(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Shares]:
    """CIDEr-D, ROUGE-L, and the shares of captions that are right or equal to a reference, by image.

    Hallucination is not among them: captions that say less and less would count as better and better.
    """
    written = [words_of(text) for text in captions]
    expected = [[words_of(text) for text in texts] for texts in references]
    scores = {
        "caption CIDEr-D": cider_d_of_each(written, expected),
        "caption ROUGE-L": rouge_l_of_each(written, expected),
        "caption right": [float(is_right(*pair)) for pair in zip(captions, references, strict=True)],
        "caption word for word": [float(words in texts) for words, texts in zip(written, expected, strict=True)],
    }
    return {name: Shares(np.array(values), np.ones(len(values))) for name, values in scores.items()}
