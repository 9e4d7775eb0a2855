"""Fine-tuning with the settings of the best trials, kept in the study so that nothing is trained twice."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import optuna
from optuna.trial import FrozenTrial

from lenslet.config import TrainParams
from lenslet.dataset.dataset import Dataset, photos_per_split
from lenslet.inference.folder_lock import folder_lock
from lenslet.network.devices import Acceleration, acceleration_here
from lenslet.training.fine_tuning import train_network
from lenslet.training.record import record_of, save_network
from lenslet.training.run import CHECKPOINT_NAME, new_run_folder
from lenslet.training.validation import validation_probabilities
from lenslet.tuning.learning_rates import FeaturesByBackbone
from lenslet.tuning.space import backbone_of, found_params, with_weights
from lenslet.tuning.study import DIRECTIONS, StudyRefused
from lenslet.tuning.trials import Figures, validation_figures


@dataclass(frozen=True)
class FineTuning:
    """Of a trial's settings on the whole network."""

    run: Path  # folder of its checkpoint, later of its network
    figures: Mapping[str, float]  # validation metrics; empty until it is done


def fine_tune_best(
    study: optuna.Study,
    trials: Sequence[FrozenTrial],
    features: FeaturesByBackbone,
    datasets: Mapping[int, Dataset],
    params: TrainParams,
    weights: str,
    runs: Path,
    no_acceleration: bool,
) -> Iterator[tuple[FrozenTrial, FineTuning]]:
    """Each trial with its fine-tuning, when that has ended; one that the study holds already is not repeated.

    `datasets`: size of the pictures → the photos at this size. `weights`: what `build_backbone` starts from, in place
    of the registered model that `params` may name.
    Raises: CheckpointError.
    """
    if not trials:
        return
    photos, batch_size = photos_per_split(next(iter(datasets.values()))), params.fine_tune.batch_size
    accelerated = Acceleration() if no_acceleration else acceleration_here(photos, batch_size)
    for trial in trials:
        kept = fine_tuning_of(study, trial, params, runs)
        if not kept.figures:
            with folder_lock(kept.run, "lenslet tune"):
                dataset = datasets[backbone_of(trial)[1] or next(iter(datasets))]
                figures = fine_tune_trial(trial, features, dataset, params, weights, kept.run, accelerated)
            kept = replace(kept, figures=figures)
            keep_fine_tuning(study, trial, params, kept)
        yield trial, kept


def fine_tuning_of(study: optuna.Study, trial: FrozenTrial, params: TrainParams, runs: Path) -> FineTuning:
    """The record of it in the study; a new one, in a folder of `runs`, where there is none or by other parameters."""
    kept = study.user_attrs.get(_key(trial), {})
    if kept.get("params") == _plain(found_params(trial, params)):
        return FineTuning(Path(kept["run"]), kept["figures"])
    new = FineTuning(new_run_folder(runs, Path(f"tune-trial-{trial.number}")), {})
    keep_fine_tuning(study, trial, params, new)
    return new


def keep_fine_tuning(study: optuna.Study, trial: FrozenTrial, params: TrainParams, kept: FineTuning) -> None:
    content = {"run": str(kept.run), "figures": dict(kept.figures)}
    study.set_user_attr(_key(trial), {**content, "params": _plain(found_params(trial, params))})


def _key(trial: FrozenTrial) -> str:
    return f"fine-tuning of trial {trial.number}"


def _plain(params: TrainParams) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(asdict(params)))


def fine_tune_trial(
    trial: FrozenTrial,
    features: FeaturesByBackbone,
    dataset: Dataset,
    params: TrainParams,
    weights: str,
    run: Path,
    accelerated: Acceleration,
) -> Figures:
    """Train the whole network with a trial's settings, as `lenslet train` does; returns its validation figures.

    `weights`: what `build_backbone` starts from, in place of the registered model that `params` may name.
    Network and record are kept in the folder `run`; if training was stopped there, it goes on.
    Raises: CheckpointError.
    """
    started = time.monotonic()
    found = found_params(trial, params)
    started_from = with_weights(found, weights)
    network, history = train_network(
        dataset, started_from, features[trial.params["backbone"]], run, accelerated
    )
    figures = _figures_of(network, dataset, params)
    validation = {key: figures[key] for key in ("accuracy", "log_loss")}
    minutes = (time.monotonic() - started) / 60
    record = record_of(f"trial-{trial.number}", found, dataset, validation, history, minutes, {})
    save_network(network, record, run)
    (run / CHECKPOINT_NAME).unlink(missing_ok=True)
    return figures


def _figures_of(network: keras.Model, dataset: Dataset, params: TrainParams) -> Figures:
    probabilities = validation_probabilities(network, dataset, params.fine_tune.batch_size)
    return validation_figures(probabilities, dataset.targets[dataset.members("validation")])


def best_fine_tuned(trials: list[FrozenTrial], values: list[float], objective: str) -> FrozenTrial:
    """Re-rank the leading trials by `values`, the objective after fine-tuning; without values, the first trial.

    Raises: StudyRefused if no trial ran to its end.
    """
    if not trials:
        raise StudyRefused(
            "no trial ran to its end, so there are no settings to write: narrow tune.learning_rate_factor in "
            "params.yaml, or raise tune.trials"
        )
    best = min if DIRECTIONS[objective] == "minimize" else max
    return trials[values.index(best(values))] if values else trials[0]
