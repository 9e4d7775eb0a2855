"""The study that keeps the trials, on disk or in a database, shared by processes."""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from lenslet.inference.errors import InputError

DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {
    "log_loss": "minimize",
    "auc": "maximize",
    "accuracy": "maximize",
}

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

STUDY_NAME = "head"


class StudyRefused(InputError):
    """The study cannot be opened, or was made for another search; the message says what to do."""


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


def silence_optuna() -> None:
    """Hide its line per trial."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)


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
    # Not pasted into an address: a path may hold a question mark or a percent sign.
    address = URL.create("sqlite", database=str(path)).render_as_string()
    # Another process may be writing: wait for it.
    return RDBStorage(address, engine_kwargs={"connect_args": {"timeout": 60}})


def best_trials(study: optuna.Study, count: int) -> list[FrozenTrial]:
    """Trials that ran to their end, the best first."""
    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    highest_first = study.direction == optuna.study.StudyDirection.MAXIMIZE
    return sorted(completed, key=lambda trial: trial.value or 0.0, reverse=highest_first)[:count]
