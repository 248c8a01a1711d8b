"""`confidence.json` of a model folder, which says how far the captions of its weights can be trusted.

It is no part of the model, whose fingerprint is the same with and without it. It names the fingerprint that it was
fitted to, so that it is never used with other weights.
"""

import json
import math
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cocasearch.atomic_files import write_text
from cocasearch.checkpoints.disk_space import writing
from cocasearch.checkpoints.model_files import CONFIDENCE_FILE, MOST_CONFIG_BYTES
from cocasearch.errors import CocaSearchError, CocaSearchWarning
from cocasearch.json_values import build, read_json, shown

FORMAT = 1
_FARTHEST = 1e9  # of a number from 0; a scale may be as near as one part of it
FEATURES = ("cosine", "mean_logprob", "agreement")
"""What confidence is computed from, in this order; see `inference.caption_confidence`."""

Triple = tuple[float, float, float]
"""One number for each feature."""


@dataclass(frozen=True)
class ReliabilityBin:
    """A range of confidence, and how many of its captions were right.

    Attributes:
        low: The lowest confidence in the range; `high` is no longer in it, except 1.
        n_photos: Number of photos with a caption of such confidence.
        confidence: Their mean confidence; None without photos.
        share_right: The share of them whose caption is right; None without photos.
    """

    low: float
    high: float
    n_photos: int
    confidence: float | None
    share_right: float | None


@dataclass(frozen=True)
class ConfidenceModel:
    """A logistic regression that gives the probability that a caption is right from its features.

    Attributes:
        intercept: Log-odds of a caption whose features are all average.
        coefficients: What one standard deviation of each of FEATURES adds to the log-odds.
        means: Mean of each feature on the photos that it was fitted to.
        scales: Standard deviation of each feature there, above 0.
        options: The options with which those captions were written, by name.
        fingerprint: Fingerprint of the model that wrote them.
        n_photos: Number of those photos.
        data_fingerprint: Fingerprint of the captions that people wrote for them.
        reliability: How often captions were right on photos that were held out of the fit.
    """

    intercept: float
    coefficients: Triple
    means: Triple
    scales: Triple
    options: dict[str, Any]
    fingerprint: str
    n_photos: int
    data_fingerprint: str
    reliability: tuple[ReliabilityBin, ...]

    def probability(self, features: Sequence[float]) -> float:
        """The probability, from 0 to 1, that a caption with these FEATURES is right."""
        columns = zip(features, self.coefficients, self.means, self.scales, strict=True)
        log_odds = self.intercept + sum(weight * (value - mean) / scale for value, weight, mean, scale in columns)
        return 0.5 * (1 + math.tanh(log_odds / 2))  # the logistic function, which cannot overflow so

    def to_dict(self) -> dict[str, Any]:
        """The content of `confidence.json`."""
        return {"format": FORMAT, "features": list(FEATURES), **asdict(self)}


def read_confidence(folder: Path, fingerprint: str) -> ConfidenceModel | None:
    """The confidence model in a model folder; None if the model was never calibrated.

    Args:
        folder: The model folder.
        fingerprint: Fingerprint of the model in it.

    Raises:
        CocaSearchError: The file cannot be read, is damaged or of another format, or was fitted to other weights.
    """
    file = folder / CONFIDENCE_FILE
    try:
        described = read_json(file, MOST_CONFIG_BYTES)
        if described["format"] != FORMAT:
            raise _useless(file, f"has format {shown(described['format'])}; this version reads {FORMAT}")
        confidence = _from_dict(described)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _useless(file, f"cannot be read: {(error.strerror or type(error).__name__).lower()}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _useless(file, "is damaged") from error
    if confidence.fingerprint != fingerprint:
        raise _useless(file, "was fitted to other weights than those beside it")
    return confidence


def usable_confidence(folder: Path, fingerprint: str) -> ConfidenceModel | None:
    """The same, but None with a warning if the file cannot be used: captions then have no confidence."""
    try:
        return read_confidence(folder, fingerprint)
    except CocaSearchError as error:
        message = f"{error}, so captions have no confidence; {error.hint}"
        warnings.warn(message, CocaSearchWarning, stacklevel=3)
        return None


def write_confidence(folder: Path, confidence: ConfidenceModel) -> None:
    """Write `confidence.json` to a model folder in one step, replacing an older one.

    Raises:
        CocaSearchError: The folder cannot be written to.
    """
    with writing(folder / CONFIDENCE_FILE, _own_copy(folder)):
        write_text(folder / CONFIDENCE_FILE, json.dumps(confidence.to_dict(), indent=2) + "\n")


def refuse_unwritable(folder: Path) -> None:
    """Make sure, before hours of work, that `confidence.json` can be written to a model folder.

    Raises:
        CocaSearchError: It cannot.
    """
    trial = folder / f".{CONFIDENCE_FILE}.trial"
    with writing(folder / CONFIDENCE_FILE, _own_copy(folder)):
        trial.touch()
        trial.unlink()


def _own_copy(folder: Path) -> str:
    return f"calibrate a copy of your own: cp -r {shlex.quote(str(folder))} NEW_FOLDER"


def _useless(file: Path, what: str) -> CocaSearchError:
    return CocaSearchError(f"{file} {what}", hint="write it anew with: cocasearch models calibrate MODEL DATA")


def _from_dict(described: dict[str, Any]) -> ConfidenceModel:
    """The confidence model from its JSON. Raises ValueError, KeyError or TypeError if that makes no sense."""
    if described["features"] != list(FEATURES):
        raise ValueError("other features")
    named = {name: value for name, value in described.items() if name not in ("format", "features")}
    confidence = build(ConfidenceModel, named)
    numbers = (confidence.intercept, *confidence.coefficients, *confidence.means)
    if not all(abs(number) <= _FARTHEST for number in numbers) or not all(
        1 / _FARTHEST <= scale <= _FARTHEST for scale in confidence.scales
    ):
        raise ValueError("numbers that no fit gives")
    return confidence
