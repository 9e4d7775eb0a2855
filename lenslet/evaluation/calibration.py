"""Calibration: temperature scaling, expected calibration error, split-conformal prediction sets."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from lenslet.inference.prediction_sets import set_sizes


def fit_temperature(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """The temperature that minimises the log loss of softmax(logits / temperature): Guo et al. 2017.

    Targets are smoothed to (photos + 1) / (photos + 2) as in Platt 1999: otherwise a few photos that are all classified
    correctly would drive the temperature to its lower bound.

    Args: logits (photos, classes) and class indices (photos,) of photos that did not train the network.
    Returns: a number between 0.05 and 20; above 1 where the network is overconfident.
    """
    photos, classes = logits.shape
    smoothed = np.full(logits.shape, 1 / (photos + 2) / (classes - 1))
    smoothed[np.arange(photos), targets] = (photos + 1) / (photos + 2)

    def log_loss(log_temperature: float) -> float:
        return -float((smoothed * log_softmax(logits / math.exp(log_temperature), axis=1)).sum())

    best = minimize_scalar(log_loss, bounds=(math.log(0.05), math.log(20)), method="bounded")
    return math.exp(best.x)


def conformal_threshold(
    probabilities: NDArray[np.float32], targets: NDArray[np.int64], alpha: float
) -> float:
    """The least probability of a label in the prediction set (LAC: Sadinle, Lei, Wasserman 2019).

    For exchangeable new photos, the sets contain the true label with a probability of at least `guaranteed_coverage`:
    1 − alpha or, with fewer than 1 / alpha − 1 photos, the most that so few can guarantee.
    """
    true_class = np.sort(probabilities[np.arange(len(targets)), targets])
    # The split-conformal quantile with its finite-sample correction.
    rank = math.floor(alpha * (len(targets) + 1))
    return float(true_class[max(rank, 1) - 1])


def guaranteed_coverage(alpha: float, photos: float) -> float:
    """Lower bound on the probability that a set contains the true label, for a threshold fitted on so many photos."""
    return min(1 - alpha, photos / (photos + 1))


def coverage(
    probabilities: NDArray[np.float32], targets: NDArray[np.int64], threshold: float, alpha: float
) -> tuple[float, float]:
    """Share of prediction sets (`set_sizes`) that contain the true label, and their mean size."""
    sizes = set_sizes(probabilities, threshold, alpha)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranks = (order == targets[:, np.newaxis]).argmax(axis=1)
    return float((ranks < sizes).mean()), float(sizes.mean())


def without_temperature(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """softmax(logits) from softmax(logits / temperature): powers, normalised to a sum of 1."""
    powers = np.power(probabilities.astype(np.float64), temperature)
    plain: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return plain


@dataclass(frozen=True)
class ReliabilityBins:
    """Accuracy of the top label by its confidence; arrays of shape (bins,)."""

    confidence: NDArray[np.float64]  # mean probability of the top label
    accuracy: NDArray[np.float64]
    photos: NDArray[np.int64]  # bins without photos have 0 here and NaN above

    @property
    def expected_error(self) -> float:
        """Expected calibration error: the mean gap between confidence and accuracy, weighted by photos."""
        filled = self.photos > 0
        gaps = np.abs(self.confidence - self.accuracy)[filled]
        return float(np.average(gaps, weights=self.photos[filled]))


def reliability(
    probabilities: NDArray[np.float32], targets: NDArray[np.int64], bins: int = 15
) -> ReliabilityBins:
    """Bins of equal width over the top label's probability, 15 as in Guo et al. 2017."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    members = np.minimum((confidence * bins).astype(int), bins - 1)
    photos = np.bincount(members, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 in empty bins
        return ReliabilityBins(
            confidence=np.bincount(members, confidence, bins) / photos,
            accuracy=np.bincount(members, right, bins) / photos,
            photos=photos,
        )


def error_by_chance(probabilities: NDArray[np.float32], draws: int = 1000, seed: int = 0) -> float:
    """95th percentile of the expected calibration error of a perfectly calibrated model on as many photos.

    Labels are drawn from the probabilities themselves (consistency resampling: Bröcker and Smith 2007). A bootstrap of
    the photos gives no valid interval: the error is bounded below by zero and biased upwards by resampling, so the
    intervals of a calibrated model hardly ever contain the true error.
    """
    random = np.random.default_rng(seed)
    shares = probabilities.cumsum(axis=1, dtype=np.float64)
    shares /= shares[:, -1:]
    drawn = ((shares > random.random((len(shares), 1))).argmax(axis=1) for _ in range(draws))
    return float(np.quantile([reliability(probabilities, targets).expected_error for targets in drawn], 0.95))
