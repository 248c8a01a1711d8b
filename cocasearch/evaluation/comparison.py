"""Comparison of two measurements of the same images: what changed, and how sure that is.

It is a paired bootstrap (Efron 1979; Koehn 2004): images are drawn with replacement many times, the same ones for both
models, and the figures computed anew; the middle 95 % of the differences are the interval. Intervals hold for other
images of the same kind, not for other trainings.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cocasearch.counting import pluralize
from cocasearch.evaluation.outcomes import ImageOutcomes, Shares

RESAMPLES = 2000
FEWEST = 6  # images: five that all change for the better do so by chance once in 16 times, six once in 32 (sign test)
_AT_ONCE = 1 << 22  # drawn counts held at once
_PERCENTILES = (2.5, 97.5)

Interval = tuple[float, float]
Verdict = Literal["better", "worse", "no difference"]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ComparedFigure:
    """A figure before and after, each with its 95 % interval (None for too few images); higher is better.

    The interval of the difference reaches 0 wherever fewer than `FEWEST` images changed.
    """

    name: str
    before: float
    before_interval: Interval | None
    after: float
    after_interval: Interval | None
    difference_interval: Interval | None

    @property
    def difference(self) -> float:
        """The figure after minus the figure before."""
        return self.after - self.before

    @property
    def verdict(self) -> Verdict:
        """Whether the images show a change, that is, whether the interval of the difference excludes 0."""
        low, high = self.difference_interval or (0.0, 0.0)
        return "better" if low > 0 else "worse" if high < 0 else "no difference"

    def to_dict(self) -> dict[str, object]:
        """The figure as `--json` prints it."""
        return {
            "figure": self.name,
            "before": self.before,
            "before_95": _as_list(self.before_interval),
            "after": self.after,
            "after_95": _as_list(self.after_interval),
            "difference": self.difference,
            "difference_95": _as_list(self.difference_interval),
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Comparison:
    """The figures that both measurements have, of `n_images` images."""

    n_images: int
    figures: tuple[ComparedFigure, ...]

    def __getitem__(self, name: str) -> ComparedFigure:
        return next(figure for figure in self.figures if figure.name == name)

    @property
    def anything_gained(self) -> bool:
        """Whether at least one figure went up, if only by chance."""
        return any(figure.difference > 0 for figure in self.figures)

    @property
    def proves_nothing(self) -> bool:
        """Whether there are too few images to tell a change from chance."""
        return self.n_images < FEWEST

    def sentences(self) -> list[str]:
        """Sentences on what got better, what got worse, and what the images cannot show."""
        if self.proves_nothing:
            photos = pluralize(self.n_images, "held-out photo proves", "held-out photos prove")
            return [f"{photos} nothing: of fewer than {FEWEST}, all may change for the better by chance"]
        sentences = []
        for verdict in ("better", "worse"):
            names = [_changed(figure) for figure in self.figures if figure.verdict == verdict]
            sentences += [f"{verdict}: {', '.join(names)}"] if names else []
        unclear = [figure.name for figure in self.figures if figure.verdict == "no difference"]
        if unclear:
            sentences.append(
                f"no difference that the {self.n_images:,} held-out photos could show: {', '.join(unclear)}"
            )
        return sentences


def compare(before: ImageOutcomes, after: ImageOutcomes, *, seed: int = 0) -> Comparison:
    """The comparison of two models on the same images; the same seed gives the same intervals.

    Raises:
        ValueError: They are not the same images.
    """
    if before.keys != after.keys:
        raise ValueError("only measurements of the same images can be compared")
    names = [name for name in before.figures if name in after.figures]
    sides = [[outcomes.figures[name] for name in names] for outcomes in (before, after)]
    drawn = _resample(sides[0] + sides[1], len(before.keys), seed)
    earlier, later = drawn[:, : len(names)], drawn[:, len(names) :]
    is_few = len(before.keys) < FEWEST
    figures = [
        ComparedFigure(
            name,
            was.value,
            None if is_few else _interval(earlier[:, at]),
            now.value,
            None if is_few else _interval(later[:, at]),
            None if is_few else _difference(was, now, later[:, at] - earlier[:, at]),
        )
        for at, (name, was, now) in enumerate(zip(names, *sides, strict=True))
    ]
    return Comparison(len(before.keys), tuple(figures))


def share_interval(hits: npt.NDArray[np.bool_], *, seed: int = 0) -> Interval:
    """The bootstrap's 95 % interval of the share of hits (I,)."""
    shares = Shares(hits.astype(np.float64), np.ones(len(hits)))
    return _interval(_resample([shares], len(hits), seed)[:, 0])


def _resample(figures: Iterable[Shares], n_images: int, seed: int) -> _Floats:
    """Each figure for each of many random choices of the images: (RESAMPLES, figures)."""
    figures = list(figures)
    gained = np.stack([figure.gained for figure in figures], axis=1)
    possible = np.stack([figure.possible for figure in figures], axis=1)
    generator = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // n_images)
    rows = []
    for start in range(0, RESAMPLES, at_once):
        drawn = generator.multinomial(n_images, [1 / n_images] * n_images, size=min(at_once, RESAMPLES - start))
        rows.append((drawn @ gained) / (drawn @ possible))
    return np.concatenate(rows)


def _interval(values: _Floats) -> Interval:
    low, high = np.percentile(values, _PERCENTILES)
    return float(low), float(high)


def _difference(before: Shares, after: Shares, drawn: _Floats) -> Interval:
    low, high = _interval(drawn)
    changed = len(before.gained) - int(np.isclose(before.gained, after.gained).sum())
    return (low, high) if changed >= FEWEST else (min(low, 0.0), max(high, 0.0))


def _as_list(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _changed(figure: ComparedFigure) -> str:
    low, high = figure.difference_interval or (0.0, 0.0)
    return f"{figure.name} {figure.before:.3f} to {figure.after:.3f} ({low:+.3f} to {high:+.3f})"
