"""The two steps of training: a head on cached features, then fine-tuning of the whole network on pixels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from lenslet.config import FineTuneParams, HeadParams, TrainParams
from lenslet.dataset.dataset import Dataset
from lenslet.network.assembly import build_feature_extractor, build_network, logits_of, set_head, unfreeze
from lenslet.network.augmentation import Augmentation, for_dataset_size, reseed
from lenslet.network.backbones import build_backbone
from lenslet.network.devices import Acceleration, computing_in
from lenslet.network.head import build_head
from lenslet.training.checkpoint import Checkpointing, restore, state_of
from lenslet.training.features import cached_features
from lenslet.training.run import Checkpoint, read_checkpoint, write_checkpoint

History = Mapping[str, list[float]]  # metric → its value after each epoch


@dataclass(frozen=True)
class Fold:
    """Features and class indices of one split."""

    features: NDArray[np.float32]  # shape (photos, channels)
    targets: NDArray[np.int64]  # shape (photos,)


def head_folds(
    backbone: keras.Model, dataset: Dataset, params: TrainParams, cache: Path
) -> tuple[Fold, Fold]:
    """What a head is fitted to and judged by: the backbone's features of the training and validation photos."""
    extractor = build_feature_extractor(backbone, params)
    train, validation = (
        Fold(cached_features(extractor, dataset, members, cache), dataset.targets[members])
        for members in (dataset.members("train"), dataset.members("validation"))
    )
    return train, validation


def train_network(
    dataset: Dataset, params: TrainParams, folds: tuple[Fold, Fold], run: Path, accelerated: Acceleration
) -> tuple[keras.Model, Mapping[str, History]]:
    """A network trained as `params` say, and the history of each step: a head fitted to `folds`, then fine-tuning.

    `run` is as `fine_tune` takes it. Raises: WeightsUnavailable; CheckpointError.
    """
    keras.utils.set_random_seed(params.seed)
    with accelerated.strategy.scope():
        network = build_network(build_backbone(params.backbone), len(dataset.labels), params)
    weights, history = fit_head(*folds, len(dataset.labels), params.head, params.class_weights)
    set_head(network, weights)
    if not params.fine_tune.epochs:
        return network, {"head": history}
    tuned = fine_tune(network, dataset, params, run, accelerated.precision)
    return network, {"head": history, "fine_tune": tuned}


def fit_head(
    train: Fold,
    validation: Fold,
    classes: int,
    params: HeadParams,
    class_weights: Literal["none", "balanced"] = "none",
) -> tuple[list[NDArray[np.float32]], History]:
    """Fit a dense head on pooled features; keeps the weights of the epoch with the lowest validation log loss.

    Returns: weights for `network.set_head`, and the history.
    """
    head = build_head(train.features.shape[1], classes, params)
    stop = keras.callbacks.EarlyStopping(
        "val_log_loss", patience=params.patience, mode="min", restore_best_weights=True
    )
    with tqdm(total=params.epochs, desc="fitting the head", unit=" epochs", leave=False) as progress:
        fitted = head.fit(
            train.features,
            keras.utils.to_categorical(train.targets, classes),
            batch_size=params.batch_size,
            epochs=params.epochs,
            validation_data=(validation.features, keras.utils.to_categorical(validation.targets, classes)),
            class_weight=class_weight(train.targets, classes, class_weights),
            callbacks=[
                stop,
                keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: progress.update()),
            ],
            verbose=0,
        )
    return head.get_weights(), fitted.history


def class_weight(
    targets: NDArray[np.int64], classes: int, rule: Literal["none", "balanced"]
) -> dict[int, float] | None:
    """What the loss of a photo counts by its class, 1 on average over the photos, in the form that Keras takes.

    `balanced`: photos / (classes × photos of the class), so that every class counts the same in sum (King and
    Zeng 2001).
    """
    if rule == "none":
        return None
    counts = np.bincount(targets, minlength=classes)
    return {number: len(targets) / (classes * int(count)) for number, count in enumerate(counts)}


def fine_tune(
    network: keras.Model,
    dataset: Dataset,
    params: TrainParams,
    run: Path,
    precision: str = "float32",
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> History:
    """Train backbone and head together on augmented photos; leaves `network` with the best epoch's weights.

    The best epoch is that of the lowest validation loss; if no epoch is better than the network was on entry,
    that one stays. With fewer than `min_validation_photos` validation photos the last epoch is taken for the best.
    `run` is the folder for logs and checkpoint; if it holds a checkpoint, training goes on from there. `precision`
    is what the backbone computes in meanwhile, a Keras dtype policy. `callbacks` hear of an epoch once its checkpoint
    is written.
    Raises: CheckpointError if the checkpoint is damaged or of another network.
    """
    tuned, members = params.fine_tune, dataset.members("train")
    steps = steps_per_epoch(len(members), tuned)
    is_judged = len(dataset.members("validation")) >= tuned.min_validation_photos
    patience = tuned.patience if is_judged else tuned.epochs
    validation = _batches(dataset, "validation", tuned.batch_size)
    unfreeze(network, params.backbone)
    with network.distribute_strategy.scope(), computing_in(precision, network.get_layer("backbone")):
        trained = logits_of(network)
        _compile(trained, params, steps, precision)
        checkpoint = _begin_or_go_on(trained, validation, run)
        first = len(checkpoint.losses)
        if first < tuned.epochs and not checkpoint.is_at_end_of(patience):
            kept = Checkpointing(run, checkpoint, patience, is_judged)
            trained.fit(
                train_batches(dataset, params, range(first, tuned.epochs)),
                validation_data=validation,
                initial_epoch=first,
                epochs=tuned.epochs,
                steps_per_epoch=steps,
                shuffle=False,  # the batches come in an order of their own
                class_weight=class_weight(
                    dataset.targets[members], len(dataset.labels), params.class_weights
                ),
                # Scalars only: pictures of the graph and profiles are large, and slow every epoch.
                callbacks=[
                    kept,
                    keras.callbacks.TensorBoard(run / "tensorboard", write_graph=False, profile_batch=0),
                    *callbacks,
                ],
            )
            checkpoint = kept.checkpoint
        trained.set_weights(checkpoint.best)
    return checkpoint.history


def _compile(trained: keras.Model, params: TrainParams, steps: int, precision: str) -> None:
    smoothing = params.fine_tune.label_smoothing
    trained.compile(
        optimizer=optimizer_for(params, steps, precision),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing),
        metrics=["accuracy"],
    )


def _begin_or_go_on(trained: keras.Model, validation: tf.data.Dataset, run: Path) -> Checkpoint:
    """The checkpoint of `run`, put into the compiled model; a first one if there is none."""
    trained.optimizer.build(trained.trainable_variables)
    checkpoint = read_checkpoint(run)
    if checkpoint:
        restore(trained, checkpoint.variables)
    else:
        loss, _ = trained.evaluate(validation, verbose=0)
        checkpoint = Checkpoint(entry_loss=loss, variables=state_of(trained), best=trained.get_weights())
    write_checkpoint(run, checkpoint)
    return checkpoint


def validate(network: keras.Model, dataset: Dataset, params: TrainParams) -> dict[str, float]:
    """Accuracy and log loss of the network's probabilities on the validation photos."""
    judged = keras.Model(network.input, network.output["probabilities"])
    judged.compile(loss=keras.losses.CategoricalCrossentropy(), metrics=["accuracy"])
    loss, accuracy = judged.evaluate(_batches(dataset, "validation", params.fine_tune.batch_size), verbose=0)
    return {"accuracy": accuracy, "log_loss": loss}


def optimizer_for(
    params: TrainParams, steps_per_epoch: int, precision: str = "float32"
) -> keras.optimizers.Optimizer:
    """AdamW under one schedule for all epochs of fine-tuning; `precision` as `fine_tune` takes it."""
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
    # Small gradients would vanish in float16. Keras wraps by itself only where the whole model is of that policy.
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer


def steps_per_epoch(photos: int, params: FineTuneParams) -> int:
    """Batches of one epoch: every photo once, or, where that is fewer than `min_steps_per_epoch`, several times."""
    return max(math.ceil(photos / params.batch_size), params.min_steps_per_epoch)


def train_batches(dataset: Dataset, params: TrainParams, epochs: range = range(1)) -> tf.data.Dataset:
    """Augmented batches of (pixels, one-hot targets) of the training photos, epoch after epoch.

    Order and augmentation follow from the seed and the epoch's number alone: training that goes on from a
    checkpoint sees what it would have seen without a break.
    """
    members, batch_size = dataset.members("train"), params.fine_tune.batch_size
    steps = steps_per_epoch(len(members), params.fine_tune)
    is_once = steps == math.ceil(len(members) / batch_size)  # then the last batch may be a smaller one
    passes = 1 if is_once else math.ceil(steps * batch_size / len(members))
    augment = Augmentation(for_dataset_size(params.augmentation, len(members)), params.seed)

    def positions(epoch: tf.Tensor) -> tf.data.Dataset:
        orders = [
            tf.random.experimental.stateless_shuffle(
                members, seed=tf.stack([params.seed, epoch * passes + number])
            )
            for number in range(passes)
        ]
        return tf.data.Dataset.from_tensor_slices(tf.concat(orders, 0)).batch(batch_size).take(steps)

    def augmented(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        reseed(augment, params.seed, draw=step)
        images, targets = augment(*batch)
        return images, targets

    batches = _loaded(tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(positions), dataset)
    numbered = batches.enumerate(epochs.start * steps).map(augmented)  # one at a time: they share their seeds
    alone = tf.data.Options()  # one machine reads all photos, however many GPUs share the batch
    alone.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    counted = numbered.apply(tf.data.experimental.assert_cardinality(len(epochs) * steps))
    return counted.with_options(alone).prefetch(2)


def _batches(dataset: Dataset, split: str, batch_size: int) -> tf.data.Dataset:
    """Batches of (pixels, one-hot targets) of a split, in the dataset's order."""
    return _loaded(tf.data.Dataset.from_tensor_slices(dataset.members(split)).batch(batch_size), dataset)


def _loaded(positions: tf.data.Dataset, dataset: Dataset) -> tf.data.Dataset:
    """Batches of positions become batches of (pixels, one-hot targets), read from the file as needed."""
    targets, shape = dataset.targets, dataset.pixels.shape[1:]

    def read(members: NDArray[np.int64]) -> NDArray[np.uint8]:
        pixels: NDArray[np.uint8] = dataset.pixels[dataset.rows[members]]
        return pixels

    def load(members: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.numpy_function(read, [members], tf.uint8, stateful=False)
        return tf.ensure_shape(pixels, (None, *shape)), tf.one_hot(
            tf.gather(targets, members), len(dataset.labels)
        )

    return positions.map(load, num_parallel_calls=2).prefetch(2)
