"""Linear probe: how well a linear classifier of frozen embeddings finds labels, beside the model's own words for them.

It is a multinomial logistic regression with an L2 penalty on the weights, not on the biases, by L-BFGS in float64. The
strength of the penalty is chosen on a part of the training rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cocasearch.evaluation.comparison import Interval, share_interval

PENALTIES = tuple(10.0**exponent for exponent in range(-7, 1))
TOP = 5
_CHOSEN_ON = 5  # one in so many training rows
_ITERATIONS = 200

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Accuracy:
    """The share of labels that are found, from 0 to 1.

    Attributes:
        top_1: The share of rows whose best class is right; `interval` is its 95 % interval.
        top_5: The share whose right class is among the five best.
        balanced: The mean over classes of the share of their rows that is right, in which all classes count alike.
    """

    top_1: float
    interval: Interval
    top_5: float
    balanced: float
    balanced_interval: Interval

    def to_dict(self) -> dict[str, object]:
        """The figures as `--json` prints them."""
        return {
            "accuracy": self.top_1,
            "accuracy_95": list(self.interval),
            "top_5": self.top_5,
            "balanced_accuracy": self.balanced,
            "balanced_accuracy_95": list(self.balanced_interval),
        }


@dataclass(frozen=True)
class Probe:
    """A linear classifier of embeddings (N, E) into C classes: `weights` (C, E), `biases` (C,)."""

    weights: Tensor
    biases: Tensor
    penalty: float

    def scores(self, embeddings: Floats) -> npt.NDArray[np.float64]:
        """Class scores (N, C)."""
        return (torch.from_numpy(embeddings).double() @ self.weights.T + self.biases).numpy()


def fit_probe(embeddings: Floats, labels: Integers, n_classes: int, *, seed: int = 0) -> Probe:
    """The classifier fitted to all rows, with the penalty that does best on a fifth of them.

    Args:
        embeddings: The rows (N, E).
        labels: Their classes (N,), counted from 0.
        n_classes: Number of classes C.
        seed: Random seed of the choice of the fifth.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen_on, rest = np.split(order, [len(labels) // _CHOSEN_ON])
    penalty = PENALTIES[len(PENALTIES) // 2]
    if len(chosen_on):
        losses = {}
        for candidate in PENALTIES:
            probe = fit(embeddings[rest], labels[rest], n_classes, candidate)
            scores = torch.from_numpy(probe.scores(embeddings[chosen_on]))
            losses[candidate] = float(F.cross_entropy(scores, torch.from_numpy(labels[chosen_on])))
        penalty = min(losses, key=lambda candidate: losses[candidate])
    return fit(embeddings, labels, n_classes, penalty)


def fit(embeddings: Floats, labels: Integers, n_classes: int, penalty: float) -> Probe:
    """The classifier that minimises mean cross-entropy + penalty / 2 * (sum of squared weights)."""
    rows, targets = torch.from_numpy(embeddings).double(), torch.from_numpy(labels)
    weights = torch.zeros(n_classes, rows.shape[1], dtype=torch.float64, requires_grad=True)
    biases = torch.zeros(n_classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights, biases],
        max_iter=_ITERATIONS,
        tolerance_grad=1e-8,
        tolerance_change=1e-12,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(rows @ weights.T + biases, targets) + penalty / 2 * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return Probe(weights.detach(), biases.detach(), penalty)


def accuracy(scores: npt.NDArray[np.floating], labels: Integers, *, seed: int = 0) -> Accuracy:
    """The accuracy of class scores (N, C) for labels (N,). A label of -1 is of no known class, and never found.

    Ties are counted against the scores.
    """
    right = np.where(labels >= 0, scores[np.arange(len(labels)), labels], -np.inf)
    ranks = (scores >= right[:, None]).sum(axis=1)
    hits = (labels >= 0) & (ranks <= 1)
    balanced, interval = _balanced(hits, labels, seed)
    near = (labels >= 0) & (ranks <= TOP)
    return Accuracy(float(hits.mean()), share_interval(hits, seed=seed), float(near.mean()), balanced, interval)


def _balanced(hits: npt.NDArray[np.bool_], labels: Integers, seed: int) -> tuple[float, Interval]:
    """The mean of the classes' shares, and its interval, for which rows are drawn within their classes."""
    generator = np.random.default_rng(seed)
    classes = [hits[labels == label] for label in np.unique(labels)]
    value = float(np.mean([of_class.mean() for of_class in classes]))
    drawn = np.mean(
        [generator.binomial(len(of_class), of_class.mean(), size=2000) / len(of_class) for of_class in classes], axis=0
    )
    low, high = np.percentile(drawn, (2.5, 97.5))
    return value, (float(low), float(high))


def class_vectors(text_embeddings: Floats, n_templates: int) -> Floats:
    """A unit row for each class (C, E), the mean of its texts' rows (C * n_templates, E), class by class."""
    means = text_embeddings.reshape(-1, n_templates, text_embeddings.shape[1]).mean(axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def verdict(probe: Accuracy, zero_shot: Accuracy, counts: Sequence[int]) -> str:
    """A sentence on what the figures show; `counts` are the training rows of each class."""
    guess = max(counts) / sum(counts)
    if probe.interval[0] <= guess:
        return (
            f"a linear classifier cannot tell these labels apart better than always naming the commonest "
            f"({100 * guess:.1f} %)"
        )
    if zero_shot.interval[0] > probe.interval[1]:
        return "the model knows these labels by their words better than a linear classifier learns them from the photos"
    if probe.interval[0] > zero_shot.interval[1]:
        return (
            f"the embeddings hold these labels ({100 * probe.top_1:.1f} % right), and the model's words say less "
            f"({100 * zero_shot.top_1:.1f} %): fine-tuning may bring them out"
        )
    return (
        f"the embeddings hold these labels ({100 * probe.top_1:.1f} % right), and words find them about as well "
        f"({100 * zero_shot.top_1:.1f} %)"
    )
