"""Metrics of a network on the validation photos."""

from collections.abc import Mapping

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from lenslet.config import TrainParams
from lenslet.dataset.dataset import Dataset
from lenslet.evaluation.calibration import fit_temperature
from lenslet.evaluation.metrics import accuracy, log_loss
from lenslet.training.batches import split_batches


def validate(network: keras.Model, dataset: Dataset, params: TrainParams) -> dict[str, float]:
    """Accuracy and log loss of the network's probabilities on the validation photos."""
    probabilities = validation_probabilities(network, dataset, params.fine_tune.batch_size)
    targets = dataset.targets[dataset.members("validation")]
    return {"accuracy": accuracy(targets, probabilities), "log_loss": log_loss(targets, probabilities)}


def figures_of(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy and log loss of softmax(logits); `logits`: shape (photos, classes); `targets`: shape (photos,)."""
    probabilities = softmax(logits, axis=1)
    return {"accuracy": accuracy(targets, probabilities), "log_loss": log_loss(targets, probabilities)}


def validation_probabilities(network: keras.Model, dataset: Dataset, batch_size: int) -> NDArray[np.float32]:
    """The network's probabilities for the validation photos, shape (photos, classes)."""
    answering = keras.Model(network.input, network.output["probabilities"])
    probabilities: NDArray[np.float32] = answering.predict(
        split_batches(dataset, "validation", batch_size), verbose=0
    )
    return probabilities


def calibrated_figures(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy and log loss after temperature scaling on the same photos.

    `logits`: shape (photos, classes); `targets`: class indices, shape (photos,).
    """
    return figures_of(logits / fit_temperature(logits, targets), targets)


def in_words(figures: Mapping[str, float], photos: int) -> str:
    """Accuracy, with the number of `photos` that it is of, and log loss as a line of the output.

    Figures of out-of-fold answers have the number of `folds`.
    """
    right = f"{figures['accuracy'] * photos:,.0f} of {photos:,}"
    kind = "cross-validated" if "folds" in figures else "validation"
    return f"{kind} accuracy {figures['accuracy']:.4f} ({right}), log loss {figures['log_loss']:.4f}"
