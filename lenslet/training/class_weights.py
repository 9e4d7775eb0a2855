"""Weights of the classes in the training loss."""

from typing import Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

ClassWeights = Literal["none", "balanced"]


def class_weights(targets: NDArray[np.int64], classes: int, rule: ClassWeights) -> dict[int, float] | None:
    """Per-class loss weights, whose mean over the photos is 1, in the form that Keras takes; None for `none`.

    `balanced`: photos / (classes × photos of the class), so that the classes contribute equally (King and Zeng 2001).
    """
    if rule == "none":
        return None
    counts = np.bincount(targets, minlength=classes)
    return {number: len(targets) / (classes * int(count)) for number, count in enumerate(counts)}


def class_weight_vector(targets: NDArray[np.int64], classes: int, rule: ClassWeights) -> tf.Tensor:
    """`class_weights` as a vector of shape (classes,)."""
    weights = class_weights(targets, classes, rule) or {}
    return tf.constant([weights.get(number, 1.0) for number in range(classes)])
