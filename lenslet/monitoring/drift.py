"""Drift of a deployed model without labels: estimated accuracy, label shift, and shifts of its scores.

None of these sees concept drift: photos that look as before but should now be labelled otherwise. Only labels show it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, kstwo, norm

from lenslet.evaluation.reference import Reference
from lenslet.inference.printable import printable

RESAMPLES = 200  # of the bootstrap of the label shares
RIDGE = 1e-3  # pulls the class weights towards 1, no shift, where the confusion matrix is nearly singular
MIN_EXPECTED = 5  # counts of a cell of the χ² test; rarer labels are taken together


@dataclass(frozen=True)
class DriftLimits:
    """When a difference is an alarm. `alpha` is the share of false alarms over all `windows` together."""

    alpha: float = 0.05
    windows: int = 30  # that share `alpha` (Bonferroni): a month of daily ones
    min_distance: float = (
        0.1  # smaller distances are no alarm, however significant: large windows see everything
    )
    max_accuracy_drop: float = 0.05  # of the estimated accuracy below that on validation photos
    min_answers: int = 50  # fewer say nothing


@dataclass(frozen=True)
class Window:
    """Answers of one period."""

    predicted: NDArray[np.int64]  # shape (answers,): class indices
    scores: Mapping[
        str, NDArray[np.float64]
    ]  # keys of `reference.SCORES` that the source has; shape (answers,)


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Test:
    """A two-sample test of window against reference."""

    __test__ = False  # no test of this project, whatever pytest makes of the name

    name: str
    distance: float  # 0 to 1: Kolmogorov–Smirnov statistic, or total variation of the predicted labels
    p_value: float
    is_alarm: bool


@dataclass(frozen=True)
class DriftReport:
    """The comparison of a window with the reference; no tests with fewer answers than `DriftLimits.min_answers`."""

    answers: int
    accuracy: Interval | None
    reference_accuracy: float
    is_accuracy_alarm: bool
    tests: tuple[Test, ...]
    label_shares: NDArray[np.float64]  # shape (classes, 3): estimated share of the true label, low, high

    @property
    def is_alarm(self) -> bool:
        return self.is_accuracy_alarm or any(test.is_alarm for test in self.tests)


def measure(reference: Reference, window: Window, limits: DriftLimits, seed: int = 0) -> DriftReport:
    """Compare a window with the reference."""
    answers, classes = len(window.predicted), len(reference.confusion)
    if answers < limits.min_answers:
        nothing = np.full((classes, 3), np.nan)
        return DriftReport(answers, None, reference.accuracy, False, (), nothing)
    found = [
        (name, *ks_test(reference.quantiles[name], reference.photos, values))
        for name, values in window.scores.items()
    ]
    found.append(("predicted labels", *label_test(reference, window.predicted)))
    level = limits.alpha / limits.windows / (len(found) + 1)  # + 1: the estimated accuracy
    tests = tuple(
        Test(name, distance, p_value, bool(p_value < level and distance >= limits.min_distance))
        for name, distance, p_value in found
    )
    accuracy, is_low = None, False
    if "confidence" in window.scores:
        accuracy = estimated_accuracy(reference, window.scores["confidence"])
        widest = estimated_accuracy(reference, window.scores["confidence"], 1 - level)
        is_low = widest.high < reference.accuracy - limits.max_accuracy_drop
    shares = label_shares(reference, window.predicted, seed)
    return DriftReport(answers, accuracy, reference.accuracy, is_low, tests, shares)


def estimated_accuracy(
    reference: Reference, confidence: NDArray[np.float64], coverage: float = 0.95
) -> Interval:
    """Accuracy by the mean of calibrated confidences (confidence-based performance estimation, NannyML).

    The mean is corrected by the calibration gap on the validation photos. The interval holds the sampling of the
    window's labels and the error of that gap. It assumes that probabilities stay calibrated: under strong covariate
    shift a model is overconfident, and the estimate too high.
    """
    value = float(confidence.mean()) + reference.calibration_gap
    variance = float((confidence * (1 - confidence)).mean()) / len(confidence)
    reach = float(norm.ppf((1 + coverage) / 2)) * np.sqrt(variance + reference.calibration_gap_error**2)
    return Interval(*(float(np.clip(each, 0, 1)) for each in (value, value - reach, value + reach)))


def ks_test(quantiles: NDArray[np.float64], photos: int, values: NDArray[np.float64]) -> tuple[float, float]:
    """Two-sample Kolmogorov–Smirnov test of values against a distribution known by `quantiles` of `photos` values.

    Returns: the statistic, and its p-value with photos × values / (photos + values) observations.
    """
    levels = np.linspace(0, 1, len(quantiles))
    at = np.sort(values)
    # Between two quantiles the reference is taken as linear; at ties its step is closed from both sides.
    below = np.interp(at, quantiles, levels)
    left = np.searchsorted(quantiles, at, "left") / len(quantiles)
    right = np.searchsorted(quantiles, at, "right") / len(quantiles)
    is_tie = right - left > 1 / len(quantiles)
    own_high = np.searchsorted(at, at, "right") / len(at)
    own_low = np.searchsorted(at, at, "left") / len(at)
    above = np.where(is_tie, right, below)
    under = np.where(is_tie, left, below)
    distance = float(max(0.0, np.max(own_high - above), np.max(under - own_low)))
    observations = max(1, round(photos * len(values) / (photos + len(values))))
    return distance, float(kstwo.sf(distance, observations))


def label_test(reference: Reference, predicted: NDArray[np.int64]) -> tuple[float, float]:
    """χ² test of homogeneity of the predicted labels, window against validation photos.

    Returns: the total variation distance between their shares, and the p-value.
    """
    classes = len(reference.confusion)
    counts = np.stack([reference.confusion.sum(axis=0), np.bincount(predicted, minlength=classes)])
    shares = counts / counts.sum(axis=1, keepdims=True)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    expected = counts.sum(axis=0) * counts.sum(axis=1).min() / counts.sum()
    is_rare = expected < MIN_EXPECTED
    table = np.concatenate([counts[:, ~is_rare], counts[:, is_rare].sum(axis=1, keepdims=True)], axis=1)
    table = table[:, table.sum(axis=0) > 0]
    return distance, float(chi2_contingency(table)[1]) if table.shape[1] > 1 else 1.0


def label_shares(reference: Reference, predicted: NDArray[np.int64], seed: int = 0) -> NDArray[np.float64]:
    """Shares of the true labels in the window, by black-box shift estimation (Lipton et al. 2018), regularised.

    Assumes label shift: photos of a class look as before, only how common it is has changed.
    Returns: shape (classes, 3): estimate, and its 95 % interval by a bootstrap of both samples.
    """
    classes, random = len(reference.confusion), np.random.default_rng(seed)
    seen = np.bincount(predicted, minlength=classes)
    joint = reference.confusion / reference.confusion.sum()
    draws = []
    for _ in range(RESAMPLES):
        other = random.multinomial(reference.photos, joint.ravel()).reshape(classes, classes)
        draws.append(_shares(other, random.multinomial(len(predicted), seen / len(predicted))))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    found: NDArray[np.float64] = np.stack([_shares(reference.confusion, seen), low, high], axis=1)
    return found


def _shares(confusion: NDArray[np.int64], seen: NDArray[np.int64]) -> NDArray[np.float64]:
    joint = confusion.T / confusion.sum()  # rows: predicted, columns: true
    difference = seen / seen.sum() - joint.sum(axis=1)
    normal = joint.T @ joint + RIDGE * np.mean(np.diag(joint)) ** 2 * np.eye(len(joint))
    weights = np.maximum(1 + np.linalg.solve(normal, joint.T @ difference), 0)
    shares: NDArray[np.float64] = weights * joint.sum(axis=0)
    total: NDArray[np.float64] = shares / shares.sum()
    return total


def table(report: DriftReport, labels: Sequence[str]) -> str:
    """The report as text."""
    lines = [f"{report.answers:,} answers"]
    if report.accuracy is None:
        return f"{lines[0]}: too few to compare, or without confidences"
    found = report.accuracy
    mark = "ALARM" if report.is_accuracy_alarm else "ok"
    lines.append(
        f"estimated accuracy  {found.value:.3f} ({found.low:.3f} to {found.high:.3f}), "
        f"on reference photos {report.reference_accuracy:.3f}  {mark}"
    )
    lines.append(f"{'test':<18}{'distance':>10}{'p':>12}  verdict")
    for test in report.tests:
        verdict = "ALARM" if test.is_alarm else "ok"
        lines.append(f"{test.name:<18}{test.distance:>10.3f}{test.p_value:>12.2g}  {verdict}")
    lines.append(f"{'true label (est.)':<24}{'share':>8}  95 % interval")
    for label, (share, low, high) in zip(labels, report.label_shares, strict=True):
        lines.append(f"{printable(label):<24}{share:>8.3f}  {low:.3f} to {high:.3f}")
    return "\n".join(lines)


def report_json(report: DriftReport, labels: Sequence[str], lines: int, left_out: Mapping[str, int]) -> str:
    """The report as JSON, with what was read and left out."""
    shares = dict(zip(labels, report.label_shares.tolist(), strict=True)) if report.tests else {}
    content = {
        "is_alarm": report.is_alarm,
        "lines": lines,
        "answers": report.answers,
        "left_out": dict(left_out),
        "estimated_accuracy": asdict(report.accuracy) if report.accuracy else None,
        "reference_accuracy": report.reference_accuracy,
        "is_accuracy_alarm": report.is_accuracy_alarm,
        "tests": [asdict(test) for test in report.tests],
        "label_shares": {
            label: dict(zip(("value", "low", "high"), found, strict=True)) for label, found in shares.items()
        },
    }
    return json.dumps(content, indent=2)
