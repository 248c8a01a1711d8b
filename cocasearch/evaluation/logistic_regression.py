"""Logistic regression, fitted by Newton's method.

Each step solves a weighted least-squares problem (iteratively reweighted least squares; Nelder and Wedderburn 1972).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RIDGE = 1.0
"""Weight of the squared coefficients beside the summed log-likelihood: little, but it keeps clear-cut data finite."""
_MOST_STEPS = 100
_SMALL_STEP = 1e-10

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LogisticFit:
    """A fitted logistic regression of F features.

    Attributes:
        intercept: Log-odds where all features are at their means.
        coefficients: (F,) what one standard deviation of each feature adds to the log-odds.
        means: (F,) mean of each feature.
        scales: (F,) standard deviation of each feature; 1 for one that was always the same.
    """

    intercept: float
    coefficients: _Floats
    means: _Floats
    scales: _Floats

    def probabilities(self, features: _Floats) -> _Floats:
        """The probability (N,) of yes for features (N, F)."""
        return _logistic(self.intercept + (features - self.means) / self.scales @ self.coefficients)


def fit_logistic(features: _Floats, is_yes: npt.NDArray[np.bool_], *, ridge: float = RIDGE) -> LogisticFit:
    """The logistic regression of the greatest likelihood, with a slight penalty on its coefficients.

    Args:
        features: The features (N, F), finite.
        is_yes: The outcomes (N,), with both yes and no among them.
        ridge: Weight of the penalty, above 0; see RIDGE. The intercept has none.
    """
    means, spread = features.mean(axis=0), features.std(axis=0)
    scales = np.where(spread > 1e-12 * (1 + np.abs(means)), spread, 1.0)
    columns = np.column_stack([np.ones(len(features)), (features - means) / scales])
    penalty = ridge * np.diag([0.0, *np.ones(features.shape[1])])
    weights = np.zeros(columns.shape[1])
    loss = _loss(columns, is_yes, weights, penalty)
    for _ in range(_MOST_STEPS):
        expected = _logistic(columns @ weights)
        slope = columns.T @ (is_yes - expected) - penalty @ weights
        curvature = (columns.T * (expected * (1 - expected))) @ columns + penalty
        step = np.linalg.solve(curvature, slope)
        while (nearer := _loss(columns, is_yes, weights + step, penalty)) > loss and np.abs(step).max() > _SMALL_STEP:
            step /= 2
        weights, loss = weights + step, nearer
        if np.abs(step).max() <= _SMALL_STEP:
            break
    return LogisticFit(float(weights[0]), weights[1:], means, scales)


def _logistic(log_odds: _Floats) -> _Floats:
    return 0.5 * (1 + np.tanh(log_odds / 2))


def _loss(columns: _Floats, is_yes: npt.NDArray[np.bool_], weights: _Floats, penalty: _Floats) -> float:
    """The negative log-likelihood with its penalty."""
    log_odds = columns @ weights
    return float((np.logaddexp(0.0, log_odds) - is_yes * log_odds).sum() + weights @ penalty @ weights / 2)
