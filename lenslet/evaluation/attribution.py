"""Pixel attribution by integrated gradients of the Keras network; the only module of the room with TensorFlow."""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

BATCH_SIZE = 16


@dataclass(frozen=True)
class Attribution:
    """Contribution of each pixel to the logit of one class, relative to a black picture."""

    pixels: NDArray[np.float32]  # shape (size, size), summed over the channels
    logit: float  # of the picture
    baseline_logit: float  # of the black picture

    @property
    def completeness_error(self) -> float:
        """Relative error of the completeness axiom: attributions must sum to the change of the logit."""
        change = self.logit - self.baseline_logit
        return abs(float(self.pixels.sum()) - change) / max(abs(change), 1e-6)


def integrated_gradients(
    network: keras.Model, picture: NDArray[np.uint8], class_index: int, steps: int = 256
) -> Attribution:
    """Integrated gradients (Sundararajan, Taly, Yan 2017) from a black baseline, by the midpoint rule.

    Args: a network of `lenslet.network.assembly`; uint8 RGB, shape (size, size, 3); the class to explain; the number of
        points on the path.
    """
    # Casting from uint8 has no gradient, so the path starts after the scaling layer.
    scaled = network.get_layer("scaling").output
    behind = keras.Model(scaled, network.get_layer("logits").output)
    before = keras.Model(network.input, scaled)
    ends = before.predict(np.stack([np.zeros_like(picture), picture]), verbose=0)
    baseline, image = tf.constant(ends[0]), tf.constant(ends[1])
    gradients = tf.zeros_like(image)
    for start in range(0, steps, BATCH_SIZE):
        along = (tf.range(start, min(start + BATCH_SIZE, steps), dtype=tf.float32) + 0.5) / steps
        points = baseline + along[:, tf.newaxis, tf.newaxis, tf.newaxis] * (image - baseline)
        with tf.GradientTape() as tape:
            tape.watch(points)
            logits = behind(points, training=False)[:, class_index]
        gradients += tf.reduce_sum(tape.gradient(logits, points), axis=0)
    attributions = (image - baseline) * gradients / steps
    logits = behind.predict(ends, verbose=0)[:, class_index]
    return Attribution(attributions.numpy().sum(axis=-1), float(logits[1]), float(logits[0]))
