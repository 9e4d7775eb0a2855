"""The table of optimizers, and which weights they decay."""

from collections.abc import Callable
from functools import partial

import keras

# Each takes learning_rate and weight_decay; the decay is decoupled from the gradient in every one of them
# (Loshchilov and Hutter 2019), so that adamw is adam with a decay above zero.
OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": partial(keras.optimizers.SGD, momentum=0.9),
    "rmsprop": keras.optimizers.RMSprop,
}
# Biases and BatchNorm's scale and offset: decay would pull them to zero without making the network any simpler.
NOT_DECAYED = ("bias", "gamma", "beta")


def build_optimizer(
    name: str, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule, weight_decay: float
) -> keras.optimizers.Optimizer:
    """A row of OPTIMIZERS whose weight decay leaves out the variables named in NOT_DECAYED."""
    optimizer = OPTIMIZERS[name](learning_rate, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(var_names=list(NOT_DECAYED))
    return optimizer
