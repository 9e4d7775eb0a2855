"""Batches of photos for fine-tuning: their order, augmentation and reading as a tf.data pipeline."""

import math

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lenslet.config import FineTuneParams, TrainParams
from lenslet.dataset.dataset import Dataset
from lenslet.network.augmentation import augment, for_dataset_size
from lenslet.training.class_weights import class_weight_vector


def steps_per_epoch(photos: int, params: FineTuneParams) -> int:
    """Batches of one epoch: each photo once, or several times if that is fewer than `min_steps_per_epoch` batches."""
    return max(math.ceil(photos / params.batch_size), params.min_steps_per_epoch)


def train_batches(
    dataset: Dataset,
    params: TrainParams,
    epochs: range = range(1),
    targets: NDArray[np.float32] | None = None,
    weights: NDArray[np.float32] | None = None,
) -> tf.data.Dataset:
    """Augmented batches of (pixels, targets) of the training photos, epoch after epoch.

    `targets`: probabilities to learn, shape (photos of the dataset, classes); one-hot labels without. With `weights`,
    0 to 1, shape (photos of the dataset,), batches have a third part: these weights, times those of the classes, which
    Keras would refuse beside them.

    Order and augmentation depend on the seed and the epoch's number alone, so that training resumed from a checkpoint
    gets the batches that it would have got without the interruption.
    """
    members, batch_size = dataset.members("train"), params.fine_tune.batch_size
    steps = steps_per_epoch(len(members), params.fine_tune)
    is_once = steps == math.ceil(len(members) / batch_size)  # then the last batch may be a smaller one
    passes = 1 if is_once else math.ceil(steps * batch_size / len(members))
    augmentation = for_dataset_size(params.augmentation, len(members))
    learned = one_hot(dataset) if targets is None else targets
    by_class = class_weight_vector(dataset.targets[members], len(dataset.labels), params.class_weights)

    def positions(epoch: tf.Tensor) -> tf.data.Dataset:
        orders = [
            tf.random.experimental.stateless_shuffle(
                members, seed=tf.stack([params.seed, epoch * passes + number])
            )
            for number in range(passes)
        ]
        return tf.data.Dataset.from_tensor_slices(tf.concat(orders, 0)).batch(batch_size).take(steps)

    def augmented(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        return augment(*batch, augmentation, params.seed, draw=step)

    def weighted(pixels: tf.Tensor, scaled: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        total = tf.reduce_sum(scaled, axis=1)
        of_class = tf.gather(by_class, tf.argmax(scaled, axis=1))  # as Keras has it
        return pixels, tf.math.divide_no_nan(scaled, total[:, tf.newaxis]), total * of_class

    numbers = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(positions)
    # Targets are scaled by the weights before photos are blended: a blend has of each what its weight allows.
    scaled = learned if weights is None else learned * weights[:, np.newaxis]
    numbered = _loaded(numbers, dataset, scaled).enumerate(epochs.start * steps)
    batches = numbered.map(augmented, num_parallel_calls=2)
    batches = batches if weights is None else batches.map(weighted)
    options = tf.data.Options()  # one machine reads all photos, however many GPUs share the batch
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    counted = batches.apply(tf.data.experimental.assert_cardinality(len(epochs) * steps))
    return counted.with_options(options).prefetch(2)


def split_batches(dataset: Dataset, split: str, batch_size: int) -> tf.data.Dataset:
    """Batches of (pixels, one-hot targets) of a split, in the dataset's order."""
    numbers = tf.data.Dataset.from_tensor_slices(dataset.members(split)).batch(batch_size)
    return _loaded(numbers, dataset, one_hot(dataset))


def one_hot(dataset: Dataset) -> NDArray[np.float32]:
    """The labels as probabilities, shape (photos, classes)."""
    return np.eye(len(dataset.labels), dtype=np.float32)[dataset.targets]


def _loaded(positions: tf.data.Dataset, dataset: Dataset, targets: NDArray[np.float32]) -> tf.data.Dataset:
    """Batches of positions → batches of (pixels, targets), read from the file as needed."""
    shape = dataset.pixels.shape[1:]

    def read(members: NDArray[np.int64]) -> NDArray[np.uint8]:
        pixels: NDArray[np.uint8] = dataset.pixels[dataset.rows[members]]
        return pixels

    def load(members: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.numpy_function(read, [members], tf.uint8, stateful=False)
        return tf.ensure_shape(pixels, (None, *shape)), tf.gather(targets, members)

    return positions.map(load, num_parallel_calls=2).prefetch(2)
