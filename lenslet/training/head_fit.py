"""The head fitted to cached features: a logistic regression where photos are few, else descent with early stopping."""

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lenslet.config import HeadParams, TrainParams
from lenslet.dataset.out_of_fold import OutOfFold
from lenslet.network.assembly import set_head
from lenslet.network.head import build_head
from lenslet.training.class_weights import ClassWeights, class_weights
from lenslet.training.features import LabelledFeatures
from lenslet.training.logistic_head import fit_logistic_head, out_of_fold_logits
from lenslet.training.record import History
from lenslet.training.small_folders import is_logistic
from lenslet.training.validation import figures_of

CHOSEN = "head: logistic regression, C = {strength:g} of cross-validation (train.head.solver)"


def fit_head(
    train: LabelledFeatures,
    validation: LabelledFeatures,
    classes: int,
    params: HeadParams,
    rule: ClassWeights = "none",
) -> tuple[list[NDArray[np.float32]], History]:
    """Fit a dense head on pooled features; keeps the weights of the epoch with the lowest validation log loss.

    Returns: weights for `network.set_head`, and the history.
    """
    head = build_head(train.features.shape[1], classes, params)
    stop = keras.callbacks.EarlyStopping(
        "val_log_loss", patience=params.patience, mode="min", restore_best_weights=True
    )
    with tqdm(
        total=params.epochs, desc="fitting the head", unit=" epochs", leave=False, disable=None
    ) as progress:
        fitted = head.fit(
            train.features,
            keras.utils.to_categorical(train.targets, classes),
            batch_size=params.batch_size,
            epochs=params.epochs,
            validation_data=(validation.features, keras.utils.to_categorical(validation.targets, classes)),
            class_weight=class_weights(train.targets, classes, rule),
            callbacks=[
                stop,
                keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: progress.update()),
            ],
            verbose=0,
        )
    return head.get_weights(), fitted.history


def train_head(
    network: keras.Model, features: tuple[LabelledFeatures, LabelledFeatures], params: TrainParams
) -> History:
    """Fit a head to features of the training and validation photos, and put it into the network."""
    train, validation = features
    classes = network.output["probabilities"].shape[-1]
    if not is_logistic(params.head, len(train.targets), classes):
        weights, history = fit_head(train, validation, classes, params.head, params.class_weights)
        set_head(network, weights)
        return history
    weights, strength = fit_logistic_head(train, classes, params.class_weights)
    print(CHOSEN.format(strength=strength))
    set_head(network, weights)
    answers = validation.features @ weights[0] + weights[1]
    return _history(train, weights, figures_of(answers, validation.targets))


def train_head_on_all(
    network: keras.Model, train: LabelledFeatures, folds: NDArray[np.int64], params: TrainParams
) -> tuple[History, OutOfFold]:
    """Fit a logistic head to features of all photos and put it into the network.

    `folds`: of each photo, shape (photos,). Returns: history, and the answers of heads that were fitted without the
    fold that they answer for, which validate.
    """
    classes = network.output["probabilities"].shape[-1]
    weights, strength = fit_logistic_head(train, classes, params.class_weights)
    print(CHOSEN.format(strength=strength))
    set_head(network, weights)
    answers = OutOfFold(out_of_fold_logits(train, folds, classes, strength, params.class_weights), folds)
    return _history(train, weights, figures_of(answers.logits, train.targets)), answers


def _history(
    train: LabelledFeatures, weights: list[NDArray[np.float32]], validation: dict[str, float]
) -> History:
    learned = figures_of(train.features @ weights[0] + weights[1], train.targets)
    found = {**learned, **{f"val_{name}": value for name, value in validation.items()}}
    return {name: [value] for name, value in found.items()}
