"""A fit gives probabilities, whatever the scale of its features."""

import numpy as np
import pytest

from cocasearch.evaluation.logistic_regression import fit_logistic

CHANCE = np.random.default_rng(0)
FEATURES = CHANCE.normal(size=(200, 2))
IS_YES = CHANCE.random(200) < 1 / (1 + np.exp(-FEATURES[:, 0]))


def test_the_scale_and_origin_of_a_feature_change_nothing() -> None:
    here, there = fit_logistic(FEATURES, IS_YES), fit_logistic(FEATURES * 1e4 - 7, IS_YES)
    np.testing.assert_allclose(there.coefficients, here.coefficients, rtol=1e-6)
    np.testing.assert_allclose(there.probabilities(FEATURES * 1e4 - 7), here.probabilities(FEATURES), rtol=1e-6)


def test_probabilities_are_right_in_the_mean() -> None:
    assert fit_logistic(FEATURES, IS_YES).probabilities(FEATURES).mean() == pytest.approx(IS_YES.mean(), abs=1e-6)


def test_a_heavier_ridge_makes_smaller_coefficients() -> None:
    free, held = (fit_logistic(FEATURES, IS_YES, ridge=ridge).coefficients for ridge in (0.01, 100.0))
    assert np.abs(held).sum() < np.abs(free).sum() / 2


def test_features_far_away_give_probabilities_still() -> None:
    probabilities = fit_logistic(FEATURES, IS_YES).probabilities(np.array([[1e6, 0.0], [-1e6, 0.0]]))
    assert probabilities.tolist() == [1, 0]
