"""Prediction sets: the labels that a photo may well have, and whether one label alone is one of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-6  # of probabilities in float32 whose sum is compared with 1 − alpha


def set_sizes(
    probabilities: NDArray[np.floating[Any]], conformal_threshold: float, alpha: float
) -> NDArray[np.int64]:
    """How many of the most probable labels are in the prediction set of each photo: at least 1.

    A set holds every label that reaches the threshold (LAC: Sadinle, Lei and Wasserman 2019) and, whatever the
    threshold is, labels whose probabilities add up to 1 − alpha. The former alone covers the true label as often as
    guaranteed, on average; but it is empty for the least certain photos of an accurate model, and holds the top label
    alone where another one is nearly as probable: a set of one label then says nothing about the photo. With the
    latter, it holds one label only where that label's own probability is at least 1 − alpha.

    Args: probabilities (…, classes), which sum to 1. Returns: shape (…,).
    """
    ranked = -np.sort(-probabilities.astype(np.float64), axis=-1)
    reaching = (ranked >= conformal_threshold).sum(axis=-1)
    # Labels before which less than 1 − alpha is found.
    before = ranked.cumsum(axis=-1) - ranked
    needed = (before < 1 - alpha - ROUNDING).sum(axis=-1)
    sizes: NDArray[np.int64] = np.maximum(np.maximum(reaching, needed), 1)
    return sizes
