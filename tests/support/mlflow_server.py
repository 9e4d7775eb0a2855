"""A real MLflow server for tests, started by `make mlflow`: one for all that have this module in `pytest_plugins`."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
import requests

from lenslet.registry import mlflow_client

ROOT = Path(__file__).parents[2]
WAIT_S = 120


@pytest.fixture(scope="session")
def mlflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What .mlflow/ is in a repository: made by the first test that writes into it, served by `mlflow_server`."""
    return tmp_path_factory.mktemp("repository") / ".mlflow"


@pytest.fixture(scope="session")
def mlflow_server(mlflow_folder: Path) -> Iterator[str]:
    """The address of a server on `mlflow_folder`."""
    with running(mlflow_folder) as address:
        yield address


@pytest.fixture
def in_folder(mlflow_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MLflow with default settings, in a folder that tests share."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(mlflow_client, "FOLDER", mlflow_folder)
    return mlflow_folder


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Start a server that keeps everything in `folder`; gives the address that it prints, once it answers."""
    variables = f"MLFLOW_PORT={free_port()}", f"MLFLOW_FOLDER={folder}"
    # The environment is there, or this test would not run: make must not build it again.
    command = ["make", "--silent", "--assume-old", ".venv/installed", "mlflow", *variables]
    folder.mkdir(exist_ok=True)
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line.startswith("open http://127.0.0.1:"), line
        # Its log must be read, else it fills the pipe and the server blocks.
        Thread(target=process.stdout.read, daemon=True).start()
        address = line.strip().removeprefix("open ")
        _wait(address, process)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # make, the server, and its worker
        process.wait()


def _wait(address: str, process: subprocess.Popen[str]) -> None:
    for _ in range(WAIT_S * 4):
        assert process.poll() is None, "the server ended"
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.25)
    raise AssertionError(f"the server did not answer within {WAIT_S} seconds")
