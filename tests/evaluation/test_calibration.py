"""Temperature and prediction sets on cases with a known answer."""

import numpy as np
import pytest

from lenslet.evaluation.calibration import (
    conformal_threshold,
    coverage,
    error_by_chance,
    fit_temperature,
    guaranteed_coverage,
    reliability,
    without_temperature,
)


@pytest.mark.parametrize(("boldness", "temperature"), [(2, 2.0), (1, 1.0), (0.5, 0.5)])
def test_temperature_of_many_photos(boldness: float, temperature: float) -> None:
    # Three of four photos are right, so the best probability is ¾, at logit ln 3.
    logits = np.array([[boldness * np.log(3), 0]] * 4000, np.float32)
    assert fit_temperature(logits, np.array([0, 0, 0, 1] * 1000)) == pytest.approx(temperature, rel=0.01)


def test_few_photos_that_are_all_right_do_not_make_certain() -> None:
    # Eighteen of eighteen: the true class counts 19/20, the other five 1/100 each, so logits differ by ln 95.
    logits = np.array([[5, 0, 0, 0, 0, 0]] * 18, np.float32)
    assert fit_temperature(logits, np.zeros(18, np.int64)) == pytest.approx(5 / np.log(95), rel=1e-3)


def test_threshold_is_the_finite_sample_quantile() -> None:
    # Nineteen photos whose true class gets 0.05, 0.10 … 0.95; alpha (n + 1) = 2, so the second smallest.
    true_class = np.arange(1, 20) * 0.05
    probabilities = np.stack([true_class, 1 - true_class], axis=1).astype(np.float32)
    targets = np.zeros(19, np.int64)
    assert conformal_threshold(probabilities, targets, alpha=0.1) == pytest.approx(0.10)


def test_too_few_photos_guarantee_less() -> None:
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3]], np.float32)
    assert conformal_threshold(probabilities, np.array([0, 0]), alpha=0.1) == pytest.approx(0.7)
    assert guaranteed_coverage(alpha=0.1, photos=2) == pytest.approx(2 / 3)
    assert guaranteed_coverage(alpha=0.1, photos=9) == guaranteed_coverage(alpha=0.1, photos=1000) == 0.9


def test_coverage_counts_the_top_label_even_below_the_threshold() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.6, 0.35, 0.05], [0.34, 0.33, 0.33]], np.float32)
    # Sets at 0.345: {0}, {0, 1}, and {0} only because it is the top label.
    assert coverage(probabilities, np.array([0, 1, 2]), 0.345, alpha=0.7) == (
        pytest.approx(2 / 3),
        pytest.approx(4 / 3),
    )


def test_sets_hold_the_labels_that_together_reach_the_coverage() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.6, 0.35, 0.05], [0.95, 0.03, 0.02]], np.float32)
    # At 1 − 0.1: all three, {0, 1}, {0}.
    assert coverage(probabilities, np.array([2, 2, 0]), 0.97, alpha=0.1) == (pytest.approx(2 / 3), 2.0)


@pytest.mark.parametrize("photos", [6, 30, 200])
def test_coverage_on_few_photos(photos: int) -> None:
    """Means over 300 draws of validation photos; each model is overconfident, so that only the threshold helps."""
    random = np.random.default_rng(11)
    covered = []
    for _ in range(300):
        logits = random.normal(size=(photos + 200, 4))
        exact = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        targets = (exact.cumsum(axis=1) > random.random((len(exact), 1))).argmax(axis=1)
        bold = np.exp(3 * logits) / np.exp(3 * logits).sum(axis=1, keepdims=True)
        threshold = conformal_threshold(bold[:photos], targets[:photos], alpha=0.05)
        covered.append(coverage(bold[photos:], targets[photos:], threshold, alpha=0.05)[0])
    guaranteed = {6: 6 / 7, 30: 0.95, 200: 0.95}[photos]
    assert guaranteed_coverage(0.05, photos) == pytest.approx(guaranteed)
    assert np.mean(covered) >= guaranteed - 0.01


def test_threshold_keeps_its_guarantee_on_new_photos() -> None:
    random = np.random.default_rng(7)
    logits = random.normal(size=(20_000, 4)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = np.array([random.choice(4, p=row) for row in probabilities])
    threshold = conformal_threshold(probabilities[:10_000], targets[:10_000], alpha=0.1)
    covered, size = coverage(probabilities[10_000:], targets[10_000:], threshold, alpha=0.1)
    by_threshold = (probabilities[10_000:] >= threshold)[np.arange(10_000), targets[10_000:]]
    assert by_threshold.mean() == pytest.approx(0.9, abs=0.012)
    assert covered > 0.9
    assert size < 4


def test_temperature_is_taken_back() -> None:
    logits = np.array([2.0, 1.0, -1.0])
    plain, cooled = (np.exp(logits / each) / np.exp(logits / each).sum() for each in (1, 3))
    found = without_temperature(cooled[np.newaxis].astype(np.float32), 3.0)
    np.testing.assert_allclose(found[0], plain, atol=1e-6)


def test_reliability_bins_and_expected_error() -> None:
    # Two photos called 0.95 probable, one of them right; two called 0.55 probable, both right.
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45], [0.45, 0.55]], np.float32)
    bins = reliability(probabilities, np.array([0, 1, 0, 1]), bins=10)
    assert bins.photos.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert bins.accuracy[[5, 9]].tolist() == [1.0, 0.5]
    assert bins.confidence[[5, 9]] == pytest.approx([0.55, 0.95])
    # Half of the photos miss by 0.45 downwards, half by 0.45 upwards.
    assert bins.expected_error == pytest.approx(0.45)


def test_certain_and_right_falls_into_the_last_bin() -> None:
    bins = reliability(np.array([[1.0, 0.0]], np.float32), np.array([0]), bins=10)
    assert bins.photos[9] == 1
    assert bins.expected_error == 0.0


def test_calibrated_probabilities_stay_below_what_chance_makes() -> None:
    # Of one photo called 0.75 probable the error is 0.25 or 0.75, of 400 about a standard error of 0.0217 times 1.96.
    assert error_by_chance(np.array([[0.75, 0.25]], np.float32)) == pytest.approx(0.75)
    assert error_by_chance(np.array([[0.75, 0.25]] * 400, np.float32)) == pytest.approx(0.042, abs=0.005)
    assert error_by_chance(np.array([[1.0, 0.0]] * 10, np.float32)) == 0
