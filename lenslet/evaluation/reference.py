"""Reference distributions of a model's answers on validation photos, or out of fold: what drift is measured against."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Score of an answer → its meaning. A new score is a row here and a line in `scores_of`.
SCORES = {
    "confidence": "calibrated probability of the predicted label",
    "entropy": "entropy of the probabilities, in nats",
    "ood_score": "as the model computes it; higher is further from the training photos",
}
QUANTILES = 201  # more would only describe the sampling noise of a few thousand validation photos
DIGITS = 5


@dataclass(frozen=True)
class Reference:
    """Summary of the answers for `photos` validation photos."""

    photos: int
    calibration_gap: float  # accuracy − mean confidence
    calibration_gap_error: float  # standard error of that difference
    quantiles: Mapping[str, NDArray[np.float64]]  # key of SCORES → QUANTILES values, ascending
    confusion: NDArray[np.int64]  # shape (classes, classes): rows are the true classes, columns the predicted

    @property
    def accuracy(self) -> float:
        return float(np.trace(self.confusion) / self.confusion.sum())


def scores_of(
    probabilities: NDArray[np.floating[Any]], ood_scores: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """The SCORES of answers with these probabilities (answers, classes) and OOD scores (answers,)."""
    exact = np.maximum(probabilities.astype(np.float64), np.finfo(np.float64).tiny)
    return {
        "confidence": exact.max(axis=1),
        "entropy": -(exact * np.log(exact)).sum(axis=1),
        "ood_score": ood_scores.astype(np.float64),
    }


def reference_of(
    targets: NDArray[np.int64], probabilities: NDArray[np.floating[Any]], ood_scores: NDArray[np.float64]
) -> Reference:
    """Summarise the answers for validation photos.

    Args: class indices (photos,), calibrated probabilities (photos, classes), OOD scores (photos,).
    """
    photos, classes = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    scores = scores_of(probabilities, ood_scores)
    gaps = (predicted == targets) - scores["confidence"]
    counts = np.bincount(targets * classes + predicted, minlength=classes**2).reshape(classes, classes)
    levels = np.linspace(0, 1, QUANTILES)
    return Reference(
        photos=photos,
        calibration_gap=float(gaps.mean()),
        calibration_gap_error=float(gaps.std() / np.sqrt(photos)),
        quantiles={name: np.quantile(values, levels) for name, values in scores.items()},
        confusion=counts,
    )


def to_json(reference: Reference) -> dict[str, Any]:
    """As `model.json` keeps it; of the confusion matrix only what is not zero, as [true, predicted, count]."""
    rows, columns = np.nonzero(reference.confusion)
    counts = reference.confusion[rows, columns]
    return {
        "photos": reference.photos,
        "calibration_gap": round(reference.calibration_gap, DIGITS),
        "calibration_gap_error": round(reference.calibration_gap_error, DIGITS),
        "quantiles": {name: values.round(DIGITS).tolist() for name, values in reference.quantiles.items()},
        "confusion": np.stack([rows, columns, counts], axis=1).tolist(),
    }


def from_json(content: Mapping[str, Any], classes: int) -> Reference:
    """The reference that `to_json` wrote. Raises ValueError if it is empty or of another number of classes."""
    try:
        confusion = np.zeros((classes, classes), np.int64)
        rows, columns, counts = np.array(content["confusion"], np.int64).T
        confusion[rows, columns] = counts
        return Reference(
            photos=int(content["photos"]),
            calibration_gap=float(content["calibration_gap"]),
            calibration_gap_error=float(content["calibration_gap_error"]),
            quantiles={name: np.array(content["quantiles"][name], np.float64) for name in SCORES},
            confusion=confusion,
        )
    except (KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
        raise ValueError("no reference distributions for these labels: convert the model again") from error
