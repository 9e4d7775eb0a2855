"""Fine-tuning of the whole network on augmented photos, under checkpoints."""

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import tensorflow as tf

from lenslet.config import TrainParams
from lenslet.dataset.dataset import Dataset
from lenslet.inference.printable import unfiltered_output
from lenslet.network.assembly import initial_network, unfreeze
from lenslet.network.devices import Acceleration, computing_in
from lenslet.network.folding import fold_network, unfold
from lenslet.network.optimizers import build_optimizer
from lenslet.training.batches import split_batches, steps_per_epoch, train_batches
from lenslet.training.checkpoint import Checkpointing, TimeLimit, restore, state_of
from lenslet.training.class_weights import class_weights
from lenslet.training.distillation import SoftLabels
from lenslet.training.features import LabelledFeatures
from lenslet.training.head_fit import train_head
from lenslet.training.moving_average import MovingAverage
from lenslet.training.record import History
from lenslet.training.run import Checkpoint, read_checkpoint, write_checkpoint

EpochCallback = Callable[[int, Mapping[str, float] | None], None]  # number of the epoch, and its metrics


def fine_tune(
    network: keras.Model,
    dataset: Dataset,
    params: TrainParams,
    run: Path,
    precision: str = "float32",
    on_epoch_end: EpochCallback | None = None,
    labels: SoftLabels | None = None,
    deadline: float = math.inf,
) -> History:
    """Train backbone and head together on augmented photos; leaves `network` with the best epoch's weights.

    The best epoch has the lowest validation loss; if none is lower than that of the network on entry, its weights
    stay. With fewer than `min_validation_photos` validation photos the last epoch counts as the best. Where `ema` is
    above 0, the moving average of the weights is what is validated and kept.
    `run` is the folder for logs and checkpoint; training resumes from a checkpoint that it holds. `precision`: the
    backbone's Keras dtype policy during training. `on_epoch_end` is called after an epoch's checkpoint is written.
    `labels` are learned in place of the photos' own. `deadline`: seconds of `time.monotonic` at which training
    ends, as if the epochs were over; the learning rate has not decayed then.
    Raises: CheckpointError if the checkpoint is damaged or of another network.
    """
    unfreeze(network, params.backbone)
    with network.distribute_strategy.scope():
        trained = fold_network(network)
    with network.distribute_strategy.scope(), computing_in(precision, trained.get_layer("backbone")):
        _compile(trained, params, steps_per_epoch(len(dataset.members("train")), params.fine_tune), precision)
        checkpoint = _fit(trained, dataset, params, run, on_epoch_end, labels, deadline)
        trained.set_weights(checkpoint.best)
    unfold(trained, network)
    return checkpoint.history


def _fit(
    trained: keras.Model,
    dataset: Dataset,
    params: TrainParams,
    run: Path,
    on_epoch_end: EpochCallback | None,
    labels: SoftLabels | None,
    deadline: float,
) -> Checkpoint:
    """Fit the compiled model for the epochs that the checkpoint of `run` lacks. Returns: the last checkpoint."""
    tuned, members = params.fine_tune, dataset.members("train")
    is_judged = len(dataset.members("validation")) >= tuned.min_validation_photos
    patience = tuned.patience if is_judged else tuned.epochs
    validation = split_batches(dataset, "validation", tuned.batch_size)
    average = MovingAverage(trained, tuned.ema) if tuned.ema else None
    checkpoint = _start_or_resume(trained, validation, run, average)
    first = len(checkpoint.losses)
    if first >= tuned.epochs or checkpoint.is_at_end_of(patience):
        return checkpoint
    kept, clock = Checkpointing(run, checkpoint, patience, is_judged, average), TimeLimit(deadline)
    # Scalars only: the graph and profiles are large, and slow every epoch.
    board = keras.callbacks.TensorBoard(run / "tensorboard", write_graph=False, profile_batch=0)
    classes, rule = len(dataset.labels), params.class_weights
    targets, weights = (labels.targets, labels.weights) if labels else (None, None)
    by_class = None if weights is not None else class_weights(dataset.targets[members], classes, rule)
    reporting = keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)
    averaging = [average] if average else []
    with unfiltered_output():
        trained.fit(
            train_batches(dataset, params, range(first, tuned.epochs), targets, weights),
            validation_data=validation,
            initial_epoch=first,
            epochs=tuned.epochs,
            steps_per_epoch=steps_per_epoch(len(members), tuned),
            verbose=1 if sys.stdout.isatty() else 2,  # a file or a pipe gets one line an epoch, and no bars
            shuffle=False,  # the batches come in an order of their own
            class_weight=by_class,
            callbacks=[*averaging, clock, kept, board, reporting],
        )
    if clock.is_over:
        done = len(kept.checkpoint.losses)
        print(
            f"time budget: fine-tuning was ended in epoch {done} of {tuned.epochs}; the best weights so far are kept"
        )
    return kept.checkpoint


def _compile(trained: keras.Model, params: TrainParams, steps: int, precision: str) -> None:
    smoothing = params.fine_tune.label_smoothing
    trained.compile(
        optimizer=fine_tuning_optimizer(params, steps, precision),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing),
        metrics=["accuracy"],
    )


def fine_tuning_optimizer(
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
    optimizer = build_optimizer("adamw", schedule, tuned.weight_decay)
    # Small gradients would vanish in float16. Keras wraps by itself only where the whole model is of that policy.
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer


def _start_or_resume(
    trained: keras.Model, validation: tf.data.Dataset, run: Path, average: MovingAverage | None
) -> Checkpoint:
    """The checkpoint of `run`, put into the compiled model and `average`; a first one if there is none."""
    trained.optimizer.build(trained.trainable_variables)
    checkpoint = read_checkpoint(run)
    if checkpoint:
        restore(trained, checkpoint, average)
    else:
        loss, _ = trained.evaluate(validation, verbose=0)
        state = state_of(trained, average)
        checkpoint = Checkpoint(entry_loss=loss, variables=state, best=trained.get_weights())
    write_checkpoint(run, checkpoint)
    return checkpoint


def train_network(
    dataset: Dataset,
    params: TrainParams,
    features: tuple[LabelledFeatures, LabelledFeatures],
    run: Path,
    accelerated: Acceleration,
) -> tuple[keras.Model, Mapping[str, History]]:
    """A network trained as `params` say, and the history of each step: a head fitted to `features`, then fine-tuning.

    `run` is as `fine_tune` takes it. Raises: WeightsUnavailable; CheckpointError.
    """
    _, network = initial_network(params, len(dataset.labels), accelerated)
    history = train_head(network, features, params)
    if not params.fine_tune.epochs:
        return network, {"head": history}
    tuned = fine_tune(network, dataset, params, run, accelerated.precision)
    return network, {"head": history, "fine_tune": tuned}
