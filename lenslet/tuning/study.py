"""Where trials are kept: a study that several processes share, and what is read out of it."""

import json
import re
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import matplotlib
import optuna
import optuna.visualization.matplotlib as optuna_plots
from matplotlib.figure import Figure, SubFigure
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from lenslet.config import HeadParams, Params, TrainParams
from lenslet.dataset.dataset import Dataset
from lenslet.inference.errors import InputError

DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {
    "log_loss": "minimize",
    "auc": "maximize",
    "accuracy": "maximize",
}
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
SEARCHED = ("hidden_units", "dropout", "optimizer", "learning_rate", "weight_decay", "label_smoothing")
STUDY_NAME = "head"


class StudyRefused(InputError):
    """The study cannot be opened, or was made for another search; the message says what to do."""


def search_space(dataset: Dataset, params: Params, backbones: list[str]) -> dict[str, Any]:
    """Everything that makes two trials comparable, as plain JSON values."""
    space = asdict(params.tune) | {"backbones": backbones}
    del space["trials"]  # going on for longer is no other search
    head = {key: getattr(params.train.head, key) for key in ("batch_size", "epochs", "patience")}
    facts = {
        "photos": dataset.fingerprint,
        "class_weights": params.train.class_weights,
        "weights": params.train.backbone.weights,
    }
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in space.items()}
    return {**plain, **head, **facts, "image_size": params.train.image_size, "seed": params.train.seed}


def open_study(place: str, space: Mapping[str, Any]) -> optuna.Study:
    """Open or begin the study at `place`: a database URL, a .journal file, or any other file for SQLite.

    Raises: StudyRefused if it holds a search of another `space`, or cannot be opened.
    """
    try:
        study = _created(place, DIRECTIONS[space["objective"]])
    except (SQLAlchemyError, ImportError, OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        sentence = f"{place} cannot be opened as a study ({reason}): give --study a new file"
        raise StudyRefused(without_password(sentence)) from error
    attributes = study.user_attrs
    if "space" not in attributes:
        study.set_user_attr("space", dict(space))
    elif attributes["space"] != space:
        keys = sorted(
            key for key in {*space, *attributes["space"]} if space.get(key) != attributes["space"].get(key)
        )
        raise StudyRefused(
            f"{without_password(place)} holds a study of another search (other {', '.join(keys)}): "
            "give --study a new file, or set params.yaml and --data back to go on with it"
        )
    # Processes that share a study must not draw the same trials.
    openings = attributes.get("openings", 0)
    study.set_user_attr("openings", openings + 1)
    study.sampler = optuna.samplers.TPESampler(seed=space["seed"] + openings)
    return study


def without_password(text: str) -> str:
    """`text` for the screen: addresses in it lose user and password."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def _created(place: str, direction: Literal["minimize", "maximize"]) -> optuna.Study:
    for wait_s in (0.5, 1.0, 2.0, None):
        try:
            return optuna.create_study(
                storage=_storage(place),
                study_name=STUDY_NAME,
                direction=direction,
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=5),
            )
        except (IntegrityError, OperationalError):
            # Another process that started at the same moment is making the tables.
            if wait_s is None:
                raise
            time.sleep(wait_s)
    raise AssertionError("the last attempt returns or raises")


def _storage(place: str) -> BaseStorage:
    if "://" in place:
        return RDBStorage(place)
    path = Path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".journal":
        return JournalStorage(JournalFileBackend(str(path)))
    # Another process may be writing: wait for it.
    return RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})


def best_trials(study: optuna.Study, count: int) -> list[FrozenTrial]:
    """Trials that ran to their end, the best first."""
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    highest_first = study.direction == optuna.study.StudyDirection.MAXIMIZE
    return sorted(completed, key=lambda trial: trial.value or 0.0, reverse=highest_first)[:count]


def winner(trials: list[FrozenTrial], values: list[float], objective: str) -> FrozenTrial:
    """The best of the first trials, judged anew with these `values`; without any, the first.

    Raises: StudyRefused if no trial ran to its end.
    """
    if not trials:
        raise StudyRefused(
            "no trial ran to its end, so there are no settings to write: narrow tune.learning_rate_factor in "
            "params.yaml, or raise tune.trials"
        )
    best = min if DIRECTIONS[objective] == "minimize" else max
    return trials[values.index(best(values))] if values else trials[0]


def found_params(trial: FrozenTrial, params: TrainParams) -> TrainParams:
    """`params` with the backbone and the head of a trial."""
    return replace(
        with_backbone(params, trial.params["backbone"]), head=HeadParams(**trial.user_attrs["head"])
    )


def found_values(trial: FrozenTrial) -> dict[str, int | float | str]:
    """What a trial would have params.yaml say: dotted key → value."""
    head = {f"train.head.{key}": trial.user_attrs["head"][key] for key in SEARCHED}
    return {"train.backbone.name": trial.params["backbone"], **head}


@dataclass(frozen=True)
class FineTuning:
    """Of a trial's settings on the whole network."""

    run: Path  # folder of its checkpoint, later of its network
    figures: Mapping[str, float]  # validation metrics; empty until it is done


def fine_tuning_of(study: optuna.Study, trial: FrozenTrial, params: TrainParams, runs: Path) -> FineTuning:
    """What the study keeps of it; a new one, in a folder of `runs`, where there is none or by other parameters."""
    kept = study.user_attrs.get(_key(trial), {})
    if kept.get("params") == _plain(found_params(trial, params)):
        return FineTuning(Path(kept["run"]), kept["figures"])
    new = FineTuning(runs / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-tune-trial-{trial.number}", {})
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


def with_backbone(params: TrainParams, name: str) -> TrainParams:
    return replace(params, backbone=replace(params.backbone, name=name))


def with_weights(params: TrainParams, weights: str) -> TrainParams:
    return replace(params, backbone=replace(params.backbone, weights=weights))


def table(trials: list[FrozenTrial]) -> str:
    """One line per trial: its validation figures and its settings."""
    names = ("log_loss", "auc", "accuracy")
    lines = [
        f"{'trial':>5}" + "".join(f"{name:>10}" for name in names) + f"  {'backbone':<20}{'optimizer':<10}"
        f"{'rate':>9}{'decay':>9}{'dropout':>9}{'smoothing':>11}{'hidden':>8}"
    ]
    for trial in trials:
        head = HeadParams(**trial.user_attrs["head"])
        figures = "".join(f"{trial.user_attrs['figures'][name]:>10.4f}" for name in names)
        lines.append(
            f"{trial.number:>5}{figures}  {trial.params['backbone']:<20}{head.optimizer:<10}"
            f"{head.learning_rate:>9.2g}{head.weight_decay:>9.2g}{head.dropout:>9.2g}"
            f"{head.label_smoothing:>11.2g}{head.hidden_units:>8}"
        )
    return "\n".join(lines)


def pictures(study: optuna.Study) -> dict[str, Figure | SubFigure]:
    """Optuna's pictures: `history`, the best value so far; `importance`, each setting's share in the variance.

    The second (fANOVA: Hutter et al. 2014) is absent where too few trials ended, or all with the same value.
    """
    matplotlib.use("Agg")  # Optuna draws through pyplot, which would look for a screen
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        figures = {"history": optuna_plots.plot_optimization_history(study).figure}
        with suppress(RuntimeError, ValueError):
            figures["importance"] = optuna_plots.plot_param_importances(study).figure
    return figures


@contextmanager
def remembered_ctrl_c() -> Iterator[threading.Event]:
    """Set once Ctrl-C was pressed. It raises KeyboardInterrupt as ever, but where that falls into a destructor or a
    library's callback, Python prints it and goes on: so it is asked for again after each trial. Where it falls into
    TensorFlow's conversions, a TypeError comes out, which is raised as KeyboardInterrupt once more.
    """
    pressed = threading.Event()

    def remember(number: int, frame: object) -> None:
        pressed.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield pressed
    except Exception:
        if pressed.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
