"""What a linear classifier can read from vectors, and when it reads nothing."""

import numpy as np
import pytest

from cocasearch.evaluation.linear_probe import PENALTIES, accuracy, class_vectors, fit, fit_probe, verdict


@pytest.fixture
def chance() -> np.random.Generator:
    return np.random.default_rng(3)


def clusters(chance: np.random.Generator, count: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows around one corner for each of six classes."""
    labels = chance.integers(0, 6, size=count)
    return (np.eye(6, 16)[labels] + spread * chance.normal(size=(count, 16))).astype(np.float32), labels


def test_separable_classes_are_learned(chance):
    rows, labels = clusters(chance, 240, 0.1)
    others, truth = clusters(chance, 120, 0.1)
    found = accuracy(fit_probe(rows, labels, 6).scores(others), truth)
    assert found.top_1 > 0.98
    assert found.balanced > 0.98
    assert found.top_5 == 1.0


def test_random_labels_are_found_by_chance_alone(chance):
    rows, _ = clusters(chance, 600, 0.5)
    labels = chance.integers(0, 6, size=600)
    found = accuracy(fit_probe(rows[:400], labels[:400], 6).scores(rows[400:]), labels[400:])
    assert found.interval[0] < 1 / 6 < found.interval[1]
    counts = np.bincount(labels[:400]).tolist()
    assert "cannot tell these labels apart" in verdict(found, found, counts)


def test_fit_is_the_closed_solution():
    """Two classes on one feature of -1 and 1: the difference of the scores is the log-odds of the counts."""
    rows = np.array([[1.0]] * 10 + [[-1.0]] * 10, dtype=np.float32)
    labels = np.array([1] * 8 + [0] * 2 + [1] * 3 + [0] * 7)
    scores = fit(rows, labels, 2, penalty=1e-12).scores(np.array([[1.0], [-1.0]], dtype=np.float32))
    assert scores[:, 1] - scores[:, 0] == pytest.approx([np.log(8 / 2), np.log(3 / 7)], abs=1e-4)


def test_penalty_shrinks_weights_but_not_biases():
    rows = np.array([[1.0]] * 10 + [[-1.0]] * 10, dtype=np.float32)
    labels = np.array([1] * 18 + [0] * 2)
    strong = fit(rows, labels, 2, penalty=1e4)
    assert float(strong.weights.abs().max()) < 1e-4
    assert float(strong.biases[1] - strong.biases[0]) == pytest.approx(np.log(18 / 2), abs=1e-3)
    # at the least point the gradient of the penalty balances that of the loss
    mild = fit(rows, labels, 2, penalty=0.1)
    probabilities = np.exp(mild.scores(rows)) / np.exp(mild.scores(rows)).sum(axis=1, keepdims=True)
    slope = ((probabilities - np.eye(2)[labels]).T @ rows) / len(rows)
    assert slope == pytest.approx(-0.1 * mild.weights.numpy(), abs=1e-6)


def test_noise_calls_for_a_stronger_penalty(chance):
    clear, noisy = clusters(chance, 200, 0.05), clusters(chance, 200, 2.0)
    assert fit_probe(*clear, 6).penalty < fit_probe(*noisy, 6).penalty
    assert fit_probe(*noisy, 6).penalty in PENALTIES


def test_common_class_counts_no_more_when_balanced():
    scores = np.tile([1.0, 0.0], (10, 1))
    found = accuracy(scores, np.array([0] * 9 + [1]))
    assert (found.top_1, found.balanced) == (0.9, 0.5)


def test_unknown_labels_and_ties_are_not_found():
    assert accuracy(np.array([[1.0, 0.0], [2.0, 2.0]]), np.array([-1, 0])).top_1 == 0.0


def test_words_of_a_class_are_averaged():
    texts = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], dtype=np.float32)
    assert class_vectors(texts, 2) == pytest.approx(np.array([[0.5**0.5, 0.5**0.5], [0, 1]]))


def test_sentence_follows_the_figures(chance):
    labels = np.arange(200) % 4
    right, wrong = np.eye(4)[labels], np.eye(4)[(labels + 1) % 4]
    good, bad = accuracy(right, labels), accuracy(wrong, labels)
    assert "fine-tuning may bring them out" in verdict(good, bad, [50] * 4)
    assert "about as well" in verdict(good, good, [50] * 4)
