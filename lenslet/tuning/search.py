"""Search for the head's settings: many short trials on cached features, kept in a study that processes share.

Tree-structured Parzen estimator (Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization") by Optuna;
a trial that is worse than the median of the others at the same epoch ends early (Golovin et al. 2017, "Google
Vizier"). Only the training and the validation photos are looked at.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import optuna
import tensorflow as tf
from numpy.typing import NDArray
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from lenslet.config import BackboneParams, HeadParams, Params, ParamsError, TrainParams, TuneParams
from lenslet.dataset.dataset import Dataset, photos_per_split
from lenslet.network.assembly import build_network, set_head
from lenslet.network.backbones import BACKBONES, build_backbone
from lenslet.network.devices import Acceleration
from lenslet.network.head import build_head, update
from lenslet.training.fit import Fold, fit_head, head_folds, train_network
from lenslet.training.lr_finder import LearningRateNotFound, Sweep, sweep_head, sweep_network, weight_vector
from lenslet.training.record import record_of, save
from lenslet.training.run import CHECKPOINT_NAME
from lenslet.tuning.study import FINISHED, found_params, remembered_ctrl_c, with_backbone, with_weights

Folds = Mapping[str, tuple[Fold, Fold]]  # backbone → its features of the training and the validation photos
Figures = Mapping[str, float]  # log_loss, auc, accuracy

BATCH_SIZE = 64


def backbones_at_hand(params: BackboneParams, wanted: tuple[str, ...]) -> list[str]:
    """Those of the `wanted` rows whose initial weights are on this disk; nothing is downloaded.

    A .keras file holds the weights of one row only, `params.name`.
    Raises: ParamsError if a row is unknown or none is at hand.
    """
    unknown = [name for name in wanted if name not in BACKBONES]
    if unknown:
        raise ParamsError(f"tune.backbones: {unknown[0]!r} is unknown; known are: {', '.join(BACKBONES)}")
    if params.weights == "none":
        raise ParamsError(
            "a backbone without weights has nothing to search a head on: set train.backbone.weights"
        )
    if params.weights != "imagenet":
        return [params.name]
    folder = _keras_folder() / "models"
    files = {name: BACKBONES[name].imagenet_file for name in wanted}
    found = [name for name, file in files.items() if file and (folder / file).is_file()]
    if not found:
        raise ParamsError(
            f"the weights of none of tune.backbones are in {folder}: train once with one of them, "
            "which downloads its weights, or search on the shipped model's with --weights model/model.keras"
        )
    return found


def _keras_folder() -> Path:
    """Where Keras keeps downloads: a home that cannot be written is passed over, even for reading."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    return home if os.access(home, os.W_OK) else Path(tempfile.gettempdir()) / ".keras"


def read_folds(dataset: Dataset, params: TrainParams, backbones: list[str], cache: Path) -> Folds:
    """Features of the training and validation photos by each backbone, computed where `cache` has none.

    Raises: WeightsUnavailable.
    """
    folds = {}
    for name in backbones:
        backbone = build_backbone(replace(params.backbone, name=name))
        folds[name] = head_folds(backbone, dataset, with_backbone(params, name), cache)
    return folds


def sweep(dataset: Dataset, params: TrainParams, fine_tuning: bool, cache: Path) -> Sweep:
    """The learning-rate finder on the head or, `fine_tuning`, on the network with its head fitted.

    Raises: ParamsError if there is no head to sweep; WeightsUnavailable; LearningRateNotFound.
    """
    name, classes, head = params.backbone.name, len(dataset.labels), params.head
    folds = read_folds(dataset, params, [name], cache)[name] if params.backbone.weights != "none" else None
    keras.utils.set_random_seed(params.seed)
    if fine_tuning:
        network = build_network(build_backbone(params.backbone), classes, params)
        if folds:
            set_head(network, fit_head(*folds, classes, head, params.class_weights)[0])
        return sweep_network(network, dataset, params)
    if not folds:
        raise ParamsError("a backbone without weights has no head to find a rate for: add --fine-tune")
    return sweep_head(folds[0], classes, head, params.class_weights)


def suggested_rates(study: optuna.Study, folds: Folds, classes: int, params: Params) -> Mapping[str, float]:
    """ "backbone optimizer" → the learning-rate finder's suggestion, kept in the study for those who go on with it.

    Raises: LearningRateNotFound.
    """
    rates: dict[str, float] = study.user_attrs.get("suggested_rates", {})
    if rates:
        return rates
    for name, (train, _) in tqdm(folds.items(), "learning rates", unit=" backbones", leave=False):
        for optimizer in params.tune.optimizers:
            keras.utils.set_random_seed(params.train.seed)
            head = replace(params.train.head, optimizer=optimizer)
            try:
                seen = sweep_head(train, classes, head, params.train.class_weights)
            except LearningRateNotFound as error:
                tqdm.write(f"{name} with {optimizer} is left out: {error}")
            else:
                rates[f"{name} {optimizer}"] = _rounded(seen.suggestion)
    if not rates:
        raise LearningRateNotFound("no backbone has a learning rate with any optimizer of tune.optimizers")
    study.set_user_attr("suggested_rates", rates)
    return rates


def run_trials(
    study: optuna.Study, folds: Folds, classes: int, params: Params, rates: Mapping[str, float]
) -> None:
    """Go on until the study holds `tune.trials` finished trials.

    The first one is what params.yaml says now, where the space holds that.
    """
    if not study.trials:
        _enqueue_present(study, params, folds, rates)
    done = len(study.get_trials(deepcopy=False, states=FINISHED))
    if done >= params.tune.trials:
        return
    bar = tqdm(total=params.tune.trials, initial=done, desc="searching", unit=" trials")
    with bar as progress, remembered_ctrl_c() as pressed:

        def show(study: optuna.Study, trial: FrozenTrial) -> None:
            if pressed.is_set():
                raise KeyboardInterrupt
            progress.n = len(study.get_trials(deepcopy=False, states=FINISHED))
            completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if completed:
                progress.set_postfix_str(f"best {params.tune.objective} {study.best_value:.4f}")
            progress.refresh()

        study.optimize(
            lambda trial: _run_trial(trial, folds, classes, params, rates),
            callbacks=[show, MaxTrialsCallback(params.tune.trials, states=FINISHED)],
        )


def _enqueue_present(study: optuna.Study, params: Params, folds: Folds, rates: Mapping[str, float]) -> None:
    head, name, tune = params.train.head, params.train.backbone.name, params.tune
    if (
        name not in folds
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
    trial: optuna.Trial, folds: Folds, classes: int, params: Params, rates: Mapping[str, float]
) -> float:
    """Fit one head as `fit_head` would, and judge its best epoch."""
    name = trial.suggest_categorical("backbone", list(folds))

    def rate_of(optimizer: str) -> float:
        if f"{name} {optimizer}" not in rates:
            raise optuna.TrialPruned(f"no learning rate was found for {name} with {optimizer}")
        return rates[f"{name} {optimizer}"]

    head = draw_head(trial, params.tune, params.train.head, rate_of)
    trial.set_user_attr("head", asdict(head))
    train, validation = folds[name]
    # Each trial its own initial weights: under one seed for all, the search would fit itself to their luck.
    keras.utils.set_random_seed(params.train.seed + trial.number)
    best: Figures = {}
    waited = 0
    for epoch, probabilities in enumerate(
        fit_epochs(train, validation, classes, head, params.train.class_weights)
    ):
        if not np.isfinite(probabilities).all():
            raise optuna.TrialPruned("the loss diverged")
        figures = judge(probabilities, validation.targets)
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


def draw_head(
    trial: optuna.Trial, space: TuneParams, head: HeadParams, rate_of: Callable[[str], float]
) -> HeadParams:
    """Let the sampler choose; what it does not choose stays as in `head`. `rate_of`: optimizer → suggested rate.

    Numbers have three digits, so that params.yaml can hold exactly what was tried.
    """
    optimizer: Any = trial.suggest_categorical("optimizer", space.optimizers)
    factor = _draw(trial, "learning_rate_factor", space, log=True)
    return replace(
        head,
        optimizer=optimizer,
        hidden_units=trial.suggest_categorical("hidden_units", space.hidden_units),
        learning_rate=_rounded(rate_of(optimizer) * factor),
        weight_decay=0.0 if optimizer == "adam" else _rounded(_draw(trial, "weight_decay", space, log=True)),
        dropout=_rounded(_draw(trial, "dropout", space)),
        label_smoothing=_rounded(_draw(trial, "label_smoothing", space)),
    )


def _draw(trial: optuna.Trial, key: str, space: TuneParams, log: bool = False) -> float:
    ends = getattr(space, key)
    return trial.suggest_float(key, ends.low, ends.high, log=log)


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def fit_epochs(
    train: Fold,
    validation: Fold,
    classes: int,
    params: HeadParams,
    class_weights: Literal["none", "balanced"] = "none",
) -> Iterator[NDArray[np.float32]]:
    """Train a head; after each epoch, its probabilities for the validation photos, shape (photos, classes).

    One graph call per epoch: Keras's `fit` takes more than twice as long for a model this small.
    """
    head = build_head(train.features.shape[1], classes, params)
    head.optimizer.build(head.trainable_variables)
    features, targets = tf.constant(train.features), tf.one_hot(train.targets, classes)
    weights = weight_vector(train.targets, classes, class_weights)
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


def judge(probabilities: NDArray[np.float32], targets: NDArray[np.int64]) -> Figures:
    """Log loss, area under the ROC curve (of more than two classes the mean of one against the rest), accuracy.

    `probabilities`: shape (photos, classes); `targets`: class indices, shape (photos,), each class at least once.
    """
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    right = exact[np.arange(len(targets)), targets]
    scores = exact[:, 1] if exact.shape[1] == 2 else exact
    return {
        "log_loss": float(-np.log(np.maximum(right, np.finfo(np.float32).tiny)).mean()),
        "auc": float(roc_auc_score(targets, scores, multi_class="ovr")),
        "accuracy": float(np.mean(exact.argmax(axis=1) == targets)),
    }


def fine_tune_trial(
    trial: FrozenTrial,
    folds: Folds,
    dataset: Dataset,
    params: TrainParams,
    weights: str,
    run: Path,
    accelerated: Acceleration,
) -> Figures:
    """Train the whole network with a trial's settings, as train.py does; returns its validation figures.

    `weights`: what `build_backbone` starts from, in place of the registered model that `params` may name.
    Network and record are kept in the folder `run`; if training was stopped there, it goes on.
    Raises: CheckpointError.
    """
    started = time.monotonic()
    found = found_params(trial, params)
    started_from = with_weights(found, weights)
    network, history = train_network(dataset, started_from, folds[found.backbone.name], run, accelerated)
    figures = _judge_network(network, dataset)
    validation = {key: figures[key] for key in ("accuracy", "log_loss")}
    minutes = (time.monotonic() - started) / 60
    photos = photos_per_split(dataset)
    name = f"trial-{trial.number}"
    record = record_of(name, found, dataset.fingerprint, photos, validation, history, minutes)
    save(network, record, run)
    (run / CHECKPOINT_NAME).unlink(missing_ok=True)
    return figures


def _judge_network(network: keras.Model, dataset: Dataset) -> Figures:
    members = dataset.members("validation")
    answers = [
        network.predict_on_batch(dataset.pixels[dataset.rows[members[start : start + BATCH_SIZE]]])
        for start in range(0, len(members), BATCH_SIZE)
    ]
    probabilities = np.concatenate([answer["probabilities"] for answer in answers])
    return judge(probabilities, dataset.targets[members])
