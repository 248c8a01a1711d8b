"""Calibration of a model's confidence in its captions, on captioned images that it was not trained on.

It is a logistic regression of the three features of `inference.caption_confidence` against `is_right`. How good it is
shows on held-out images: each of two halves is scored by the fit to the other. The fit that is kept is to both.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from cocasearch.captioned_data import CaptionedImage
from cocasearch.checkpoints.confidence_file import ConfidenceModel, ReliabilityBin
from cocasearch.errors import CocaSearchError
from cocasearch.evaluation.described_images import describe_images
from cocasearch.evaluation.hallucination import Hallucination, hallucination, named_objects
from cocasearch.evaluation.logistic_regression import LogisticFit, fit_logistic
from cocasearch.evaluation.right_captions import is_right
from cocasearch.inference.caption_confidence import is_sure
from cocasearch.inference.generation.caption_options import DEFAULT_OPTIONS, CaptionOptions
from cocasearch.inference.generation.captioner import Captioner
from cocasearch.inference.loaded_model import LoadedModel

LEAST_PHOTOS = 100
LEAST_OF_EACH = 10  # right captions, and wrong ones
BINS = 10
_HINT = "give more photos that people have captioned, of the kind that the model knows"

_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Calibration:
    """A fitted confidence model, and its figures on images held out of the fit.

    Attributes:
        confidence: The confidence model, which is stored with the model.
        share_right: The share of captions that are right, 0 to 1.
        share_sure: The share of captions that count as sure, 0 to 1.
        share_right_of_sure: The share of those that are right; None if none is sure.
        calibration_error: Distance of confidence and share right, from 0 to 1, as the mean over the bins of captions.
        sure: How often sure captions name what is not there; None if none is sure.
        others: The same for the captions that are not sure; None if all are.
        unreadable: Key and reason of each image that could not be read.
    """

    confidence: ConfidenceModel
    share_right: float
    share_sure: float
    share_right_of_sure: float | None
    calibration_error: float
    sure: Hallucination | None
    others: Hallucination | None
    unreadable: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, object]:
        """The figures as `models calibrate --json` prints them."""
        return {
            "n_photos": self.confidence.n_photos,
            "n_unreadable": len(self.unreadable),
            "share_right": self.share_right,
            "share_sure": self.share_sure,
            "share_right_of_sure": self.share_right_of_sure,
            "calibration_error": self.calibration_error,
            "reliability": [asdict(row) for row in self.confidence.reliability],
            "hallucination": {
                "sure": asdict(self.sure) if self.sure else None,
                "others": asdict(self.others) if self.others else None,
            },
            "confidence": self.confidence.to_dict(),
        }


def calibrate(
    loaded: LoadedModel,
    data: Sequence[CaptionedImage],
    *,
    options: CaptionOptions = DEFAULT_OPTIONS,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Fit how far the captions that a model writes with one set of options can be trusted.

    Args:
        loaded: The model.
        data: Images with people's captions. It must not have been trained on them, or it would look better than it is.
        options: How captions are written; those with other options will have no confidence.
        batch_size: Number of images in a pass.
        progress: Called after each batch with the images done and the images in all.

    Raises:
        CocaSearchError: There are too few images, too few whose caption is right, or too few whose caption is wrong.
    """
    _refuse_few(len(data))
    captioner = Captioner(loaded)
    described = describe_images(
        loaded, data, lambda pixels: captioner.caption_pixels(pixels, options), batch_size, progress
    )
    captions = described.descriptions
    _refuse_few(len(captions))
    texts, references = [caption.text for caption in captions], [row.captions for row in described.rows]
    right = np.array([is_right(text, truth) for text, truth in zip(texts, references, strict=True)])
    _refuse_one_sided(right)
    features = np.array([[caption.score, caption.mean_logprob, caption.agreement] for caption in captions], float)
    held_out = held_out_probabilities(features, right)
    bins = reliability(held_out, right)
    sure = np.array([is_sure(value) for value in held_out.tolist()])
    named = named_objects(texts, references)
    return Calibration(
        confidence=_confidence(fit_logistic(features, right), loaded, options, references, bins),
        share_right=float(right.mean()),
        share_sure=float(sure.mean()),
        share_right_of_sure=float(right[sure].mean()) if sure.any() else None,
        calibration_error=calibration_error(bins),
        sure=hallucination([named[i] for i in np.flatnonzero(sure)]) if sure.any() else None,
        others=hallucination([named[i] for i in np.flatnonzero(~sure)]) if not sure.all() else None,
        unreadable=tuple(described.unreadable),
    )


def held_out_probabilities(features: _Floats, right: _Bools, *, seed: int = 0) -> _Floats:
    """The probability (N,) of each row, by a fit to the half that it is not in. Both halves have as many right ones.

    Args:
        features: The features (N, F).
        right: Whether each is right (N,), at least two of each kind.
        seed: Random seed of the halves.
    """
    shuffled = np.random.default_rng(seed).permutation(len(right))
    ordered = shuffled[np.argsort(right[shuffled], kind="stable")]
    halves = ordered[::2], ordered[1::2]
    probabilities = np.empty(len(right))
    for here, there in (halves, halves[::-1]):
        probabilities[here] = fit_logistic(features[there], right[there]).probabilities(features[here])
    return probabilities


def reliability(probabilities: _Floats, right: _Bools) -> tuple[ReliabilityBin, ...]:
    """How often captions with (N,) probabilities were right, in BINS ranges of equal width."""
    places = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    rows = []
    for number in range(BINS):
        inside = places == number
        means = (float(probabilities[inside].mean()), float(right[inside].mean())) if inside.any() else (None, None)
        rows.append(ReliabilityBin(number / BINS, (number + 1) / BINS, int(inside.sum()), *means))
    return tuple(rows)


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """The distance of confidence and share right, from 0 to 1: the mean over bins, weighted by their photos."""
    gaps = [
        row.n_photos * abs(row.confidence - row.share_right)
        for row in bins
        if row.confidence is not None and row.share_right is not None
    ]
    return sum(gaps) / sum(row.n_photos for row in bins)


def _confidence(
    fit: LogisticFit,
    loaded: LoadedModel,
    options: CaptionOptions,
    references: Sequence[Sequence[str]],
    bins: tuple[ReliabilityBin, ...],
) -> ConfidenceModel:
    coefficients, means, scales = (
        (float(a), float(b), float(c)) for a, b, c in (fit.coefficients, fit.means, fit.scales)
    )
    people = json.dumps(sorted(sorted(texts) for texts in references))
    return ConfidenceModel(
        intercept=fit.intercept,
        coefficients=coefficients,
        means=means,
        scales=scales,
        options=loaded.complete(options).to_dict(),
        fingerprint=loaded.fingerprint,
        n_photos=len(references),
        data_fingerprint=hashlib.blake2b(people.encode(), digest_size=8).hexdigest(),
        reliability=bins,
    )


def _refuse_few(n_photos: int) -> None:
    if n_photos < LEAST_PHOTOS:
        raise CocaSearchError(
            f"to calibrate takes at least {LEAST_PHOTOS} photos that can be read, and there are {n_photos}",
            hint=_HINT,
        )


def _refuse_one_sided(right: _Bools) -> None:
    n_right, n_wrong = int(right.sum()), int((~right).sum())
    if min(n_right, n_wrong) < LEAST_OF_EACH:
        raise CocaSearchError(
            f"{n_right:,} of {len(right):,} captions are right and {n_wrong:,} wrong; at least {LEAST_OF_EACH} of each "
            "are needed to tell them apart",
            hint=_HINT,
        )
