"""Classification metrics from targets and probabilities, as flat figures with stable keys (`metric_table`)."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn import metrics as sklearn_metrics
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

MAX_DRAWN = 500_000_000  # of a bootstrap; the area under the ROC curve takes 0.2 µs for each


def score(
    labels: Sequence[str], targets: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> dict[str, float]:
    """Accuracy, macro F1, log loss, area under the ROC curve, and precision, recall and F1 of each class.

    Args: class indices (photos,) and probabilities (photos, classes); every class must occur in `targets`.
    Returns: flat keys, as "accuracy" and "recall.forest".
    """
    columns = list(range(len(labels)))
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    predicted = exact.argmax(axis=1)
    precision, recall, f1, _ = precision_recall_fscore_support(
        targets, predicted, labels=columns, zero_division=0.0
    )
    figures = {
        "photos": len(targets),
        "accuracy": accuracy(targets, exact),
        "macro_f1": np.mean(f1),
        "log_loss": log_loss(targets, exact),
        "roc_auc": roc_auc(targets, exact),
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

    `metric` takes class indices (photos,) and probabilities (photos, classes). Of very many probabilities there are
    fewer draws, 100 at least: `MAX_DRAWN` probabilities in all.
    """
    draws = min(draws, max(100, MAX_DRAWN // probabilities.size))
    random = np.random.default_rng(seed)
    drawn = (random.integers(0, len(targets), len(targets)) for _ in range(draws))
    values = [metric(targets[photos], probabilities[photos]) for photos in drawn]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def accuracy(targets: NDArray[np.int64], probabilities: NDArray[np.floating[Any]]) -> float:
    """Share of photos whose most probable class is the true one."""
    return float(np.mean(probabilities.argmax(axis=1) == targets))


def share_interval(share: float, photos: float) -> tuple[float, float]:
    """95 % interval of a share of so many photos (Wilson 1927), which has a width even if all or none are right."""
    z = 1.96
    centre = (share + z**2 / (2 * photos)) / (1 + z**2 / photos)
    half = z / (1 + z**2 / photos) * math.sqrt(share * (1 - share) / photos + z**2 / (4 * photos**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracy_gain(targets: NDArray[np.int64], probabilities: NDArray[np.floating[Any]]) -> float:
    """Accuracy less that of a model that always names the commonest class of these photos: 0 is worth nothing."""
    return accuracy(targets, probabilities) - float(np.bincount(targets).max() / len(targets))


def log_loss(targets: NDArray[np.int64], probabilities: NDArray[np.floating[Any]]) -> float:
    """Mean of −ln of the true class's probability, after each row is scaled to a sum of 1 in float64."""
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    return float(sklearn_metrics.log_loss(targets, exact, labels=list(range(exact.shape[1]))))


def min_recall(targets: NDArray[np.int64], probabilities: NDArray[np.floating[Any]]) -> float:
    """Lowest per-class recall; classes that are absent from `targets` do not count."""
    photos = np.bincount(targets)
    found = np.bincount(targets[probabilities.argmax(axis=1) == targets], minlength=len(photos))
    return float((found[photos > 0] / photos[photos > 0]).min())


def roc_auc(targets: NDArray[np.int64], probabilities: NDArray[np.floating[Any]]) -> float:
    """Area under the ROC curve of one class against the rest, mean over the classes; NaN if only one class occurs.

    By ranks (Mann and Whitney 1947), nine times as fast as integrating each curve, which counts in a bootstrap. Classes
    that are absent, as they may be in a bootstrap sample, are left out of the mean.
    """
    is_class = np.eye(probabilities.shape[1], dtype=bool)[targets]
    positives = is_class.sum(axis=0)
    pairs = positives * (len(targets) - positives)
    ranks = (rankdata(probabilities, axis=0) * is_class).sum(axis=0)
    ordered = ranks - positives * (positives + 1) / 2
    return float(np.mean(ordered[pairs > 0] / pairs[pairs > 0])) if pairs.any() else np.nan
