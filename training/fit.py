"""The two steps of training: a head on cached features, then fine-tuning of the whole network on pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from training.augmentation import build_augmentation
from training.dataset import Dataset
from training.network import logits_of, unfreeze
from training.params import HeadParams, TrainParams

History = Mapping[str, list[float]]  # metric → its value after each epoch


@dataclass(frozen=True)
class Fold:
    """Features and class indices of one split."""

    features: NDArray[np.float32]  # shape (photos, channels)
    targets: NDArray[np.int64]  # shape (photos,)


def fit_head(
    train: Fold, validation: Fold, classes: int, params: HeadParams
) -> tuple[list[NDArray[np.float32]], History]:
    """Fit a dense head on pooled features; keeps the weights of the epoch with the lowest validation loss.

    Returns: weights for `network.set_head`, and the history.
    """
    layers: list[keras.layers.Layer] = [keras.Input(train.features.shape[1:])]
    if params.hidden_units:
        layers.append(keras.layers.Dense(params.hidden_units, activation="relu"))
    layers += [keras.layers.Dropout(params.dropout), keras.layers.Dense(classes)]
    head = keras.Sequential(layers)
    head.compile(
        optimizer=keras.optimizers.Adam(params.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    stop = keras.callbacks.EarlyStopping("val_loss", patience=params.patience, restore_best_weights=True)
    with tqdm(total=params.epochs, desc="fitting the head", unit=" epochs", leave=False) as progress:
        fitted = head.fit(
            train.features,
            train.targets,
            batch_size=params.batch_size,
            epochs=params.epochs,
            validation_data=(validation.features, validation.targets),
            callbacks=[
                stop,
                keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: progress.update()),
            ],
            verbose=0,
        )
    return head.get_weights(), fitted.history


def fine_tune(network: keras.Model, dataset: Dataset, params: TrainParams, run: Path) -> History:
    """Train backbone and head together on augmented photos; leaves `network` with the best epoch's weights.

    The best epoch is that of the lowest validation loss; if no epoch is better than the network was on entry,
    that one stays. `run` is the folder for the log and the best weights.
    """
    tuned = params.fine_tune
    unfreeze(network, params.backbone)
    train, validation = _train_batches(dataset, params), _batches(dataset, "validation", tuned.batch_size)
    trained = logits_of(network)
    trained.compile(
        optimizer=_optimizer(params, steps_per_epoch=len(train)),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=tuned.label_smoothing),
        metrics=["accuracy"],
    )
    run.mkdir(parents=True)
    entry_loss = trained.evaluate(validation, verbose=0)[0]
    best = run / "best.weights.h5"
    trained.save_weights(best)
    fitted = trained.fit(
        train,
        validation_data=validation,
        epochs=tuned.epochs,
        shuffle=False,  # `train` shuffles itself
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                best,
                "val_loss",
                save_best_only=True,
                save_weights_only=True,
                initial_value_threshold=entry_loss,
            ),
            keras.callbacks.EarlyStopping("val_loss", patience=tuned.patience),
            keras.callbacks.CSVLogger(run / "log.csv"),
        ],
    )
    trained.load_weights(best)
    history: History = fitted.history
    return history


def validate(network: keras.Model, dataset: Dataset, params: TrainParams) -> dict[str, float]:
    """Accuracy and log loss of the network's probabilities on the validation photos."""
    judged = keras.Model(network.input, network.output["probabilities"])
    judged.compile(loss=keras.losses.CategoricalCrossentropy(), metrics=["accuracy"])
    loss, accuracy = judged.evaluate(_batches(dataset, "validation", params.fine_tune.batch_size), verbose=0)
    return {"accuracy": accuracy, "log_loss": loss}


def _optimizer(params: TrainParams, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    tuned = params.fine_tune
    warmup = int(tuned.warmup_epochs * steps_per_epoch)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        decay_steps=max(1, tuned.epochs * steps_per_epoch - warmup),
        warmup_target=tuned.learning_rate,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=tuned.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _train_batches(dataset: Dataset, params: TrainParams) -> tf.data.Dataset:
    augment = build_augmentation(params.augmentation, params.seed)
    batches = _batches(dataset, "train", params.fine_tune.batch_size, shuffle_seed=params.seed)
    return batches.map(lambda images, targets: (augment(images, training=True), targets)).prefetch(2)


def _batches(
    dataset: Dataset, split: str, batch_size: int, shuffle_seed: int | None = None
) -> tf.data.Dataset:
    """Batches of (pixels, one-hot targets), read from the memory map as they are needed."""
    members, classes = dataset.members(split), len(dataset.labels)
    shape = dataset.pixels.shape[1:]

    def read(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return dataset.pixels[rows]

    def load(rows: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.numpy_function(read, [rows], tf.uint8, stateful=False)
        return tf.ensure_shape(pixels, (None, *shape)), tf.one_hot(targets, classes)

    batches = tf.data.Dataset.from_tensor_slices((dataset.rows[members], dataset.targets[members]))
    if shuffle_seed is not None:
        batches = batches.shuffle(len(members), seed=shuffle_seed, reshuffle_each_iteration=True)
    return batches.batch(batch_size).map(load, num_parallel_calls=2).prefetch(2)
