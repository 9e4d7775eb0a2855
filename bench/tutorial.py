"""Transfer learning as tutorials for Keras teach it: the peer that `bench.training` measures this trainer against.

Photos come from `image_dataset_from_directory`, augmentation is layers inside the model, and the frozen backbone runs
anew over every photo of every epoch, because its input differs each time. The decoded photos are kept in memory
and batches are prefetched, which the better tutorials do.
"""

import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from lenslet.config import AugmentationParams, TrainParams

BATCH_SIZE = 32


class Photos(NamedTuple):
    """Batches of (float32 RGB between 0 and 255, class index)."""

    train: tf.data.Dataset
    validation: tf.data.Dataset
    classes: int


class EpochClock(keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Notes when each epoch ended, in seconds of `time.perf_counter`."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.ends.append(time.perf_counter())


def read_photos(folder: Path, size: int, is_cached: bool) -> Photos:
    """The photos of `folder`/train and `folder`/val, a folder per class in each."""
    read: dict[str, Any] = {"image_size": (size, size), "batch_size": BATCH_SIZE}
    train = keras.utils.image_dataset_from_directory(folder / "train", seed=1, **read)
    validation = keras.utils.image_dataset_from_directory(folder / "val", shuffle=False, **read)
    classes = len(train.class_names)
    if is_cached:
        train, validation = train.cache().shuffle(1000), validation.cache()
    return Photos(train.prefetch(tf.data.AUTOTUNE), validation.prefetch(tf.data.AUTOTUNE), classes)


def usual_augmentation() -> list[keras.layers.Layer]:
    return [keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.2)]


def same_augmentation(params: AugmentationParams) -> list[keras.layers.Layer]:
    """The layers that this trainer's fine-tuning has by default."""
    fill = {"fill_mode": "reflect"}
    return [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomTranslation(params.shift, params.shift, **fill),
        keras.layers.RandomZoom(params.zoom, **fill),
        keras.layers.RandomContrast(params.contrast, value_range=(0, 255)),
    ]


def build_model(
    size: int, classes: int, dropout: float, augmentation: list[keras.layers.Layer], weights: Path
) -> keras.Model:
    """Augmentation, scaling, a frozen MobileNetV2 and a linear head in one model. Output: logits."""
    backbone = keras.applications.MobileNetV2(input_shape=(size, size, 3), include_top=False, weights=None)
    backbone.load_weights(weights)
    backbone.trainable = False
    inputs = keras.Input((size, size, 3))
    images = keras.Sequential(augmentation)(inputs)
    images = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    features = keras.layers.GlobalAveragePooling2D()(backbone(images, training=False))
    logits = keras.layers.Dense(classes)(keras.layers.Dropout(dropout)(features))
    return keras.Model(inputs, logits)


def fit_head(photos: Photos, params: TrainParams, weights: Path, epochs: int) -> tuple[list[float], float]:
    """Train the head of a new model.

    Returns: seconds of each epoch, the first with the making of the model, and the last validation accuracy.
    """
    clock, started = EpochClock(), time.perf_counter()
    model = build_model(params.image_size, photos.classes, params.head.dropout, usual_augmentation(), weights)
    _compile(model, keras.optimizers.Adam(params.head.learning_rate))
    fitted = model.fit(
        photos.train, validation_data=photos.validation, epochs=epochs, callbacks=[clock], verbose=0
    )
    return _differences([started, *clock.ends]), fitted.history["val_accuracy"][-1]


def fine_tune(photos: Photos, params: TrainParams, weights: Path, epochs: int) -> list[float]:
    """Train all layers but the BatchNorms, which tutorials keep in inference mode; seconds of each epoch."""
    model = build_model(
        params.image_size,
        photos.classes,
        params.head.dropout,
        same_augmentation(params.augmentation),
        weights,
    )
    [backbone] = [layer for layer in model.layers if layer.name.startswith("mobilenet")]
    backbone.trainable = True
    for layer in backbone.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    rates = {
        "learning_rate": params.fine_tune.learning_rate,
        "weight_decay": params.fine_tune.weight_decay,
    }
    _compile(model, keras.optimizers.AdamW(**rates))
    clock, started = EpochClock(), time.perf_counter()
    model.fit(photos.train, validation_data=photos.validation, epochs=epochs, callbacks=[clock], verbose=0)
    return _differences([started, *clock.ends])


def _compile(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])


def _differences(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]
