"""Probabilities that mean what they say: temperature scaling and split-conformal prediction sets."""

import math

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

    With it, the sets of exchangeable new photos hold the true label with a probability of at least 1 − alpha; with
    fewer than 1 / alpha − 1 photos, of photos / (photos + 1), the most that so few can promise.
    """
    true_class = np.sort(probabilities[np.arange(len(targets)), targets])
    rank = math.floor(
        alpha * (len(targets) + 1)
    )  # split-conformal quantile with its finite-sample correction
    return float(true_class[max(rank, 1) - 1])


def coverage(
    probabilities: NDArray[np.float32], targets: NDArray[np.int64], threshold: float
) -> tuple[float, float]:
    """Share of prediction sets that hold the true label, and the sets' mean size. The top label always belongs."""
    sets = probabilities >= threshold
    sets[np.arange(len(targets)), probabilities.argmax(axis=1)] = True
    return float(sets[np.arange(len(targets)), targets].mean()), float(sets.sum(axis=1).mean())
