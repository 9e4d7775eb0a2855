"""Trials: heads fitted to cached features, drawn and pruned by Optuna.

Tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization") by Optuna;
a trial that is worse than the median of the others at the same epoch ends early (Golovin et al. 2017, "Google
Vizier"). Only the training and the validation photos are looked at.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict

import keras
import numpy as np
import optuna
import tensorflow as tf
from numpy.typing import NDArray
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState
from tqdm import tqdm

from lenslet.config import HeadParams, Params
from lenslet.evaluation.metrics import accuracy, log_loss, roc_auc
from lenslet.network.head import build_head, update
from lenslet.training.class_weights import ClassWeights, class_weight_vector
from lenslet.training.features import LabelledFeatures
from lenslet.tuning.interrupt import interrupt_event
from lenslet.tuning.learning_rates import FeaturesByBackbone
from lenslet.tuning.space import draw_head
from lenslet.tuning.study import FINISHED

Figures = Mapping[str, float]  # log_loss, auc, accuracy


def run_trials(
    study: optuna.Study,
    features: FeaturesByBackbone,
    classes: int,
    params: Params,
    rates: Mapping[str, float],
) -> None:
    """Run trials until the study holds `tune.trials` finished ones.

    The first trial has the settings of params.yaml, if they lie within the search space.
    """
    if not study.trials:
        _enqueue_current(study, params, features, rates)
    done = len(study.get_trials(deepcopy=False, states=FINISHED))
    if done >= params.tune.trials:
        return
    bar = tqdm(
        total=params.tune.trials, initial=done, desc="searching", unit=" trials", leave=False, disable=None
    )
    with bar as progress, interrupt_event() as pressed:

        def show(study: optuna.Study, trial: FrozenTrial) -> None:
            if pressed.is_set():
                raise KeyboardInterrupt
            progress.n = len(study.get_trials(deepcopy=False, states=FINISHED))
            completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if completed:
                progress.set_postfix_str(f"best {params.tune.objective} {study.best_value:.4f}")
            progress.refresh()

        study.optimize(
            lambda trial: _run_trial(trial, features, classes, params, rates),
            callbacks=[show, MaxTrialsCallback(params.tune.trials, states=FINISHED)],
        )


def _enqueue_current(
    study: optuna.Study, params: Params, features: FeaturesByBackbone, rates: Mapping[str, float]
) -> None:
    head, tune, backbone = params.train.head, params.tune, params.train.backbone.name
    names = (backbone, f"{backbone}@{params.train.image_size}")  # one or several sizes of pictures
    name = next((each for each in names if each in features), "")
    if (
        not name
        or head.optimizer not in tune.optimizers
        or head.hidden_units not in tune.hidden_units
        or f"{name} {head.optimizer}" not in rates
    ):
        return
    present = {
        "learning_rate_factor": head.learning_rate / rates[f"{name} {head.optimizer}"],
        "dropout": head.dropout,
        "label_smoothing": head.label_smoothing,
    }
    if head.optimizer != "adam":
        present["weight_decay"] = head.weight_decay
    ranges = {key: getattr(tune, key) for key in present}
    if all(ranges[key].low <= value <= ranges[key].high for key, value in present.items()):
        choices = {"backbone": name, "optimizer": head.optimizer, "hidden_units": head.hidden_units}
        study.enqueue_trial(choices | present, skip_if_exists=True)


def _run_trial(
    trial: optuna.Trial,
    features: FeaturesByBackbone,
    classes: int,
    params: Params,
    rates: Mapping[str, float],
) -> float:
    """Fit one head as `fit_head` does; returns the objective at its best epoch."""
    name = trial.suggest_categorical("backbone", list(features))

    def rate_of(optimizer: str) -> float:
        if f"{name} {optimizer}" not in rates:
            raise optuna.TrialPruned(f"no learning rate was found for {name} with {optimizer}")
        return rates[f"{name} {optimizer}"]

    head = draw_head(trial, params.tune, params.train.head, rate_of)
    trial.set_user_attr("head", asdict(head))
    train, validation = features[name]
    # Each trial has its own initial weights: with one seed for all, the search would overfit to it.
    keras.utils.set_random_seed(params.train.seed + trial.number)
    best: Figures = {}
    waited = 0
    for epoch, probabilities in enumerate(
        fit_epochs(train, validation, classes, head, params.train.class_weights)
    ):
        if not np.isfinite(probabilities).all():
            raise optuna.TrialPruned("the loss diverged")
        figures = validation_figures(probabilities, validation.targets)
        waited += 1
        if not best or figures["log_loss"] < best["log_loss"]:
            best, waited = figures, 0
        trial.report(best[params.tune.objective], epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
        if waited == head.patience:
            break
    trial.set_user_attr("figures", best)
    return best[params.tune.objective]


def fit_epochs(
    train: LabelledFeatures,
    validation: LabelledFeatures,
    classes: int,
    params: HeadParams,
    class_weights: ClassWeights = "none",
) -> Iterator[NDArray[np.float32]]:
    """Train a head; after each epoch, its probabilities for the validation photos, shape (photos, classes).

    One graph call per epoch: Keras's `fit` takes more than twice as long for a model this small.
    """
    head = build_head(train.features.shape[1], classes, params)
    head.optimizer.build(head.trainable_variables)
    features, targets = tf.constant(train.features), tf.one_hot(train.targets, classes)
    weights = class_weight_vector(train.targets, classes, class_weights)
    photos = len(train.targets)

    @tf.function  # type: ignore[untyped-decorator]
    def train_epoch(order: tf.Tensor) -> None:
        for start in tf.range(0, photos, params.batch_size):
            rows = order[start : start + params.batch_size]
            update(head, tf.gather(features, rows), tf.gather(targets, rows), weights)

    judged = tf.constant(validation.features)
    for _ in range(params.epochs):
        train_epoch(tf.random.shuffle(tf.range(photos)))
        yield tf.nn.softmax(head(judged, training=False)).numpy()


def validation_figures(probabilities: NDArray[np.float32], targets: NDArray[np.int64]) -> Figures:
    """Log loss, area under the ROC curve and accuracy, by the metrics that `lenslet evaluate` reports.

    `probabilities`: shape (photos, classes); `targets`: class indices, shape (photos,).
    """
    return {
        "log_loss": log_loss(targets, probabilities),
        "auc": roc_auc(targets, probabilities),
        "accuracy": accuracy(targets, probabilities),
    }
