"""Figures on four photos that can be worked out by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lenslet.evaluation.metrics import accuracy, bootstrap_interval, confusion, min_recall, roc_auc, score

TARGETS = np.array([0, 0, 1, 1])
PROBABILITIES = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]], np.float32)


def test_two_classes() -> None:
    figures = score(("no", "yes"), TARGETS, PROBABILITIES)
    assert figures["photos"] == 4
    assert figures["accuracy"] == pytest.approx(3 / 4)
    assert figures["precision.yes"] == pytest.approx(2 / 3)
    assert figures["recall.yes"] == pytest.approx(1.0)
    assert figures["f1.yes"] == pytest.approx(0.8)
    assert figures["recall.no"] == pytest.approx(0.5)
    # Every "yes" photo has a higher probability of "yes" than every "no" photo.
    assert figures["roc_auc"] == pytest.approx(1.0)
    # −(ln 0.9 + ln 0.4 + ln 0.8 + ln 0.7) / 4
    assert figures["log_loss"] == pytest.approx(0.4004, abs=1e-4)


def test_area_under_the_curve_counts_ordered_pairs() -> None:
    swapped = PROBABILITIES[[2, 1, 0, 3]]  # one "no" at 0.8 and 0.6, one "yes" at 0.1 and 0.7
    assert score(("no", "yes"), TARGETS, swapped)["roc_auc"] == pytest.approx(1 / 4)


def test_three_classes() -> None:
    probabilities = np.eye(3, dtype=np.float32)[[0, 1, 2, 2]] * 0.7 + 0.1
    figures = score(("a", "b", "c"), np.array([0, 1, 1, 2]), probabilities)
    assert figures["accuracy"] == pytest.approx(3 / 4)
    assert figures["macro_f1"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    # Each class against the rest: a 1, b (2 × 1 + 2 × ½) / 4 = ¾, c (2 × 1 + ½) / 3 = 5⁄6.
    assert figures["roc_auc"] == pytest.approx((1 + 3 / 4 + 5 / 6) / 3)


def test_confusion_has_true_classes_as_rows() -> None:
    assert confusion(2, TARGETS, PROBABILITIES).tolist() == [[1, 1], [0, 2]]


def test_bootstrap_interval_of_a_share() -> None:
    # 90 of 100 right: the binomial's standard deviation is 0.03, so 95 % lie within about 0.9 ± 0.059.
    targets = np.array([0] * 90 + [1] * 10)
    probabilities = np.tile(np.array([[0.8, 0.2]], np.float32), (100, 1))
    low, high = bootstrap_interval(accuracy, targets, probabilities)
    assert low == pytest.approx(0.841, abs=0.015)
    assert high == pytest.approx(0.959, abs=0.015)
    assert (low, high) == bootstrap_interval(accuracy, targets, probabilities)


def test_area_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(5)
    targets = random.integers(0, 4, 200)
    probabilities = random.dirichlet(np.ones(4), 200).round(1)  # rounded, so that many are equal
    probabilities[:, 0] += 1 - probabilities.sum(axis=1)
    expected = np.mean([roc_auc_score(targets == label, probabilities[:, label]) for label in range(4)])
    assert roc_auc(targets, probabilities) == pytest.approx(expected, abs=1e-12)


def test_classes_that_were_not_drawn_do_not_count() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    targets = np.array([0, 1, 1])
    assert min_recall(targets, probabilities) == 0.5
    assert roc_auc(targets, probabilities) == 1.0
    assert np.isnan(roc_auc(np.array([1, 1, 1]), probabilities))


def test_bootstrap_leaves_out_draws_without_an_area() -> None:
    # Of two photos, every other draw holds one of them twice.
    low, high = bootstrap_interval(roc_auc, np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]], np.float32))
    assert (low, high) == (1.0, 1.0)
