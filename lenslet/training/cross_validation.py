"""Cross-validated accuracy of a linear model on the backbone's features: what few photos can say before a test."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lenslet.dataset.dataset import Dataset
from lenslet.dataset.linear_probe import FOLDS
from lenslet.evaluation.metrics import accuracy, share_interval


def cross_validated(
    dataset: Dataset, splits: Mapping[str, NDArray[np.float32]], probabilities: NDArray[np.float64]
) -> dict[str, float]:
    """Accuracy of out-of-fold `probabilities` of the photos of these splits, with its 95 % interval.

    The model is a linear one on frozen features, not the network that is trained: with few photos the two are alike,
    and every photo counts where a test split would hold a handful.
    """
    targets = np.concatenate([dataset.targets[dataset.members(split)] for split in splits])
    share = accuracy(targets, probabilities)
    low, high = share_interval(share, len(targets))
    return {
        "photos": float(len(targets)),
        "folds": float(FOLDS),
        "accuracy": share,
        "accuracy_low": low,
        "accuracy_high": high,
    }
