"""How right a classifier is: flat figures with stable names, from labels and probabilities."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)


def score(
    labels: Sequence[str], targets: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> dict[str, float]:
    """Accuracy, macro F1, log loss, area under the ROC curve, and precision, recall and F1 of each class.

    Args: class indices (photos,) and probabilities (photos, classes); every class must occur in `targets`.
    Returns: flat keys, as "accuracy" and "recall.forest". With two classes the area is that of the second
        label; with more, the mean over classes of one against the rest.
    """
    columns = list(range(len(labels)))
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    predicted = exact.argmax(axis=1)
    precision, recall, f1, _ = precision_recall_fscore_support(
        targets, predicted, labels=columns, zero_division=0.0
    )
    area = roc_auc_score(
        targets, exact[:, 1] if len(labels) == 2 else exact, multi_class="ovr", labels=columns
    )
    figures = {
        "photos": len(targets),
        "accuracy": accuracy(targets, exact),
        "macro_f1": np.mean(f1),
        "log_loss": log_loss(targets, exact, labels=columns),
        "roc_auc": area,
    }
    for name, per_class in (("precision", precision), ("recall", recall), ("f1", f1)):
        figures |= {f"{name}.{label}": value for label, value in zip(labels, per_class, strict=True)}
    return {key: float(value) for key, value in figures.items()}


def confusion(
    classes: int, targets: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Counts, shape (classes, classes): rows are the true classes, columns the predicted ones."""
    counts: NDArray[np.int64] = confusion_matrix(
        targets, probabilities.argmax(axis=1), labels=list(range(classes))
    )
    return counts


def bootstrap_interval(
    metric: Callable[[NDArray[np.int64], NDArray[np.float32]], float],
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The 95 % percentile interval of a metric over photos drawn with replacement (Efron 1979).

    `metric` takes class indices (photos,) and probabilities (photos, classes).
    """
    random = np.random.default_rng(seed)
    drawn = (random.integers(0, len(targets), len(targets)) for _ in range(draws))
    values = [metric(targets[photos], probabilities[photos]) for photos in drawn]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def accuracy(targets: NDArray[np.int64], probabilities: NDArray[np.floating[Any]]) -> float:
    """Share of photos whose most probable class is the true one."""
    return float(np.mean(probabilities.argmax(axis=1) == targets))
