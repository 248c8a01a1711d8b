"""Confidence is a probability: known coefficients are found again, and what is promised comes true."""

import numpy as np
import pytest

from cocasearch.captioned_data import CaptionedImage
from cocasearch.errors import CocaSearchError
from cocasearch.evaluation.calibration import calibrate, calibration_error, held_out_probabilities, reliability
from cocasearch.evaluation.logistic_regression import fit_logistic

INTERCEPT, COEFFICIENTS = -0.4, np.array([1.2, -0.7, 0.3])
MEANS, SCALES = np.array([0.3, -1.5, 0.6]), np.array([0.1, 0.4, 0.2])


def draw(count, seed):
    """Features of captions, and whether each is right, with probabilities that are known."""
    chance = np.random.default_rng(seed)
    standard = chance.normal(size=(count, 3))
    probabilities = 1 / (1 + np.exp(-(INTERCEPT + standard @ COEFFICIENTS)))
    return standard * SCALES + MEANS, chance.random(count) < probabilities, probabilities


def test_known_coefficients_are_found_again():
    features, right, _ = draw(40_000, 1)
    fit = fit_logistic(features, right)
    assert fit.intercept == pytest.approx(INTERCEPT, abs=0.05)
    np.testing.assert_allclose(fit.coefficients, COEFFICIENTS, atol=0.05)
    fresh, _, truth = draw(1000, 2)
    np.testing.assert_allclose(fit.probabilities(fresh), truth, atol=0.03)


def test_the_fit_is_the_likeliest():
    features, right, _ = draw(300, 3)
    fit = fit_logistic(features, right, ridge=1.0)
    standard = (features - fit.means) / fit.scales
    misses = right - fit.probabilities(features)
    assert misses.sum() == pytest.approx(0, abs=1e-6)  # the slope of the likelihood, flat at its top
    np.testing.assert_allclose(standard.T @ misses, fit.coefficients, atol=1e-6)


def test_confidences_come_true_on_fresh_captions():
    features, right, _ = draw(2000, 4)
    fit = fit_logistic(features, right)
    fresh, came_true, _ = draw(20_000, 5)
    bins = reliability(fit.probabilities(fresh), came_true)
    assert sum(row.n_photos for row in bins) == 20_000
    assert all(row.confidence == pytest.approx(row.share_right, abs=0.07) for row in bins if row.n_photos > 300)
    assert calibration_error(bins) < 0.03


def test_halves_are_judged_by_the_fit_of_the_other():
    """Where nothing can be learned, each half must expect the other's share, whatever luck it had itself."""
    chance = np.random.default_rng(6)
    features, right = chance.normal(size=(60, 3)), chance.random(60) < 0.5
    own = fit_logistic(features, right).probabilities(features)
    held_out = held_out_probabilities(features, right)
    assert own[right].mean() - own[~right].mean() > held_out[right].mean() - held_out[~right].mean()
    assert np.array_equal(held_out, held_out_probabilities(features, right))


def test_clear_cut_and_unvaried_features_stay_finite():
    features = np.column_stack([np.arange(40.0), np.ones(40), np.zeros(40)])
    fit = fit_logistic(features, features[:, 0] >= 20)
    assert np.isfinite(fit.coefficients).all()
    assert fit.coefficients[1:].tolist() == [0, 0]
    assert fit.probabilities(features)[0] < 0.1
    assert fit.probabilities(features)[-1] > 0.9


def test_bins_hold_their_ends():
    bins = reliability(np.array([0.0, 0.05, 0.1, 1.0]), np.array([False, True, True, True]))
    assert [(row.low, row.high, row.n_photos) for row in (bins[0], bins[1], bins[9])] == [
        (0.0, 0.1, 2), (0.1, 0.2, 1), (0.9, 1.0, 1),
    ]  # fmt: skip
    assert (bins[0].confidence, bins[0].share_right, bins[5].share_right) == (0.025, 0.5, None)
    assert calibration_error(bins) == pytest.approx((2 * 0.475 + 0.9 + 0) / 4)


def test_too_few_photos_are_refused_before_a_model_is_asked():
    rows = [CaptionedImage(b"", str(number), ("x",)) for number in range(99)]
    with pytest.raises(CocaSearchError, match=r"at least 100 photos that can be read, and there are 99$"):
        calibrate(None, rows)
