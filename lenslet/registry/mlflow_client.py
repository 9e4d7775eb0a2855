"""MLflow, where trainings and models are kept: the server that MLFLOW_TRACKING_URI names, or the folder .mlflow/."""

import fcntl
import logging
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lenslet.inference.atomic import replacing

if TYPE_CHECKING:  # MLflow takes seconds to import: not before it is needed
    from mlflow import MlflowClient

SERVER = "MLFLOW_TRACKING_URI"  # unset or empty: FOLDER
OFF = "off"  # there, keeps nothing
FOLDER = Path(".mlflow")  # where the command runs, as runs/ is; what `make mlflow` serves
DATABASE_NAME, FILES_NAME = "mlflow.db", "artifacts"
SQLITE = "sqlite:///"
# A server resolves such an address by its own folder, `put_file` by FOLDER: so both find what the other has kept.
FILES_ADDRESS = "mlflow-artifacts:"
# MLflow would try for minutes to reach a server that is down, draw bars into ours, tell how it made its tables, and
# report its use to its makers.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


class MlflowUnavailable(Exception):
    """The server or the database does not answer as one; the message says what to do."""


def is_off() -> bool:
    """Whether nothing is to be kept, because MLFLOW_TRACKING_URI says so."""
    return _address() == OFF


def is_new() -> bool:
    """Whether nothing was kept yet, as far as can be told without MLflow."""
    return not _address() and not (FOLDER / DATABASE_NAME).exists()


def open_client() -> "MlflowClient":
    """A client of the server, not asked anything yet, or of the database in FOLDER, made if it is not there.

    A server that wants a name and a password gets MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    Raises: MlflowUnavailable if no server can have such an address, or FOLDER cannot be written.
    """
    for key, value in SETTINGS.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.ERROR)
    try:
        if _address():
            return MlflowClient(_address())
        FOLDER.mkdir(parents=True, exist_ok=True)
        with (FOLDER / ".lock").open("w") as lock:  # of two processes that make the tables, one would fail
            fcntl.flock(lock, fcntl.LOCK_EX)
            return MlflowClient(f"{SQLITE}{(FOLDER / DATABASE_NAME).resolve()}")
    except errors() as error:
        raise unavailable(error) from error


def experiment_id(client: "MlflowClient", name: str) -> str:
    """That of the experiment with this name, which is made if there is none. Raises one of `errors`."""
    found = client.get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    # A server says itself where files go.
    place = None if _address() else f"{FILES_ADDRESS}/local"
    try:
        return str(client.create_experiment(name, artifact_location=place))
    except errors():  # by another process, in between
        found = client.get_experiment_by_name(name)
        if not found:
            raise
        return str(found.experiment_id)


def put_file(client: "MlflowClient", run_id: str, path: Path, place: str) -> None:
    """Keep a file with a run, in its folder `place`. Raises one of `errors`."""
    folder = _folder_of_files(client, run_id)
    if not folder:
        client.log_artifact(run_id, str(path), place)
        return
    with replacing(folder / place / path.name) as temporary:
        shutil.copyfile(path, temporary)


def get_file(client: "MlflowClient", run_id: str, name: str, target: Path) -> None:
    """Copy a file of a run, `name` as in "model/model.keras", into the folder `target`. Raises one of `errors`."""
    folder = _folder_of_files(client, run_id)
    if folder:
        shutil.copy(folder / name, target)
    else:
        client.download_artifacts(run_id, name, str(target))


def _folder_of_files(client: "MlflowClient", run_id: str) -> Path | None:
    """Where the server that `make mlflow` starts keeps the files of a run; None if the client can do it itself."""
    address = str(client.get_run(run_id).info.artifact_uri)
    if not (address.startswith(FILES_ADDRESS) and client.tracking_uri.startswith(SQLITE)):
        return None
    database = Path(client.tracking_uri.removeprefix(SQLITE))
    return database.parent / FILES_NAME / urlsplit(address).path.lstrip("/")


def errors() -> tuple[type[Exception], ...]:
    """What a client raises when the server is down, refuses, or is none, and when the database fails."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError


def unavailable(error: Exception) -> MlflowUnavailable:
    """What went wrong, and what to do, in one sentence."""
    if not _address():
        trouble = f"MLflow's database {FOLDER / DATABASE_NAME} failed ({_one_line(error)})"
        return MlflowUnavailable(f"{trouble}: {SERVER}={OFF} goes without")
    address = re.sub(r"//[^/@]*@", "//", _address())  # no password on the screen
    if "Max retries exceeded" in str(error):
        trouble = "does not answer: start it, or"
    else:
        trouble = f"failed ({_one_line(error)}):"
    return MlflowUnavailable(
        f"the MLflow server {address} {trouble} unset {SERVER} to use the folder {FOLDER}"
    )


def _address() -> str:
    return os.environ.get(SERVER, "")


def _one_line(error: Exception) -> str:
    """The first line of a message, which in MLflow's may have hundreds, at a length that can be read."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= 200 else f"{lines[0][:200]}…"
