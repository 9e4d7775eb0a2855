"""Probabilities that mean what they say: temperature scaling and split-conformal prediction sets."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


def fit_temperature(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """The temperature that minimises the log loss of softmax(logits / temperature): Guo et al. 2017.

    The true class counts as (photos + 1) / (photos + 2) instead of 1, as in Platt 1999: otherwise a few photos
    that are all classified rightly would make every answer certain.

    Args: logits (photos, classes) and class indices (photos,) of photos that did not train the network.
    Returns: a number between 0.05 and 20; above 1 where the network is overconfident.
    """
    photos, classes = logits.shape
    wanted = np.full(logits.shape, 1 / (photos + 2) / (classes - 1))
    wanted[np.arange(photos), targets] = (photos + 1) / (photos + 2)

    def log_loss(log_temperature: float) -> float:
        return -float((wanted * log_softmax(logits / math.exp(log_temperature), axis=1)).sum())

    best = minimize_scalar(log_loss, bounds=(math.log(0.05), math.log(20)), method="bounded")
    return math.exp(best.x)


def conformal_threshold(
    probabilities: NDArray[np.float32], targets: NDArray[np.int64], alpha: float
) -> float:
    """The probability from which on a label belongs to the prediction set (LAC: Sadinle, Lei, Wasserman 2019).

    With it, the sets of exchangeable new photos hold the true label with the probability of `promised_coverage` at
    least: 1 − alpha or, with fewer than 1 / alpha − 1 photos, the most that so few can promise.
    """
    true_class = np.sort(probabilities[np.arange(len(targets)), targets])
    rank = math.floor(
        alpha * (len(targets) + 1)
    )  # split-conformal quantile with its finite-sample correction
    return float(true_class[max(rank, 1) - 1])


def promised_coverage(alpha: float, photos: float) -> float:
    """The least share of sets that will hold the true label, by a `conformal_threshold` of so many photos."""
    return min(1 - alpha, photos / (photos + 1))


def coverage(
    probabilities: NDArray[np.float32], targets: NDArray[np.int64], threshold: float
) -> tuple[float, float]:
    """Share of prediction sets that hold the true label, and the sets' mean size. The top label always belongs."""
    sets = probabilities >= threshold
    sets[np.arange(len(targets)), probabilities.argmax(axis=1)] = True
    return float(sets[np.arange(len(targets)), targets].mean()), float(sets.sum(axis=1).mean())


def without_temperature(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """What softmax(logits) was, of softmax(logits / temperature): powers, brought back to a sum of 1."""
    powers = np.power(probabilities.astype(np.float64), temperature)
    plain: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return plain


@dataclass(frozen=True)
class ReliabilityBins:
    """How often the top label is right, by how probable the model calls it; arrays of shape (bins,)."""

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
    """Bins of equal width over the top label's probability, as in Guo et al. 2017 (15 of them)."""
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
    """What the calibration error of exact probabilities stays below in 95 of 100 evaluations of so many photos.

    The labels are drawn from the probabilities themselves (consistency resampling: Bröcker and Smith 2007). A
    bootstrap of the photos cannot say how far the error may be off: it is never below zero, so drawing the photos anew
    only adds to it, and of a calibrated model the intervals hardly ever hold the true one.
    """
    random = np.random.default_rng(seed)
    shares = probabilities.cumsum(axis=1, dtype=np.float64)
    shares /= shares[:, -1:]
    drawn = ((shares > random.random((len(shares), 1))).argmax(axis=1) for _ in range(draws))
    return float(np.quantile([reliability(probabilities, targets).expected_error for targets in drawn], 0.95))
