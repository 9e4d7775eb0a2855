"""What fine-tuning does to a batch of photos, so that no two epochs show the same pixels."""

from typing import Any

import keras
import tensorflow as tf

from training.params import AugmentationParams

VALUE_RANGE = (0, 255)
DRAWS_APART = 64  # more than a layer draws for one batch, so that no two batches share a draw


def build_augmentation(params: AugmentationParams, seed: int) -> keras.Sequential:
    """Random flip, shift, zoom and contrast, each left out where its number is 0.

    Returns: a model uint8 RGB (batch, size, size, 3) → the same shape and range, drawn anew for each picture.
    """
    # Places outside the photo are filled by reflection: black borders would be a clue that no real photo has.
    fill = {"fill_mode": "reflect", "seed": seed}
    layers: list[Any] = []
    if params.flip != "none":
        mode = {"horizontal": "horizontal", "both": "horizontal_and_vertical"}[params.flip]
        layers.append(keras.layers.RandomFlip(mode, seed=seed))
    if params.shift:
        layers.append(keras.layers.RandomTranslation(params.shift, params.shift, **fill))
    if params.zoom:
        layers.append(keras.layers.RandomZoom(params.zoom, **fill))
    if params.contrast:
        layers.append(keras.layers.RandomContrast(params.contrast, value_range=VALUE_RANGE, seed=seed))
    return keras.Sequential([*layers, _ToBytes()], name="augmentation")


def reseed(model: keras.Model, seed: int, draw: int | tf.Tensor) -> None:
    """Make the model's next random draws depend on `seed` and on the number `draw` alone, whatever came before.

    Each random layer gets a seed of its own: with the same one, all photos that are flipped would be shifted in
    the same direction. Inside a graph, such as that of tf.data, `draw` may be a tensor.
    """
    states = [each for each in model.variables if each.name == "seed_generator_state"]
    for number, state in enumerate(states):
        state.assign(
            tf.stack([tf.cast(seed + number, state.dtype), tf.cast(draw * DRAWS_APART, state.dtype)])
        )


class _ToBytes(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Back to the uint8 that the network takes."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.clip_by_value(tf.round(images), *VALUE_RANGE), tf.uint8)
