"""Tracking in MLflow: trainings, searches and evaluations as runs with metrics, plots and files."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec

from lenslet.registry.mlflow_client import (
    MlflowUnavailable,
    errors,
    experiment_id,
    is_off,
    open_client,
    put_file,
    unavailable,
)
from lenslet.registry.run_facts import command_of_run, params_tags, program_of_run, run_address, working_tree
from lenslet.registry.run_note import noted_run, write_note
from lenslet.training.record import KERAS_NAME, RECORD_NAME, TrainingRecord, flat, read_record

EXPERIMENT = "lenslet"  # of runs whose photos have no name, unless MLFLOW_EXPERIMENT_NAME says otherwise
COMMIT_TAG = "mlflow.source.git.commit"
METRICS_AT_ONCE = 500  # a server takes 1,000 values in one request

Arguments = ParamSpec("Arguments")
Method = Callable[Concatenate["Tracker", Arguments], None]


def add_to_run(
    folder: Path,
    kind: str,
    metrics: Mapping[str, Any],
    files: Mapping[str, Sequence[Path]],
    overrides: Sequence[str],
) -> None:
    """`Tracker.add` to the run of the model in `folder`; if that fails, a warning. Raises: RecordError."""
    tracker = Tracker()
    tracker.take_run_of(folder)
    tracker.add(kind, metrics, files, overrides)


def run_of(folder: Path) -> str:
    """The run of the training whose model is in `folder` or, if it is unknown, a new one from its training.json.

    Raises: MlflowUnavailable; RecordError if `folder` holds no trained model.
    """
    tracker = Tracker()
    try:
        tracker.connect()
        tracker.find_or_create(folder)
    except errors() as error:
        raise unavailable(error) from error
    return tracker.run_id


def _sends(method: "Method[Arguments]") -> "Method[Arguments]":
    """If MLflow fails, print one warning and send nothing more; if tracking is off, send nothing."""

    @wraps(method)
    def guarded(tracker: "Tracker", /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        if tracker.is_gone:
            return
        try:
            method(tracker, *args, **kwargs)
        except MlflowUnavailable as error:
            tracker.give_up(error)
        except errors() as error:
            tracker.give_up(unavailable(error))

    return guarded


class Tracker:
    """One run. MLflow is imported when the run begins; its failures never stop the tracked work.

    As a context manager it ends the run: finished, failed, or killed.
    """

    def __init__(self) -> None:
        self._client: Any = None
        self._experiment_name = EXPERIMENT
        self._experiment = ""  # id; known, and made if needed, with the run
        self.run_id = ""
        self.is_gone = is_off()

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end("FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED")

    def give_up(self, error: MlflowUnavailable) -> None:
        print(f"warning: {error}; the work continues, and its files hold all results", file=sys.stderr)
        self.is_gone = True
        self.run_id = ""

    def connect(self, photos: str = "") -> None:
        """`photos`: name of the data set, which names the experiment. Raises: MlflowUnavailable, or one of `errors`."""
        self._client = open_client()
        self._experiment_name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or photos or EXPERIMENT

    @_sends
    def begin(
        self,
        name: str,
        params: Mapping[str, Any],
        fingerprint: str,
        unfinished: Path | None = None,
        photos: str = "",
    ) -> None:
        """Begin a run, or continue that of the folder `unfinished`, and log its parameters.

        `params`: sections of params.yaml; `photos`: name of the data set, which names the experiment.
        """
        self.connect(photos)
        if unfinished and self._continue_run(unfinished):
            self._client.update_run(self.run_id, status="RUNNING")
            return
        self._create(name, params, fingerprint, {COMMIT_TAG: working_tree()})

    @_sends
    def take_run_of(self, folder: Path) -> None:
        """Continue the run of the model in `folder`: that of its training or, if that is unknown, a new one.

        Raises: RecordError if `folder` holds no trained model.
        """
        self.connect()
        self.find_or_create(folder)

    @_sends
    def note(self, folder: Path) -> None:
        """Record which run `folder` belongs to. The note is invalid once the model is trained again."""
        write_note(folder, self.run_id)

    @_sends
    def add_epoch(self, step: str, epoch: int, figures: Mapping[str, float] | None) -> None:
        """Metrics of one epoch, during training."""
        self._log(step, {key: {epoch: float(value)} for key, value in (figures or {}).items()})

    @_sends
    def log_training(self, record: TrainingRecord, folder: Path) -> None:
        """The figures of training.json that were not logged yet, and the files of a finished training."""
        self._log_training(record, folder)
        print(f"MLflow: {self.address()}")

    def address(self) -> str:
        """Where a browser shows the run: on the server, or on that of `make mlflow`."""
        return run_address(self._experiment, self.run_id)

    @_sends
    def add(
        self,
        kind: str,
        metrics: Mapping[str, Any],
        files: Mapping[str, Sequence[Path]] | None = None,
        overrides: Sequence[str] | None = None,
    ) -> None:
        """Metrics, named `kind`/key, less those of one class or corruption, and files by their folder in the run.

        `overrides`: those of --set, each "section.key=value". They become the tag overrides.`kind`, which the next
        call replaces; MLflow's parameters can be written once.
        """
        numbers = {
            key: {0: value}
            for key, value in metrics.items()
            if isinstance(value, int | float) and "." not in key
        }
        self._log(kind, numbers)
        if overrides is not None:
            self._client.set_tag(self.run_id, f"overrides.{kind}", " ".join(overrides) or "none")
        for place, paths in (files or {}).items():
            for path in paths:
                if path.exists():
                    put_file(self._client, self.run_id, path, place)

    @_sends
    def add_trial(self, name: str, settings: Mapping[str, Any], figures: Mapping[str, float]) -> None:
        """A trial of a search, as a run within this one."""
        from mlflow.entities import Metric, Param

        tags = {"mlflow.parentRunId": self.run_id}
        run_id = self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id
        params = [Param(key, str(value)) for key, value in settings.items()]
        metrics = [Metric(metric_name(key), value, _now_ms(), 0) for key, value in figures.items()]
        self._client.log_batch(run_id, metrics, params)
        self._client.set_terminated(run_id)

    def find_or_create(self, folder: Path) -> None:
        """Raises: RecordError, or one of `errors`."""
        if self._continue_run(folder):
            return
        record = read_record(folder)
        self._create(record.name, {"train": asdict(record.params)}, record.data_fingerprint, {})
        self._log_training(record, folder)
        self._client.set_terminated(self.run_id)

    def _continue_run(self, folder: Path) -> bool:
        """Continue the run that `folder` belongs to, if MLflow knows it."""
        run_id = noted_run(folder)
        if not run_id:
            return False
        try:
            about = self._client.get_run(run_id).info
            is_known = bool(about.lifecycle_stage == "active")
            self._experiment = str(about.experiment_id)
        except errors() as error:
            if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
                raise
            is_known = False
        self.run_id = run_id if is_known else ""
        return is_known

    def _create(
        self, name: str, params: Mapping[str, Any], fingerprint: str, tags: Mapping[str, str]
    ) -> None:
        from mlflow.entities import Param

        table = flat(params)
        source = {
            "data_fingerprint": fingerprint,
            "mlflow.source.name": program_of_run(),
            "command": command_of_run(),
            **params_tags(table),
        }
        self._experiment = experiment_id(self._client, self._experiment_name)
        run = self._client.create_run(self._experiment, tags={**source, **tags}, run_name=name)
        self.run_id = run.info.run_id
        logged = [Param(key, str(value)) for key, value in table.items()]
        self._client.log_batch(self.run_id, params=logged)

    def _log_training(self, record: TrainingRecord, folder: Path) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, RunTag

        for step, history in record.history.items():
            numbered = {key: dict(enumerate(values)) for key, values in history.items()}
            self._log(step, {key: self._missing(f"{step}/{key}", each) for key, each in numbered.items()})
        figures = {f"validation/{key}": value for key, value in record.validation.items()}
        figures["training/minutes"] = record.minutes
        self._log("", {key: {0: value} for key, value in figures.items()})
        tags = [RunTag(f"version.{package}", version) for package, version in record.versions.items()]
        self._client.log_batch(self.run_id, tags=tags)
        photos = Dataset(
            name=record.name,
            digest=record.data_fingerprint[:16],  # MLflow allows 36 characters; the tag has all of it
            source_type="local",
            source=json.dumps({"fingerprint": record.data_fingerprint}),
            profile=json.dumps(dict(record.photos)),
        )
        self._client.log_inputs(
            self.run_id, [DatasetInput(photos, [InputTag("mlflow.data.context", "training")])]
        )
        for name in (RECORD_NAME, KERAS_NAME):
            put_file(self._client, self.run_id, folder / name, "model")
        write_note(folder, self.run_id)  # last, so that an incomplete run is not continued

    def _missing(self, key: str, values: Mapping[int, float]) -> dict[int, float]:
        """Epoch → value, without the epochs that were logged during training."""
        there = {each.step for each in self._client.get_metric_history(self.run_id, metric_name(key))}
        return {epoch: value for epoch, value in values.items() if epoch not in there}

    def _log(self, kind: str, figures: Mapping[str, Mapping[int, float]]) -> None:
        """`figures`: key → epoch → value."""
        from mlflow.entities import Metric

        now, prefix = _now_ms(), f"{kind}/" if kind else ""
        metrics = [
            Metric(metric_name(f"{prefix}{key}"), value, now, epoch)
            for key, values in figures.items()
            for epoch, value in values.items()
        ]
        for start in range(0, len(metrics), METRICS_AT_ONCE):
            self._client.log_batch(self.run_id, metrics[start : start + METRICS_AT_ONCE])

    @_sends
    def _end(self, status: str) -> None:
        if self.run_id:
            self._client.set_terminated(self.run_id, status)


def metric_name(name: str) -> str:
    """The name with characters that MLflow refuses, as the `&` of a class "cats & dogs", replaced."""
    return re.sub(r"[^/\w.\- :]", "_", name)


def _now_ms() -> int:
    return int(time.time() * 1000)
