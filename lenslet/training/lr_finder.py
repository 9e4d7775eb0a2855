"""Learning-rate finder: a sweep over learning rates, and the rate at which the loss falls fastest.

Smith 2015, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186: train for a short while with
a rate that grows exponentially from batch to batch. The loss is constant where the rate is too small, falls where it
is right, and rises where it is too large.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from lenslet.config import HeadParams, TrainParams
from lenslet.dataset.dataset import Dataset
from lenslet.inference.errors import InputError
from lenslet.network.assembly import logits_of, unfreeze
from lenslet.network.head import build_head, update
from lenslet.network.optimizers import build_optimizer
from lenslet.training.batches import train_batches
from lenslet.training.class_weights import ClassWeights, class_weight_vector
from lenslet.training.features import LabelledFeatures

LOWEST, HIGHEST = 1e-6, 10.0  # from where Adam hardly moves to where plain SGD diverges
MIN_STEPS = 100  # small datasets are repeated: fewer points make no curve
LOOK_BACK = 1 / 25  # window of the moving average of the loss, as a share of the sweep
WARM_UP = 3  # windows at the lowest rate before the sweep: the average of few batches is noise
SLOPE_DECADES = 1.0  # width of the regression for a slope: shorter falls are noise
DIVERGED = 4.0  # the sweep ends at a loss of this many times the lowest


class LearningRateNotFound(InputError):
    """The loss fell at no learning rate of the sweep."""


@dataclass(frozen=True)
class Sweep:
    """Rates and smoothed losses up to divergence, both of shape (steps,)."""

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]  # smoothed by `smooth`

    @property
    def suggestion(self) -> float:
        return suggest(self.rates, self.losses)


def suggest(rates: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    """The rate at which the smoothed loss falls fastest, per decade of the rate, on its way to the lowest loss.

    Raises: LearningRateNotFound if it falls nowhere.
    """
    lowest = int(np.argmin(losses))
    if lowest == 0:
        raise LearningRateNotFound(
            f"the loss falls at no learning rate between {rates[0]:.1e} and {rates[-1]:.1e}: "
            "set one in params.yaml and see whether the labels belong to the photos"
        )
    slopes = _slopes(np.log10(rates), losses)
    return float(rates[int(np.argmin(slopes[: lowest + 1]))])


def _slopes(decades: NDArray[np.float64], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slope of the regression line through each point and its neighbours, one on either side at least."""
    reach = max(1, round(SLOPE_DECADES / 2 / float(np.diff(decades).mean())))
    windows = (slice(max(0, number - reach), number + reach + 1) for number in range(len(losses)))
    return np.array([np.polyfit(decades[window], losses[window], 1)[0] for window in windows])


def smooth(losses: Iterable[float], memory: float) -> Iterator[float]:
    """Exponential average with weight `memory` (0 to 1) on the past, corrected for its start at zero.

    The correction is that of Adam's averages (Kingma and Ba 2015, section 3).
    """
    average = 0.0
    for step, loss in enumerate(losses, start=1):
        average = memory * average + (1 - memory) * loss
        yield average / (1 - memory**step)


def until_diverged(losses: Iterable[float]) -> Iterator[float]:
    """The losses up to the first that is not finite or more than `DIVERGED` times the lowest before it."""
    lowest = np.inf
    for loss in losses:
        if not np.isfinite(loss) or loss > DIVERGED * lowest:
            return
        lowest = min(lowest, loss)
        yield loss


def sweep_head(
    train: LabelledFeatures, classes: int, params: HeadParams, class_weights: ClassWeights = "none"
) -> Sweep:
    """Sweep a newly initialised head on cached features."""
    head = build_head(train.features.shape[1], classes, params)
    targets = tf.one_hot(train.targets, classes)
    batches = tf.data.Dataset.from_tensor_slices((train.features, targets))
    batches = batches.shuffle(len(targets), seed=0).batch(params.batch_size)
    return _sweep(head, batches, class_weight_vector(train.targets, classes, class_weights))


def sweep_network(network: keras.Model, dataset: Dataset, params: TrainParams) -> Sweep:
    """Sweep the whole network on augmented photos, as fine-tuning does; its weights are restored afterwards."""
    tuned, targets = params.fine_tune, dataset.targets[dataset.members("train")]
    unfreeze(network, params.backbone)
    trained = logits_of(network)
    trained.compile(
        optimizer=build_optimizer("adamw", LOWEST, tuned.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=tuned.label_smoothing),
    )
    weights = class_weight_vector(targets, len(dataset.labels), params.class_weights)
    before = trained.get_weights()
    sweep = _sweep(trained, train_batches(dataset, params), weights)
    trained.set_weights(before)
    return sweep


def _sweep(model: keras.Model, batches: tf.data.Dataset, class_weights: tf.Tensor) -> Sweep:
    steps = max(MIN_STEPS, len(batches))
    warm_up = round(WARM_UP * LOOK_BACK * steps)
    rates = np.concatenate([np.full(warm_up, LOWEST), np.geomspace(LOWEST, HIGHEST, steps)])
    model.optimizer.build(model.trainable_variables)
    step = tf.function(
        lambda inputs, targets: update(model, inputs, targets, class_weights), reduce_retracing=True
    )

    def raw_losses() -> Iterator[float]:
        passes = chain.from_iterable(repeat(batches))
        for rate, (inputs, targets) in zip(
            tqdm(rates, "learning rates", leave=False, disable=None), passes, strict=False
        ):
            model.optimizer.learning_rate.assign(rate)
            yield float(step(inputs, targets))

    losses = np.array(list(until_diverged(smooth(raw_losses(), memory=1 - 1 / (LOOK_BACK * steps)))))
    if len(losses) <= warm_up + 1:
        raise LearningRateNotFound("the loss diverges at once: are the weights damaged?")
    return Sweep(rates[warm_up : len(losses)], losses[warm_up:])
