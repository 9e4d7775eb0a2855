"""Exponential moving average of a network's weights during training (Polyak and Juditsky 1992).

Keras's `use_ema` would not do: it leaves out the statistics of BatchNorm, has no warm-up of the decay, and validates
the weights that are trained.
"""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from numpy.typing import NDArray


class MovingAverage(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Average the weights of a model after each step, and let the average be validated in their place.

    After step t, counted from 0, the average keeps min(decay, (1 + t) / (10 + t)) of what it was, so that it soon
    forgets where a short training began.
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        """`decay`: from 0 on, below 1. The average begins with the weights that `model` has now."""
        super().__init__()
        self._weights, self._decay = model.weights, decay
        self._means = [
            keras.Variable(keras.ops.convert_to_numpy(each), dtype=each.dtype, trainable=False)
            for each in self._weights
        ]
        self._steps = keras.Variable(0, dtype="int64", trainable=False)
        self._update = tf.function(self._updated)

    @property
    def variables(self) -> list[keras.Variable]:
        """What a checkpoint must hold: the average, and the number of steps so far."""
        return [*self._means, self._steps]

    def weights(self) -> list[NDArray[Any]]:
        """The average, as `model.get_weights` gives weights; not during validation."""
        return [keras.ops.convert_to_numpy(each) for each in self._means]

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._update()

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self._swap()

    def on_test_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._swap()

    def _updated(self) -> None:
        step = keras.ops.cast(self._steps, "float32")
        rate = 1 - keras.ops.minimum(self._decay, (1 + step) / (10 + step))
        for mean, weight in zip(self._means, self._weights, strict=True):
            # As a difference, which leaves constant weights as they are.
            mean.assign(mean + keras.ops.cast(rate, mean.dtype) * (weight - mean))
        self._steps.assign(self._steps + 1)

    def _swap(self) -> None:
        for mean, weight in zip(self._means, self._weights, strict=True):
            averaged, trained = (keras.ops.convert_to_numpy(each) for each in (mean, weight))
            mean.assign(trained)
            weight.assign(averaged)
