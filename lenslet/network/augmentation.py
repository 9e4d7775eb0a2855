"""Random augmentation of training batches: flip, shift, zoom, contrast, mixup."""

from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from lenslet.config import AugmentationParams

VALUE_RANGE = (0, 255)
DRAWS_APART = 64  # more than a layer draws for one batch: no two batches share a random number


class Augmentation(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Random flip, shift, zoom and contrast, drawn anew for each photo, then mixup; each left out where it is 0.

    Called with uint8 RGB (batch, size, size, 3) and one-hot targets (batch, classes); gives the same shapes and
    types, with targets between 0 and 1 where photos are blended (Zhang et al. 2018).
    """

    def __init__(self, params: AugmentationParams, seed: int) -> None:
        super().__init__(name="augmentation")
        # Pixels outside the photo are filled by reflection: real photos have no black borders to learn from.
        fill = {"fill_mode": "reflect", "seed": seed}
        changes: list[Any] = []
        if params.flip != "none":
            mode = {"horizontal": "horizontal", "both": "horizontal_and_vertical"}[params.flip]
            changes.append(keras.layers.RandomFlip(mode, seed=seed))
        if params.shift:
            changes.append(keras.layers.RandomTranslation(params.shift, params.shift, **fill))
        if params.zoom:
            changes.append(keras.layers.RandomZoom(params.zoom, **fill))
        if params.contrast:
            changes.append(keras.layers.RandomContrast(params.contrast, value_range=VALUE_RANGE, seed=seed))
        self.changes = changes
        self.blending = keras.layers.MixUp(params.mixup, seed=seed) if params.mixup else None

    def call(self, images: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        changed = tf.cast(images, tf.float32)
        for change in self.changes:
            changed = change(changed, training=True)
        if self.blending:
            blended = self.blending({"images": changed, "labels": targets}, training=True)
            changed, targets = blended["images"], blended["labels"]
        return tf.cast(tf.clip_by_value(tf.round(changed), *VALUE_RANGE), tf.uint8), targets


def for_dataset_size(params: AugmentationParams, photos: int) -> AugmentationParams:
    """`params` for so many training photos: without mixup, if they are fewer than `mixup_min_photos`."""
    return params if photos >= params.mixup_min_photos else replace(params, mixup=0.0)


def reseed(augmentation: Augmentation, seed: int, draw: int | tf.Tensor) -> None:
    """Make the next random draws depend on `seed` and on the number `draw` alone.

    Each random layer gets a seed of its own: with the same one, all photos that are flipped would be shifted in
    the same direction. Inside a graph, such as that of tf.data, `draw` may be a tensor.
    """
    states = [each for each in augmentation.variables if each.name == "seed_generator_state"]
    for number, state in enumerate(states):
        state.assign(
            tf.stack([tf.cast(seed + number, state.dtype), tf.cast(draw * DRAWS_APART, state.dtype)])
        )
