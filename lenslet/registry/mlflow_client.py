"""MLflow client: of the server at MLFLOW_TRACKING_URI, or of the SQLite database in the folder .mlflow/."""

import fcntl
import inspect
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lenslet.inference.atomic import replacing
from lenslet.inference.elsewhere import folder_above
from lenslet.inference.folder_lock import MAX_HOLDER_BYTES, description_of
from lenslet.inference.printable import printable

if TYPE_CHECKING:  # importing MLflow takes seconds, so it is imported where it is used
    from mlflow import MlflowClient

SERVER = "MLFLOW_TRACKING_URI"  # unset or empty: FOLDER
OFF = "off"  # value of SERVER that switches tracking off
FOLDER = Path(".mlflow")  # in the working directory, like runs/; `make mlflow` serves it
DATABASE_NAME, FILES_NAME = "mlflow.db", "artifacts"
SQLITE = "sqlite:///"
# Else MLflow's page shows traces and judges of language models instead of runs and their charts.
MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
LOCK_NOTICE_S, LOCK_TIMEOUT_S = 3.0, 60.0  # creating the tables takes a second or two, ten on a busy machine
# A server resolves such an address in its own folder, `put_file` in FOLDER, so that both find each other's files.
FILES_ADDRESS = "mlflow-artifacts:"
# By default, MLflow retries a server that is down for minutes, draws progress bars, logs its database migrations, and
# sends telemetry.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


class MlflowUnavailable(Exception):
    """The server or the database does not answer; the message is one sentence with the remedy."""


def is_off() -> bool:
    """Whether MLFLOW_TRACKING_URI switches tracking off."""
    return _address() == OFF


def is_new() -> bool:
    """Whether there is no database yet; needs no MLflow."""
    return not _address() and not (FOLDER / DATABASE_NAME).exists()


def nothing_here() -> str:
    """Where to look for a database instead, in one sentence."""
    place = folder_above(str(FOLDER)) or "the folder where the models were registered"
    return (
        f"there is no registry in {FOLDER.resolve()}: go to {place}, or name a server as {SERVER}; "
        "`lenslet register register` makes one here"
    )


def open_client() -> "MlflowClient":
    """A client of the server, without a request yet, or of the database in FOLDER, which is created if needed.

    For basic authentication set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    Raises: MlflowUnavailable if the address is invalid, or FOLDER cannot be written.
    """
    for key, value in SETTINGS.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.ERROR)
    try:
        if _address():
            return MlflowClient(_address())
        FOLDER.mkdir(parents=True, exist_ok=True)
        # Of two processes that create the tables, one would fail.
        with (FOLDER / ".lock").open("a+", encoding="utf-8", errors="replace") as lock:
            _wait_for(lock)
            # Relative, because the name of the working directory may hold what means something in an address.
            address = f"{SQLITE}{FOLDER / DATABASE_NAME}"
            _make_tables(address)
            return MlflowClient(address)
    except errors() as error:
        raise unavailable(error) from error


def _make_tables(address: str) -> None:
    """Make the database if needed, also where the names of folders above it hold `%` or quotes."""
    from alembic.config import Config
    from mlflow.tracking._tracking_service.utils import _get_store

    # MLflow hands the folder of its migrations to alembic, each time it looks at the database, and alembic takes % in
    # it for the beginning of a variable.
    if "%" in inspect.getfile(_get_store):
        _escape_percent(Config)
    # Into the SQL of a new database it writes the place of files as it is: by default, the working directory.
    _get_store(address, f"{FILES_ADDRESS}/local")


def _escape_percent(config: Any) -> None:
    """For all of alembic's settings; the database's own address has none, since it is relative."""
    plain = config.set_main_option
    if plain.__name__ != "escaped":

        def escaped(self: Any, name: str, value: str) -> None:
            plain(self, name, value.replace("%", "%%"))

        config.set_main_option = escaped


@contextmanager
def registering() -> Iterator[None]:
    """For the block, no other process registers a model in FOLDER: waits for one that does. A server has no such lock.

    Raises: OSError, if FOLDER cannot be written, or the other one takes too long.
    """
    if _address():
        yield
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / ".register.lock").open("a+", encoding="utf-8", errors="replace") as lock:
        _wait_for(lock)
        yield


def _wait_for(lock: IO[str]) -> None:
    """Lock the file; says so when another process holds it for long. Raises: TimeoutError."""
    begin, said = time.monotonic(), False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.truncate(0)
            lock.write(description_of("lenslet"))
            lock.flush()
            return
        except BlockingIOError:
            waited_s = time.monotonic() - begin
        lock.seek(0)
        holder = printable(lock.read(MAX_HOLDER_BYTES)) or "another process"
        if waited_s > LOCK_TIMEOUT_S:
            raise TimeoutError(f"{lock.name} was held by {holder} for {LOCK_TIMEOUT_S:g} s")
        if waited_s > LOCK_NOTICE_S and not said:
            print(f"waiting for {lock.name}, which {holder} holds", file=sys.stderr, flush=True)
            said = True
        time.sleep(0.1)


def experiment_id(client: "MlflowClient", name: str) -> str:
    """The id of the experiment with this name, which is created if needed. Raises one of `errors`."""
    found = client.get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    # A server chooses the artifact location itself.
    place = None if _address() else f"{FILES_ADDRESS}/local"
    try:
        return str(client.create_experiment(name, artifact_location=place, tags=MODEL_TRAINING))
    except errors():  # created by another process meanwhile
        found = client.get_experiment_by_name(name)
        if not found:
            raise
        return str(found.experiment_id)


def put_file(client: "MlflowClient", run_id: str, path: Path, place: str) -> None:
    """Store a file with a run, in its folder `place`. Raises one of `errors`."""
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
    """The folder where the server of `make mlflow` stores the files of a run; None if the client can find it itself."""
    address = str(client.get_run(run_id).info.artifact_uri)
    if not (address.startswith(FILES_ADDRESS) and client.tracking_uri.startswith(SQLITE)):
        return None
    database = Path(client.tracking_uri.removeprefix(SQLITE))
    return database.parent / FILES_NAME / urlsplit(address).path.lstrip("/")


def errors() -> tuple[type[Exception], ...]:
    """Exceptions of a client whose server is down, refuses, or is not MLflow, or whose database fails."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError


def unavailable(error: Exception) -> MlflowUnavailable:
    """The error as one sentence with the remedy."""
    if not _address():
        trouble = f"MLflow's database {FOLDER / DATABASE_NAME} failed ({_one_line(error)})"
        return MlflowUnavailable(f"{trouble}: {SERVER}={OFF} goes without")
    address = re.sub(r"//[^/@]*@", "//", _address())  # without the password
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
    """The first line of a message, shortened; MLflow's may have hundreds of lines."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= 200 else f"{lines[0][:200]}…"
