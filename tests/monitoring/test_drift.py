"""Drift: estimates by hand on small counts, and alarms where distributions are known to differ."""

import json

import numpy as np
import pytest

from lenslet.evaluation.reference import Reference, reference_of, scores_of
from lenslet.monitoring.drift import (
    DriftLimits,
    Window,
    estimated_accuracy,
    ks_test,
    label_shares,
    label_test,
    measure,
    report_json,
    table,
)
from lenslet.monitoring.page import page

LABELS = ("cat", "dog")
LEVELS = np.linspace(0, 1, 201)


def reference(confusion: list[list[int]], gap: float = 0.0, gap_error: float = 0.0) -> Reference:
    uniform = dict.fromkeys(("confidence", "entropy", "ood_score"), LEVELS)
    counts = np.array(confusion)
    return Reference(int(counts.sum()), gap, gap_error, uniform, counts)


def answers(
    random: np.random.Generator, count: int, sharpness: float = 3.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, calibrated probabilities of two classes, OOD scores."""
    logit = random.normal(0, sharpness, count)
    second = 1 / (1 + np.exp(-logit))
    targets = (random.random(count) < second).astype(int)
    probabilities = np.stack([1 - second, second], axis=1)
    return targets, probabilities, -np.logaddexp(0, logit)


def window_of(probabilities: np.ndarray, ood_scores: np.ndarray) -> Window:
    return Window(probabilities.argmax(axis=1), scores_of(probabilities, ood_scores))


def test_estimated_accuracy_by_hand() -> None:
    found = estimated_accuracy(reference([[50, 0], [0, 50]], gap=-0.1), np.full(100, 0.9))
    # 0.9 − 0.1; 1.96 standard errors of √(0.9 × 0.1 / 100) = 0.03.
    assert found.value == pytest.approx(0.8)
    assert (found.low, found.high) == pytest.approx((0.7412, 0.8588), abs=1e-4)


def test_error_of_the_calibration_widens_the_interval() -> None:
    found = estimated_accuracy(reference([[50, 0], [0, 50]], gap_error=0.04), np.full(100, 0.9))
    # √(0.03² + 0.04²) = 0.05.
    assert (found.low, found.high) == pytest.approx((0.802, 0.998), abs=1e-4)


def test_distance_of_distributions_by_hand() -> None:
    # The reference is uniform on 0 to 1; of these values all lie above 0.5.
    distance, p_value = ks_test(LEVELS, 1000, np.linspace(0.5, 1, 200))
    assert distance == pytest.approx(0.5, abs=0.01)
    assert p_value < 1e-30
    distance, p_value = ks_test(LEVELS, 1000, (np.arange(200) + 0.5) / 200)
    assert distance == pytest.approx(0.0025, abs=1e-3)
    assert p_value > 0.99


def test_ties_in_both_samples_are_no_distance() -> None:
    """Confidences of a sure model are 1.0 in many answers."""
    quantiles = np.concatenate([np.linspace(0.5, 1, 101), np.ones(100)])
    values = np.concatenate([np.linspace(0.5, 1, 100), np.ones(100)])
    assert ks_test(quantiles, 500, values)[0] < 0.02


def test_labels_by_hand() -> None:
    distance, p_value = label_test(reference([[50, 0], [0, 50]]), np.array([0] * 80 + [1] * 20))
    assert distance == pytest.approx(0.3)
    # χ² with Yates's correction of [[50, 50], [80, 20]]: 18.48, one degree of freedom.
    assert p_value == pytest.approx(1.7e-5, rel=0.05)


def test_label_shares_undo_the_confusion() -> None:
    """A tenth of the dogs is called cat: of 100 answers with 55 cats, 50 are cats."""
    known = reference([[500, 0], [50, 450]])
    shares = label_shares(known, np.array([0] * 550 + [1] * 450))
    assert shares[:, 0] == pytest.approx([0.5, 0.5], abs=0.01)
    moved = label_shares(known, np.array([0] * 820 + [1] * 180))  # 80 % cats, 20 % dogs
    assert moved[:, 0] == pytest.approx([0.8, 0.2], abs=0.01)
    assert moved[0, 1] < 0.8 < moved[0, 2]


def test_no_alarm_without_a_shift() -> None:
    random = np.random.default_rng(1)
    known = reference_of(*answers(random, 1000))
    alarms = []
    for _ in range(100):
        _, probabilities, ood_scores = answers(random, 300)
        report = measure(known, window_of(probabilities, ood_scores), DriftLimits(windows=1))
        alarms.append(report.is_alarm)
    assert sum(alarms) <= 5


def test_alarm_where_the_model_is_less_sure() -> None:
    random = np.random.default_rng(2)
    known = reference_of(*answers(random, 1000, sharpness=6))
    _, probabilities, ood_scores = answers(random, 300, sharpness=0.5)
    report = measure(known, window_of(probabilities, ood_scores), DriftLimits())
    assert report.is_accuracy_alarm
    assert {test.name for test in report.tests if test.is_alarm} >= {"confidence", "entropy"}


def test_small_distance_is_no_alarm_however_many_answers() -> None:
    random = np.random.default_rng(3)
    known = reference([[5000, 0], [0, 5000]])
    values = np.clip(random.random(100_000) + 0.03, 0, 1)
    report = measure(known, Window(np.arange(100_000) % 2, {"ood_score": values}), DriftLimits())
    found = {test.name: test for test in report.tests}["ood_score"]
    assert found.p_value < 1e-6 and not found.is_alarm


def test_looking_often_asks_for_more() -> None:
    known = reference([[500, 0], [0, 500]])
    window = Window(np.array([0] * 64 + [1] * 36), {})
    alarms = [measure(known, window, DriftLimits(windows=windows)).is_alarm for windows in (1, 1000)]
    assert alarms == [True, False]


def test_few_answers_say_nothing() -> None:
    report = measure(reference([[5, 0], [0, 5]]), Window(np.zeros(49, int), {}), DriftLimits())
    assert not report.is_alarm and report.tests == ()
    assert "too few" in table(report, LABELS)
    assert json.loads(report_json(report, LABELS, 49, {}))["answers"] == 49


def test_page_shows_what_others_wrote_as_text() -> None:
    known = reference([[50, 0], [0, 50]])
    window = Window(np.array([0, 1] * 50), {"confidence": np.linspace(0.5, 1, 100)})
    report = measure(known, window, DriftLimits())
    html = page(report, known, window, ("<script>", "a$b$c"), "<b>name")
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "<b>name" not in html
    assert html.count("data:image/png;base64,") == 2
