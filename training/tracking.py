"""Trainings, searches and evaluations as runs of an MLflow server, where MLFLOW_TRACKING_URI names one."""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from inference.artifact import sha256_of
from inference.atomic import write_text
from training.record import KERAS_NAME, RECORD_NAME, TrainingRecord, flat, read_record

if TYPE_CHECKING:  # MLflow takes seconds to import: only where a server is named
    from mlflow import MlflowClient

SERVER = "MLFLOW_TRACKING_URI"
EXPERIMENT = "lenslet"  # unless MLFLOW_EXPERIMENT_NAME says otherwise
NOTE_NAME = "tracking.json"  # which run a model folder, or a run folder, belongs to
METRICS_AT_ONCE = 500  # a server takes 1,000 values in one request
# MLflow would try for minutes to reach a server that is down, draw bars into ours, and report its use to its makers.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

Arguments = ParamSpec("Arguments")


class TrackingUnavailable(Exception):
    """The server that MLFLOW_TRACKING_URI names does not answer as one; the message says what to do."""


def open_client() -> "MlflowClient | None":
    """A client of the server that MLFLOW_TRACKING_URI names, not asked anything yet; None if it names none.

    Raises: TrackingUnavailable if no server can have such an address.
    """
    if not os.environ.get(SERVER):
        return None
    for key, value in SETTINGS.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    try:
        return MlflowClient()
    except server_errors() as error:
        raise unavailable(error) from error


def server_errors() -> tuple[type[Exception], ...]:
    """What a client raises when the server is down, refuses, or is none."""
    from mlflow.exceptions import MlflowException

    return MlflowException, OSError


def connect() -> "Tracker":
    """A tracker without a run yet; one that does nothing if MLFLOW_TRACKING_URI is not set.

    Raises: TrackingUnavailable if the server does not answer: better now than after hours of training.
    """
    try:
        client = open_client()
        if not client:
            return Tracker()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        found = client.get_experiment_by_name(name)
        return Tracker(client, found.experiment_id if found else client.create_experiment(name))
    except server_errors() as error:
        raise unavailable(error) from error


def run_of(folder: Path) -> "Tracker":
    """A tracker on the run of the model in `folder`: that of its training or, if that is unknown, a new one.

    Raises: TrackingUnavailable; RecordError if `folder` holds no trained model.
    """
    tracker = connect()
    if tracker.is_connected and not tracker.go_on(folder):
        record = read_record(folder)
        with tracker:
            tracker.begin(record.name, {"train": asdict(record.params)}, record.data_fingerprint)
            tracker.log_training(record, folder)
    return tracker


def _sends(
    method: "Callable[Concatenate[Tracker, Arguments], None]",
) -> "Callable[Concatenate[Tracker, Arguments], None]":
    """Without a server the method does nothing; where the server fails, it says so, and nothing more is sent."""

    @wraps(method)
    def guarded(tracker: "Tracker", /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        if not tracker.is_connected:
            return
        try:
            method(tracker, *args, **kwargs)
        except server_errors() as error:
            tracker.disconnect()
            print(f"{unavailable(error)}; what was to be sent is in the files only", file=sys.stderr)

    return guarded


class Tracker:
    """One run on the server. Without a server every method does nothing; none ever stops what is tracked, but `begin`.

    As a context it ends the run: finished, failed, or killed.
    """

    def __init__(self, client: "MlflowClient | None" = None, experiment: str = "") -> None:
        self._client: Any = client
        self._experiment = experiment
        self.run_id = ""

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end("FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED")

    @property
    def is_connected(self) -> bool:
        return self._client is not None

    def disconnect(self) -> None:
        self._client = None

    def begin(
        self, name: str, params: Mapping[str, Any], fingerprint: str, unfinished: Path | None = None
    ) -> None:
        """Begin a run, or go on with that of the folder `unfinished`, and log what it starts from.

        `params`: sections of params.yaml. Raises: TrackingUnavailable.
        """
        if not self._client:
            return
        from mlflow.entities import Param

        tags = {"data_fingerprint": fingerprint, "mlflow.source.name": Path(sys.argv[0]).name}
        params = {key: str(value) for key, value in flat(params).items()}
        try:
            if unfinished and self.go_on(unfinished):
                self._client.update_run(self.run_id, status="RUNNING")
                return
            self.run_id = self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id
            self._client.log_batch(self.run_id, params=[Param(*pair) for pair in params.items()])
        except server_errors() as error:
            raise unavailable(error) from error

    def go_on(self, folder: Path) -> bool:
        """Take the run that `folder` belongs to, if the server knows it. Raises: TrackingUnavailable."""
        run_id = _noted(folder)
        if not self._client or not run_id:
            return False
        try:
            known = bool(self._client.get_run(run_id).info.lifecycle_stage == "active")
        except server_errors() as error:
            if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
                raise unavailable(error) from error
            known = False
        self.run_id = run_id if known else ""
        return known

    def note(self, folder: Path) -> None:
        """Write down which run `folder` belongs to. Once it is trained anew, the note counts no longer."""
        if self.run_id:
            note = {"run_id": self.run_id, "training_sha256": _training_sha256(folder)}
            write_text(folder / NOTE_NAME, json.dumps(note, indent=2) + "\n")

    @_sends
    def log_training(self, record: TrainingRecord, folder: Path) -> None:
        """What training.json says, epoch by epoch, and the files of a finished training."""
        from mlflow.entities import Dataset, DatasetInput, InputTag, RunTag

        for step, history in record.history.items():
            self._log_epochs(step, history)
        self._log_metrics("validation", record.validation)
        self._log_metrics("training", {"minutes": record.minutes})
        tags = [RunTag(f"version.{package}", version) for package, version in record.versions.items()]
        self._client.log_batch(self.run_id, tags=tags)
        photos = Dataset(
            name=record.name,
            digest=record.data_fingerprint[:16],  # 36 characters at most; the tag has all of it
            source_type="local",
            source=json.dumps({"fingerprint": record.data_fingerprint}),
            profile=json.dumps(dict(record.photos)),
        )
        self._client.log_inputs(
            self.run_id, [DatasetInput(photos, [InputTag("mlflow.data.context", "training")])]
        )
        self._upload({"model": [folder / RECORD_NAME, folder / KERAS_NAME]})
        self.note(folder)  # last: a run that lacks something is not gone on with

    @_sends
    def add(
        self, kind: str, metrics: Mapping[str, Any], files: Mapping[str, Sequence[Path]] | None = None
    ) -> None:
        """Metrics, called `kind`/key, and files, by the folder of the run that they go into, if they exist."""
        self._log_metrics(kind, metrics)
        self._upload(files or {})

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

    @_sends
    def _end(self, status: str) -> None:
        if self.run_id:
            self._client.set_terminated(self.run_id, status)

    def _log_metrics(self, kind: str, metrics: Mapping[str, Any]) -> None:
        numbers = {key: [value] for key, value in metrics.items() if isinstance(value, int | float)}
        self._log_epochs(kind, numbers)

    def _log_epochs(self, kind: str, history: Mapping[str, Sequence[float]]) -> None:
        from mlflow.entities import Metric

        now = _now_ms()
        metrics = [
            Metric(metric_name(f"{kind}/{key}"), value, now, epoch)
            for key, values in history.items()
            for epoch, value in enumerate(values)
        ]
        for start in range(0, len(metrics), METRICS_AT_ONCE):
            self._client.log_batch(self.run_id, metrics[start : start + METRICS_AT_ONCE])

    def _upload(self, files: Mapping[str, Sequence[Path]]) -> None:
        for place, path in _existing(files):
            self._client.log_artifact(self.run_id, str(path), place)


def unavailable(error: Exception) -> TrackingUnavailable:
    """What went wrong with the server, and what to do, in one sentence."""
    address = re.sub(r"//[^/@]*@", "//", os.environ.get(SERVER, ""))  # no password on the screen
    if "Max retries exceeded" in str(error):
        trouble = "does not answer: start it (`make mlflow`), or"
    else:
        trouble = f"failed ({_one_line(error)}):"
    return TrackingUnavailable(f"the MLflow server {address} {trouble} unset {SERVER} to go without")


def metric_name(name: str) -> str:
    """The name with what MLflow refuses, as the `&` of a class "cats & dogs", replaced."""
    return re.sub(r"[^/\w.\- :]", "_", name)


def _one_line(error: Exception) -> str:
    """The first line of a message, which in MLflow's may have hundreds, at a length that can be read."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= 200 else f"{lines[0][:200]}…"


def _existing(files: Mapping[str, Sequence[Path]]) -> Iterator[tuple[str, Path]]:
    return ((place, path) for place, paths in files.items() for path in paths if path.exists())


def _noted(folder: Path) -> str:
    """The run that `folder` belongs to; empty if it was trained anew since, or never tracked."""
    try:
        note = json.loads((folder / NOTE_NAME).read_text(encoding="utf-8"))
        return str(note["run_id"]) if note["training_sha256"] == _training_sha256(folder) else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _training_sha256(folder: Path) -> str:
    """Checksum of training.json; empty as long as the training goes on."""
    path = folder / RECORD_NAME
    return sha256_of(path.read_bytes()) if path.exists() else ""


def _now_ms() -> int:
    return int(time.time() * 1000)
