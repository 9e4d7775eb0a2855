"""Out-of-fold predictions of a linear classifier on features: what the other photos say of each one."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from lenslet.dataset.array_file import cached_values
from lenslet.dataset.blas_threads import suitable_threads
from lenslet.inference.artifact import sha256_of

FOLDS = 5


def linear_model() -> Pipeline:
    """Standardized inputs and a strongly regularized logistic regression.

    There are more features than photos in a class, and a model that fits the labels closely fits the wrong ones too.
    """
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.05, tol=1e-3, max_iter=200))


def out_of_fold(values: NDArray[np.floating[Any]], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Class probabilities of each photo by a linear model of the others, shape (photos, classes).

    `values`: any numbers that describe the photos, shape (photos, numbers).
    """
    folds = StratifiedKFold(max(2, min(FOLDS, int(np.bincount(targets).min()))), shuffle=True, random_state=0)
    with suitable_threads(values):
        found: NDArray[np.float64] = cross_val_predict(
            linear_model(), values, targets, cv=folds, method="predict_proba"
        )
    return found


def cached_out_of_fold(
    features: NDArray[np.float32], targets: NDArray[np.int64], cache: Path
) -> NDArray[np.float64]:
    """`out_of_fold`, from `cache` if it holds the answer for these features and targets. Raises: CacheFull."""
    key = sha256_of(features.tobytes() + targets.tobytes() + f"{FOLDS} {linear_model()}".encode())[:16]
    path = cache / f"out-of-fold-{key}.npy"
    return cached_values(path, lambda: out_of_fold(features, targets))
