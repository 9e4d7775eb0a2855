"""The head fitted to cached features: a logistic regression where photos are few, else descent with early stopping."""

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from tqdm import tqdm

from lenslet.config import HeadParams, TrainParams
from lenslet.evaluation.metrics import accuracy, log_loss
from lenslet.network.assembly import set_head
from lenslet.network.head import build_head
from lenslet.training.class_weights import ClassWeights, class_weights
from lenslet.training.features import LabelledFeatures
from lenslet.training.logistic_head import fit_logistic_head, fits
from lenslet.training.record import History


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
    if fits(params.head, len(train.targets), classes):
        weights, strength = fit_logistic_head(train, classes, params.class_weights)
        print(f"head: logistic regression, C = {strength:g} of cross-validation (train.head.solver)")
        history: History = {
            f"{prefix}{name}": [value]
            for prefix, split in (("", train), ("val_", validation))
            for name, value in _figures(weights, split).items()
        }
    else:
        weights, history = fit_head(train, validation, classes, params.head, params.class_weights)
    set_head(network, weights)
    return history


def _figures(weights: list[NDArray[np.float32]], split: LabelledFeatures) -> dict[str, float]:
    probabilities = softmax(split.features @ weights[0] + weights[1], axis=1)
    found = {"accuracy": accuracy, "log_loss": log_loss}
    return {name: measure(split.targets, probabilities) for name, measure in found.items()}
